/** Which runs have stopped before breakpoints, by tab. */
import { create } from "zustand";
import { useRun } from "../stores/runStore";

/** A run that is wanted: what it is for, and the breakpoints that it doesn't stop at. */
export interface Wanted {
  targets: readonly string[] | null;
  passed: ReadonlySet<string>;
}

/** A run that stops, or has. */
export interface Stopped extends Wanted {
  before: readonly string[];
  /** The job that runs up to there; null if there was nothing to run. */
  job: string | null;
}

interface Stops {
  byTab: Readonly<Record<string, Stopped>>;
}

export const useStops = create<Stops>()(() => ({ byTab: {} }));

export function noteStop(tab: string, stopped: Stopped): void {
  useStops.setState({ byTab: { ...useStops.getState().byTab, [tab]: stopped } });
}

export function forgetStop(tab: string): void {
  const { [tab]: _gone, ...byTab } = useStops.getState().byTab;
  useStops.setState({ byTab });
}

/** Give the run that a tab's next one may continue; null if there is none, it still runs, or it failed. */
export function stoppedIn(tab: string): Stopped | null {
  const stopped = useStops.getState().byTab[tab];
  return stopped !== undefined && isThere(stopped, useRun.getState().jobs) ? stopped : null;
}

/** Tell whether a run has come to where it stops. */
export function isThere(stopped: Stopped, jobs: ReturnType<typeof useRun.getState>["jobs"]): boolean {
  return stopped.job === null || jobs[stopped.job]?.state === "done";
}
