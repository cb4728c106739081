import { type MouseEvent, useEffect } from "react";
import "../styles/run.css";
import "../styles/panels.css";
import "../styles/results.css";
import "../styles/sheets.css";
import "../styles/gallery.css";
import "../styles/sweeps.css";
import { lazily } from "../app/lazily";
import { useCanvas } from "../editor/canvasStore";
import { registerCommands, shownKeys } from "../editor/commands";
import { addNodeEntries } from "../editor/menus";
import { t } from "../i18n";
import { activeTab, useEditor } from "../stores/editorStore";
import { useRun } from "../stores/runStore";
import { useUi } from "../stores/uiStore";
import { runCommands } from "./commands";
import { useData } from "./dataStore";
import { Icon } from "./icons";
import { JobProgress } from "./JobProgress";
import { shownOf } from "./pictures";
import { Stopped } from "./Stopped";
import { cancelTab, run, runSelection, selectedNodes } from "./submit";

const TIMES = [2, 4, 8];

const Problems = lazily(async () => (await import("./Problems")).Problems);

/** Run, how far it is along, and what stands in its way. */
export function RunBar() {
  const tab = useEditor((state) => state.active);
  const isEmpty = useEditor((state) => Object.keys(activeTab(state)?.history.present.nodes ?? {}).length === 0);
  const job = useRun((state) => shownOf(state.jobs, tab).running);
  const connection = useRun((state) => state.connection);
  useEffect(() => {
    registerCommands(runCommands());
    addNodeEntries((node) => [{ label: t("run.toHere"), run: () => run(1, [node]) }]);
  }, []);
  return (
    <div className="runbar">
      <Problems tab={tab} />
      {job !== null && (
        <>
          <JobProgress job={job} />
          <button type="button" className="secondary" onClick={() => cancelTab(tab)}>
            {t("run.cancel")}
          </button>
        </>
      )}
      <Stopped tab={tab} />
      <QueueButton />
      <div className="split">
        <button
          type="button"
          className="primary"
          disabled={isEmpty || connection !== "connected"}
          title={shownKeys("run.run")}
          onClick={() => run()}
        >
          {t("run.run")}
        </button>
        <button
          type="button"
          className="primary"
          aria-label={t("run.more")}
          aria-haspopup="menu"
          disabled={isEmpty}
          onClick={showMenu}
        >
          <Icon name="more" size={14} />
        </button>
      </div>
    </div>
  );
}

function showMenu(event: MouseEvent<HTMLButtonElement>): void {
  const { bottom, right } = event.currentTarget.getBoundingClientRect();
  const tab = activeTab(useEditor.getState());
  const chosen = tab === undefined ? 0 : selectedNodes(tab).length;
  const { runOnChange, set } = useData.getState();
  useCanvas.getState().set({
    menu: {
      x: right,
      y: bottom + 4,
      label: t("run.more"),
      entries: [
        { label: t("run.selection"), disabled: chosen === 0, run: runSelection },
        "line",
        ...TIMES.map((times) => ({ label: t("run.times", { times }), run: () => run(times) })),
        "line",
        { label: t("run.onChange"), checked: runOnChange, run: () => set({ runOnChange: !runOnChange }) },
      ],
    },
  });
}

/** How many jobs there are, if there are any; it opens the queue. */
function QueueButton() {
  const count = useData((state) => state.queue?.jobs.length ?? 0);
  const paused = useData((state) => state.queue?.paused ?? false);
  const togglePanel = useUi((state) => state.togglePanel);
  if (count < 2 && !paused)
    // one is what the bar beside it shows
    return null;
  return (
    <button type="button" className="quiet" onClick={() => togglePanel("queue")}>
      {paused ? t("run.queuePaused", { count }) : t("run.queueCount", { count })}
    </button>
  );
}
