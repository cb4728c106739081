/** What running and files add to the editor's commands. */
import type { Command } from "../editor/commands";
import { emptyWorkflow } from "../graph/document";
import { t } from "../i18n";
import { activeTab, useEditor } from "../stores/editorStore";
import { type Panel, useUi } from "../stores/uiStore";
import { useData } from "./dataStore";
import { stoppedIn } from "./stops";
import { cancelTab, goOn, openJobs, run, runSelection, selectedNodes } from "./submit";
import { withFiles } from "./withFiles";

/** With the keys that show or hide them. */
const PANELS: readonly (readonly [Panel, ...string[]])[] = [
  ["library"],
  ["form"],
  ["outline", "o"],
  ["node", "F1"],
  ["gallery"],
  ["queue"],
  ["history"],
  ["plots"],
];

export function runCommands(): Command[] {
  const hasNodes = () => Object.keys(activeTab(useEditor.getState())?.history.present.nodes ?? {}).length > 0;
  return [
    {
      id: "run.run",
      label: t("run.run"),
      section: "run",
      keys: ["$mod+Enter"],
      whileTyping: true,
      enabled: hasNodes,
      run: () => void run(),
    },
    {
      id: "run.selection",
      label: t("run.selection"),
      section: "run",
      keys: ["$mod+Shift+Enter"],
      whileTyping: true,
      enabled: () => {
        const tab = activeTab(useEditor.getState());
        return tab !== undefined && selectedNodes(tab).length > 0;
      },
      run: () => void runSelection(),
    },
    {
      id: "run.continue",
      label: t("breakpoints.continue"),
      section: "run",
      keys: ["F8"],
      whileTyping: true,
      enabled: () => stoppedIn(useEditor.getState().active) !== null,
      run: () => void goOn(),
    },
    {
      id: "run.cancel",
      label: t("run.cancelRun"),
      section: "run",
      keys: ["$mod+."],
      whileTyping: true,
      enabled: () => openJobs(useEditor.getState().active).length > 0,
      run: () => void cancelTab(useEditor.getState().active),
    },
    {
      id: "run.onChange",
      label: t("run.onChange"),
      section: "run",
      run: () => useData.getState().set({ runOnChange: !useData.getState().runOnChange }),
    },
    ...fileCommands(hasNodes),
    ...PANELS.map(
      ([panel, ...keys]): Command => ({
        id: `panel.${panel}`,
        label: t("data.showPanel", { panel: t(`panels.${panel}`) }),
        section: "view",
        keys,
        run: () => useUi.getState().togglePanel(panel),
      }),
    ),
  ];
}

function fileCommands(enabled: () => boolean): Command[] {
  const command = (id: string, label: string, work: Parameters<typeof withFiles>[0], keys?: string[]): Command => ({
    id: `file.${id}`,
    label,
    section: "file",
    enabled: id === "openFile" ? () => true : enabled,
    ...(keys && { keys, whileTyping: true }),
    run: () => void withFiles(work),
  });
  return [
    {
      id: "file.new",
      label: t("app.newTab"),
      section: "file",
      keys: ["Alt+KeyN"],
      run: () => void useEditor.getState().open(emptyWorkflow()),
    },
    {
      id: "file.close",
      label: t("app.closeTab"),
      section: "file",
      keys: ["Alt+KeyW"],
      enabled: () => activeTab(useEditor.getState()) !== undefined,
      run: () => useEditor.getState().close(useEditor.getState().active),
    },
    command("openFile", t("data.openFile"), (files) => files.chooseFile(), ["$mod+o"]),
    command("save", t("data.save"), (files) => files.save(), ["$mod+s"]),
    command("saveAs", t("data.saveAs"), (files) => files.saveAs(), ["$mod+Shift+s"]),
    command("exportFile", t("data.exportFile"), (files) => files.exportFile()),
    command("exportImage", t("data.exportImage"), (files) => files.exportImage()),
    command("copyCommand", t("data.copyCommand"), (files) => files.copyCommand()),
  ];
}
