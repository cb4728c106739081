import { useEffect } from "react";
import { Canvas } from "../editor/Canvas";
import { Dialogs } from "../editor/Dialogs";
import { t } from "../i18n";
import { Panels } from "../run/Panels";
import { RunBar } from "../run/RunBar";
import { startSession } from "../run/session";
import { useUi } from "../stores/uiStore";
import { ErrorBoundary } from "./ErrorBoundary";
import { loadWhenQuiet } from "./lazily";
import { Notices } from "./Notices";
import { Tabs } from "./Tabs";

/** The page: tabs and Run above, the canvas, one panel at its side when asked for. */
export function App() {
  const theme = useUi((state) => state.theme);
  const announcement = useUi((state) => state.announcement);
  useEffect(startSession, []);
  useEffect(loadWhenQuiet, []);
  useEffect(() => {
    if (theme === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = theme;
  }, [theme]);
  return (
    <div className="app">
      <header className="topbar">
        <h1 className="brand">{t("app.title")}</h1>
        <Tabs />
        <RunBar />
      </header>
      <main className="workspace">
        <ErrorBoundary>
          <Canvas />
        </ErrorBoundary>
        <Panels />
      </main>
      <Dialogs />
      <Notices />
      <div className="unseen" role="status" aria-live="polite">
        <span key={announcement.count}>{announcement.text}</span>
      </div>
    </div>
  );
}
