/** From metrics of several runs to the columns that a chart draws. */
import type { Metric } from "../stores/runStore";

export interface Run {
  label: string;
  metrics: readonly Metric[];
}

/** The steps of all runs, then each run's values at them; null where a run has none. */
export type Columns = [number[], ...(number | null)[][]];

export function metricNames(runs: readonly Run[]): string[] {
  const names = new Set<string>();
  for (const { metrics } of runs)
    for (const { values } of metrics) for (const name of Object.keys(values)) names.add(name);
  return [...names];
}

/** @param smoothing From 0 to 1: how much of what was before stays in each value (an exponential average). */
export function columnsOf(runs: readonly Run[], name: string, smoothing = 0): Columns {
  const steps = [...new Set(runs.flatMap(({ metrics }) => metrics.map(({ step }) => step)))].sort(
    (one, other) => one - other,
  );
  const places = new Map(steps.map((step, place) => [step, place]));
  const columns = runs.map(({ metrics }) => {
    const column = new Array<number | null>(steps.length).fill(null);
    let kept: number | null = null;
    for (const { step, values } of metrics) {
      const value = values[name];
      if (value === undefined || !Number.isFinite(value)) continue;
      kept = kept === null ? value : kept * smoothing + value * (1 - smoothing);
      column[places.get(step) as number] = kept;
    }
    return column;
  });
  return [steps, ...columns];
}
