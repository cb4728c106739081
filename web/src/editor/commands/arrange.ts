import { t } from "../../i18n";
import { alignSelection, arrangeGraph, distributeSelection, selection } from "../actions";
import { useCanvas } from "../canvasStore";
import type { Command } from "../commands";

const several = (count: number) => () => selection().length >= count;

const SIDES = ["left", "right", "top", "bottom", "center", "middle"] as const;

export const arrangeCommands: readonly Command[] = [
  { id: "arrange.layout", label: t("editor.layout"), section: "arrange", keys: ["Shift+L"], run: arrangeGraph },
  ...SIDES.map(
    (side): Command => ({
      id: `arrange.${side}`,
      label: t(`editor.align_${side}`),
      section: "arrange",
      enabled: several(2),
      run: () => alignSelection(side),
    }),
  ),
  {
    id: "arrange.across",
    label: t("editor.distributeAcross"),
    section: "arrange",
    enabled: several(3),
    run: () => distributeSelection("x"),
  },
  {
    id: "arrange.down",
    label: t("editor.distributeDown"),
    section: "arrange",
    enabled: several(3),
    run: () => distributeSelection("y"),
  },
  {
    id: "arrange.snap",
    label: t("editor.snap"),
    section: "arrange",
    run: () => useCanvas.getState().set({ snap: !useCanvas.getState().snap }),
  },
];
