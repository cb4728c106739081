import { t } from "../i18n";
import { isUnsaved, type Tab, useEditor } from "../stores/editorStore";

/** The open workflows. */
export function Tabs() {
  const tabs = useEditor((state) => state.tabs);
  const active = useEditor((state) => state.active);
  const { activate, close, open } = useEditor.getState();
  return (
    <div className="tabs">
      <div role="tablist" aria-label={t("app.workflows")} className="tablist">
        {tabs.map((tab) => (
          <button
            key={tab.id}
            type="button"
            role="tab"
            aria-selected={tab.id === active}
            className="tab"
            onClick={() => activate(tab.id)}
            onAuxClick={(event) => event.button === 1 && close(tab.id)}
          >
            {nameOf(tab)}
            {isUnsaved(tab) && <span className="unsaved" role="img" aria-label={t("app.unsaved")} />}
          </button>
        ))}
      </div>
      <button
        type="button"
        className="quiet"
        aria-label={t("app.newTab")}
        onClick={() => open({ format: "graphengine", version: 1, nodes: {} })}
      >
        +
      </button>
    </div>
  );
}

export function nameOf(tab: Tab): string {
  return tab.name ?? tab.history.present.meta?.name ?? t("app.untitled");
}
