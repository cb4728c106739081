/** A sweep: one job for each value of an input, or pair of values of two, and a grid of what came of them. */
import { create } from "zustand";

export interface SweepTarget {
  /** Full id of the node. */
  node: string;
  input: string;
}

export interface SweepCell {
  label: string;
  job: string;
}

export interface SweepGrid {
  title: string;
  /** What goes across, and what goes down; null with one axis. */
  axes: { columns: string; rows: string | null };
  columns: readonly string[];
  rows: readonly { label: string; cells: readonly SweepCell[] }[];
}

interface SweepState {
  target: SweepTarget | null;
  grid: SweepGrid | null;
  set(change: { target?: SweepTarget | null; grid?: SweepGrid | null }): void;
}

export const useSweep = create<SweepState>()((set) => ({ target: null, grid: null, set: (change) => set(change) }));

/** Ask which values an input is to be run with. */
export function startSweep(target: SweepTarget): void {
  useSweep.getState().set({ target, grid: null });
}
