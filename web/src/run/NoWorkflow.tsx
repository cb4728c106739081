import { runCommand } from "../editor/commands";
import { t } from "../i18n";
import { useEditor } from "../stores/editorStore";
import { useUi } from "../stores/uiStore";
import { useData } from "./dataStore";

/** What to do when every tab is closed. */
export function NoWorkflow() {
  const isShown = useEditor((state) => state.tabs.length === 0);
  const started = useData((state) => state.started);
  if (!isShown || !started) return null;
  return (
    <div className="noworkflow">
      <p>{t("state.noWorkflow")}</p>
      <div className="buttons">
        <button type="button" className="primary" onClick={() => useUi.getState().showPanel("library")}>
          {t("state.openExample")}
        </button>
        <button type="button" className="secondary" onClick={() => runCommand("file.new")}>
          {t("app.newTab")}
        </button>
      </div>
    </div>
  );
}
