/** Whether nodes are tinted by what they cost, and what that is; apart, for every card listens to it. */
import { create } from "zustand";
import type { Heat, HeatKind } from "../graph/heat";
import { heatOf } from "../graph/heat";
import { sizeText } from "../run/pictures";
import { activeTab, useEditor } from "../stores/editorStore";
import { useRun } from "../stores/runStore";
import { showSeconds } from "./nodes/Badge";

const UNKNOWN: Heat = { costs: new Map(), most: 0 };

interface HeatState {
  /** Null while nothing is tinted. */
  kind: HeatKind | null;
  heat: Heat;
}

export const useHeat = create<HeatState>()(() => ({ kind: null, heat: UNKNOWN }));

export function showHeat(kind: HeatKind | null): void {
  useHeat.setState({ kind, ...(kind === null ? { heat: UNKNOWN } : {}) });
}

/** Keep the costs those of the graph that is shown, until the returned function is called. */
export function followHeat(kind: HeatKind): () => void {
  let seen: readonly unknown[] = [];
  const look = () => {
    const [editor, run] = [useEditor.getState(), useRun.getState()];
    const tab = activeTab(editor);
    if (tab === undefined) return;
    const planned = run.plans[tab.id];
    const ran = run.jobs[run.jobOfTab[tab.id] ?? ""]?.nodes;
    const prefix = tab.path.map(({ node }) => `${node}/`).join("");
    const now = [planned, ran, prefix];
    if (now.every((each, place) => each === seen[place]) && seen.length > 0) return;
    seen = now;
    useHeat.setState({ heat: heatOf(kind, prefix, planned ?? {}, ran ?? {}) });
  };
  look();
  const ends = [useRun.subscribe(look), useEditor.subscribe(look)];
  return () => {
    for (const end of ends) end();
  };
}

export function costText(kind: HeatKind, cost: number): string {
  return kind === "seconds" ? showSeconds(cost) : sizeText(cost);
}
