import type { MouseEvent } from "react";
import { useCanvas } from "../editor/canvasStore";
import { runCommand, shownKeys } from "../editor/commands";
import { t } from "../i18n";
import { isUnsaved, type Tab, useEditor } from "../stores/editorStore";

/** The open workflows. */
export function Tabs() {
  const tabs = useEditor((state) => state.tabs);
  const active = useEditor((state) => state.active);
  const keys = shownKeys("file.new");
  return (
    <div className="tabs">
      <div role="tablist" aria-label={t("app.workflows")} className="tablist">
        {tabs.map((tab) => (
          <TabButton key={tab.id} tab={tab} isActive={tab.id === active} />
        ))}
      </div>
      <button
        type="button"
        className="quiet"
        aria-label={t("app.newTab")}
        title={keys === undefined ? t("app.newTab") : `${t("app.newTab")} (${keys})`}
        onClick={() => runCommand("file.new")}
      >
        +
      </button>
    </div>
  );
}

function TabButton({ tab, isActive }: { tab: Tab; isActive: boolean }) {
  const { activate, close } = useEditor.getState();
  return (
    <button
      type="button"
      role="tab"
      aria-selected={isActive}
      className="tab"
      onClick={() => activate(tab.id)}
      onAuxClick={(event) => event.button === 1 && close(tab.id)}
      onContextMenu={(event) => showMenu(event, tab)}
      onKeyDown={(event) => event.key === "Delete" && close(tab.id)}
    >
      {nameOf(tab)}
      {isUnsaved(tab) && <span className="unsaved" role="img" aria-label={t("app.unsaved")} />}
      {isActive && (
        // for the mouse alone: a tab can hold no button; by keyboard Delete and a command do the same
        <span
          className="tab-close"
          aria-hidden="true"
          title={t("app.closeTab")}
          onClick={(event) => {
            event.stopPropagation();
            close(tab.id);
          }}
        >
          ×
        </span>
      )}
    </button>
  );
}

function showMenu(event: MouseEvent, tab: Tab): void {
  event.preventDefault();
  const { activate, close, tabs } = useEditor.getState();
  activate(tab.id);
  const others = tabs.filter((each) => each.id !== tab.id);
  useCanvas.getState().set({
    menu: {
      x: event.clientX,
      y: event.clientY,
      label: t("app.tabMenu", { name: nameOf(tab) }),
      entries: [
        { label: t("app.newTab"), keys: shownKeys("file.new") ?? "", run: () => runCommand("file.new") },
        { label: t("data.saveAs"), keys: shownKeys("file.saveAs") ?? "", run: () => runCommand("file.saveAs") },
        "line",
        { label: t("app.closeTab"), keys: shownKeys("file.close") ?? "", run: () => close(tab.id) },
        {
          label: t("app.closeOthers"),
          disabled: others.length === 0,
          run: () => {
            for (const other of others) close(other.id);
          },
        },
      ],
    },
  });
}

export function nameOf(tab: Tab): string {
  return tab.name ?? tab.history.present.meta?.name ?? t("app.untitled");
}
