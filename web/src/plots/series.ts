/** From metrics of several runs to the columns that a chart draws. */
import type { Metric } from "../stores/runStore";

export interface Run {
  /** Its job and node. */
  id: string;
  label: string;
  job: string;
  node: string;
  /** Whether it still runs. */
  goesOn: boolean;
  /** The same for the runs of one node of one workflow. */
  origin: string;
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

/** How values are drawn. */
export interface Look {
  /** From 0 to 1: how much of what was before stays in each value (an exponential average). */
  smoothing: number;
  /** Only what is above zero has a logarithm. */
  logarithmic: boolean;
}

const PLAIN: Look = { smoothing: 0, logarithmic: false };

/** A curve: what is drawn of a run. */
export interface Line {
  run: Run;
  metric: string;
}

/** What is drawn over each other: a metric alone, or those that are compared with it. */
export interface View {
  name: string;
  metrics: readonly string[];
}

const TIME_LEFT = "eta_s";
const BAND = /^loss_noise_\d+_\d+$/;

/** The views of all that was measured, the loss first. */
export function viewsOf(names: readonly string[], bands: string): View[] {
  const held = names.filter((name) => name === "held_out_loss");
  const loss = names.filter((name) => name === "loss");
  const byNoise = names.filter((name) => BAND.test(name)).sort();
  const others = names.filter((name) => name !== "loss" && name !== TIME_LEFT && !BAND.test(name));
  return [
    ...loss.map((name) => ({ name, metrics: [name, ...held] })),
    ...(byNoise.length > 0 ? [{ name: bands, metrics: byNoise }] : []),
    ...others.map((name) => ({ name, metrics: [name] })),
  ];
}

/** The curves of a view: of each run those that it has. */
export function linesOf(runs: readonly Run[], { metrics }: View): Line[] {
  return runs.flatMap((run) => {
    const measured = new Set(metricNames([run]));
    return metrics.filter((metric) => measured.has(metric)).map((metric) => ({ run, metric }));
  });
}

/** How long a run that goes on says that it still takes; null if it doesn't. */
export function secondsLeft({ metrics }: Pick<Run, "metrics">): number | null {
  return metrics.findLast((each) => each.values[TIME_LEFT] !== undefined)?.values[TIME_LEFT] ?? null;
}

export function columnsOf(lines: readonly Line[], { smoothing, logarithmic }: Look = PLAIN): Columns {
  const steps = [...new Set(lines.flatMap(({ run }) => run.metrics.map(({ step }) => step)))].sort(
    (one, other) => one - other,
  );
  const places = new Map(steps.map((step, place) => [step, place]));
  const columns = lines.map(({ run, metric }) => {
    const column = new Array<number | null>(steps.length).fill(null);
    let kept: number | null = null;
    for (const { step, values } of run.metrics) {
      const value = values[metric];
      if (value === undefined || !Number.isFinite(value) || (logarithmic && value <= 0)) continue;
      kept = kept === null ? value : kept * smoothing + value * (1 - smoothing);
      column[places.get(step) as number] = kept;
    }
    return column;
  });
  return [steps, ...columns];
}

/** Give what a run measured at a step, or last before it; at its end if no step is asked for. */
export function valueAt({ metrics }: Run, name: string, step?: number): { step: number; value: number } | null {
  const found = metrics.findLast(
    (each) => each.values[name] !== undefined && (step === undefined || each.step <= step),
  );
  return found === undefined ? null : { step: found.step, value: found.values[name] as number };
}

/**
 * Join runs that went on where an earlier one had stopped, such as a training that was cancelled and run again.
 *
 * @param runs The oldest first.
 */
export function joinResumed(runs: readonly Run[]): Run[] {
  const joined: Run[] = [];
  for (const run of runs) {
    const before = joined.findLastIndex((each) => each.origin === run.origin && goesOn(each, run));
    if (before < 0) joined.push(run);
    else joined.splice(before, 1, { ...run, metrics: [...earlier(joined[before] as Run, run), ...run.metrics] });
  }
  return joined;
}

function goesOn(before: Run, after: Run): boolean {
  const [first, second] = after.metrics;
  const begun = before.metrics[0];
  const last = before.metrics.at(-1);
  if (first === undefined || begun === undefined || last === undefined) return false;
  const every = second === undefined ? 1 : second.step - first.step;
  return begun.step < first.step && first.step <= last.step + every;
}

function earlier({ metrics }: Run, { metrics: [first] }: Run): readonly Metric[] {
  return metrics.filter(({ step }) => first !== undefined && step < first.step);
}
