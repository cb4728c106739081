import { t } from "../../i18n";
import { useUi } from "../../stores/uiStore";
import { selection } from "../actions";
import { useCanvas } from "../canvasStore";
import type { Command } from "../commands";
import { showHeat, useHeat } from "../heatStore";
import { fitView, zoomBy, zoomTo } from "../view";

export const viewCommands: readonly Command[] = [
  {
    id: "view.commands",
    label: t("editor.commands"),
    section: "view",
    keys: ["$mod+k"],
    whileTyping: true,
    run: () => useUi.getState().showDialog("commands"),
  },
  {
    id: "view.search",
    label: t("editor.search"),
    section: "view",
    keys: ["$mod+f"],
    run: () => useUi.getState().showDialog("search"),
  },
  {
    id: "view.keys",
    label: t("editor.keys"),
    section: "view",
    keys: ["Shift+?"],
    run: () => useUi.getState().showDialog("keys"),
  },
  { id: "view.fit", label: t("editor.fit"), section: "view", keys: ["Shift+!", "."], run: () => fitView() },
  {
    id: "view.fitSelection",
    label: t("editor.fitSelection"),
    section: "view",
    keys: ["Shift+F"],
    enabled: () => selection().length > 0,
    run: () => fitView(selection()),
  },
  { id: "view.actual", label: t("editor.actualSize"), section: "view", keys: ["0"], run: () => zoomTo(1) },
  { id: "view.zoomIn", label: t("editor.zoomIn"), section: "view", keys: ["+", "="], run: () => zoomBy(1.25) },
  { id: "view.zoomOut", label: t("editor.zoomOut"), section: "view", keys: ["-"], run: () => zoomBy(0.8) },
  {
    id: "view.minimap",
    label: t("editor.minimap"),
    section: "view",
    run: () => useCanvas.getState().set({ minimap: !useCanvas.getState().minimap }),
  },
  {
    id: "view.heat",
    label: t("heat.toggle"),
    section: "view",
    keys: ["h"],
    run: () => showHeat(useHeat.getState().kind === null ? "seconds" : null),
  },
];
