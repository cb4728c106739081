import { t } from "../../i18n";
import { activeTab, useEditor } from "../../stores/editorStore";
import {
  copySelection,
  cutSelection,
  duplicateSelection,
  pasteFromClipboard,
  redo,
  removeSelection,
  selectAll,
  selectedCards,
  selection,
  toggleBreakpoint,
  toggleCollapsed,
  toggleMode,
  undo,
} from "../actions";
import { useCanvas } from "../canvasStore";
import type { Command } from "../commands";

const anySelected = () => selection().length > 0;
const anyCard = () => selectedCards().length > 0;
const tab = () => activeTab(useEditor.getState());

export const editCommands: readonly Command[] = [
  {
    id: "edit.undo",
    label: t("editor.undo"),
    section: "edit",
    keys: ["$mod+z"],
    enabled: () => (tab()?.history.done.length ?? 0) > 0,
    run: undo,
  },
  {
    id: "edit.redo",
    label: t("editor.redo"),
    section: "edit",
    keys: ["$mod+Shift+z", "$mod+y"],
    enabled: () => (tab()?.history.undone.length ?? 0) > 0,
    run: redo,
  },
  {
    id: "edit.cut",
    label: t("editor.cut"),
    section: "edit",
    keys: ["$mod+x"],
    native: true,
    enabled: anySelected,
    run: cutSelection,
  },
  {
    id: "edit.copy",
    label: t("editor.copy"),
    section: "edit",
    keys: ["$mod+c"],
    native: true,
    enabled: anySelected,
    run: copySelection,
  },
  {
    id: "edit.paste",
    label: t("editor.paste"),
    section: "edit",
    keys: ["$mod+v"],
    native: true,
    run: pasteFromClipboard,
  },
  {
    id: "edit.duplicate",
    label: t("editor.duplicate"),
    section: "edit",
    keys: ["$mod+d"],
    enabled: anySelected,
    run: duplicateSelection,
  },
  {
    id: "edit.delete",
    label: t("editor.delete"),
    section: "edit",
    keys: ["Delete", "Backspace"],
    enabled: () => anySelected() || useCanvas.getState().selectedLinks.size > 0,
    run: removeSelection,
  },
  { id: "edit.selectAll", label: t("editor.selectAll"), section: "edit", keys: ["$mod+a"], run: selectAll },
  {
    id: "edit.selectNone",
    label: t("editor.selectNone"),
    section: "edit",
    enabled: anySelected,
    run: () => useEditor.getState().select([]),
  },
  {
    id: "edit.rename",
    label: t("editor.rename"),
    section: "edit",
    keys: ["F2"],
    enabled: () => selection().length === 1,
    run: () => useCanvas.getState().set({ renaming: selection()[0] ?? null }),
  },
  {
    id: "edit.mute",
    label: t("editor.mute"),
    section: "edit",
    keys: ["m"],
    enabled: anyCard,
    run: () => toggleMode("muted"),
  },
  {
    id: "edit.bypass",
    label: t("editor.bypass"),
    section: "edit",
    keys: ["b"],
    enabled: anyCard,
    run: () => toggleMode("bypassed"),
  },
  {
    id: "edit.breakpoint",
    label: t("breakpoints.toggle"),
    section: "edit",
    keys: ["F9"],
    enabled: anyCard,
    run: () => toggleBreakpoint(),
  },
  {
    id: "edit.collapse",
    label: t("editor.collapse"),
    section: "edit",
    keys: ["c"],
    enabled: anyCard,
    run: toggleCollapsed,
  },
];
