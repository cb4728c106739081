import { useEffect, useState } from "react";
import { ErrorBoundary } from "../app/ErrorBoundary";
import { lazily } from "../app/lazily";
import { t } from "../i18n";
import { activeTab, useEditor } from "../stores/editorStore";
import { useRun } from "../stores/runStore";
import { useData } from "./dataStore";

const ConflictBanner = lazily(async () => (await import("./ConflictBanner")).ConflictBanner);

/** A blink of the connection is nothing to tell of. */
const PATIENCE_MS = 800;

/** States of the page as a whole: no server, a conflict, packs that failed. */
export function Banners() {
  const tab = useEditor(activeTab);
  const conflict = useData((state) => state.conflicts[tab?.id ?? ""]);
  return (
    <div className="banners">
      <ConnectionBanner />
      <StartBanner />
      <ErrorBoundary>{tab !== undefined && conflict !== undefined && <ConflictBanner tab={tab} />}</ErrorBoundary>
      <PacksBanner />
    </div>
  );
}

function ConnectionBanner() {
  const isLost = useRun((state) => state.connection === "lost");
  const [shown, setShown] = useState(false);
  useEffect(() => {
    if (!isLost) {
      setShown(false);
      return;
    }
    const timer = setTimeout(() => setShown(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [isLost]);
  if (!shown) return null;
  return (
    <div className="banner bad" role="alert">
      <p>
        <strong>{t("state.lost")}</strong> {t("state.lostRemedy")} {t("state.tryingAgain")}
      </p>
    </div>
  );
}

/** The server answers, but not with what the editor needs. */
function StartBanner() {
  const failure = useData((state) => state.startFailure);
  if (failure === null) return null;
  return (
    <div className="banner bad" role="alert">
      <p>
        <strong>{failure.text}</strong> {failure.remedy} {t("state.tryingAgain")}
      </p>
    </div>
  );
}

function PacksBanner() {
  const failures = useData((state) => state.packFailures);
  const [dismissed, setDismissed] = useState("");
  const names = Object.keys(failures);
  const key = names.join("\n");
  if (names.length === 0 || key === dismissed) return null;
  return (
    <div className="banner warn" role="status">
      <details>
        <summary>
          {names.length === 1
            ? t("state.onePackFailed", { name: names[0] ?? "" })
            : t("state.packFailed", { count: names.length })}
        </summary>
        <dl className="values">
          {Object.entries(failures).map(([name, why]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>
                <pre>{why}</pre>
              </dd>
            </div>
          ))}
        </dl>
      </details>
      <button type="button" className="quiet" onClick={() => setDismissed(key)}>
        {t("app.dismiss")}
      </button>
    </div>
  );
}
