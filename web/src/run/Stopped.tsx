import { shownKeys } from "../editor/commands";
import { t } from "../i18n";
import { useRun } from "../stores/runStore";
import { jumpTo } from "./jump";
import { isThere, useStops } from "./stops";
import { goOn } from "./submit";

/** Where the last run has stopped, and the way on. */
export function Stopped({ tab }: { tab: string }) {
  const stopped = useStops((state) => state.byTab[tab]);
  const isHere = useRun((state) => stopped !== undefined && isThere(stopped, state.jobs));
  const isConnected = useRun((state) => state.connection === "connected");
  if (stopped === undefined || !isHere) return null;
  const [first = ""] = stopped.before;
  return (
    <>
      <button type="button" className="link stopped" onClick={() => jumpTo(first)}>
        {t("breakpoints.stopped", { node: stopped.before.join(", ") })}
      </button>
      <button
        type="button"
        className="secondary"
        title={shownKeys("run.continue")}
        disabled={!isConnected}
        onClick={() => goOn()}
      >
        {t("breakpoints.continue")}
      </button>
    </>
  );
}
