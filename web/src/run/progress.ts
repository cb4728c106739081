/** How far a job is along, and how long it may still take. */
import type { JobView, NodeRun, PlannedNode } from "../stores/runStore";
import { isOver } from "./reduce";

export interface Progress {
  /** From 0 to 1. */
  fraction: number;
  /** Null while there is nothing to tell it from. */
  remainingS: number | null;
}

/** @param plan What the server expected of the nodes: how they weigh against each other. */
export function progressOf(job: JobView, plan: Record<string, PlannedNode>, now: number): Progress {
  if (isOver(job)) return { fraction: 1, remainingS: 0 };
  const estimate = job.estimateS;
  if (job.started === null) return { fraction: 0, remainingS: estimate };
  const fraction = fractionOf(job, plan);
  const elapsed = Math.max(0, now / 1000 - job.started);
  const remainder = remainderOfResumed(job, plan, fraction, now);
  if (remainder !== null) return { fraction, remainingS: remainder };
  // early on, what jobs like it took is the better guide
  const byPace = fraction > 0.02 && elapsed > 0.5 ? (elapsed * (1 - fraction)) / fraction : null;
  const byEstimate = estimate === null ? null : Math.max(0, estimate - elapsed);
  const remainingS =
    byPace === null || byEstimate === null ? (byPace ?? byEstimate) : byPace * fraction + byEstimate * (1 - fraction);
  return { fraction, remainingS };
}

/**
 * Tell how long a job may still take whose node was far along when it was first heard of, such as a training that goes
 * on: what it found done took none of the time that has passed, and jobs like it are no guide. Null for other jobs.
 */
function remainderOfResumed(
  job: JobView,
  plan: Record<string, PlannedNode>,
  fraction: number,
  now: number,
): number | null {
  for (const [id, run] of Object.entries(job.nodes)) {
    const { state, first, total = 0 } = run;
    if (state !== "running" || first === undefined || first.done <= Math.max(1, total / 100)) continue;
    const then: NodeRun = { ...run, done: first.done };
    const gained = fraction - fractionOf({ ...job, nodes: { ...job.nodes, [id]: then } }, plan);
    if (gained > 0) return (((now - first.now) / 1000) * (1 - fraction)) / gained;
  }
  return null;
}

function fractionOf(job: JobView, plan: Record<string, PlannedNode>): number {
  const runs = Object.entries(job.nodes);
  const known = Object.values(plan).filter((each) => each.seconds !== null);
  const average = known.length === 0 ? 1 : known.reduce((sum, each) => sum + (each.seconds ?? 0), 0) / known.length;
  const weigh = (node: string) => Math.max(plan[node]?.seconds ?? average, average / 100, 1e-6);
  let whole = 0;
  let done = 0;
  for (const [node, run] of runs) {
    const weight = run.state === "cached" || run.state === "skipped" ? 0 : weigh(node);
    whole += weight;
    if (run.state !== "running") done += weight;
    else if (run.total !== undefined && run.total > 0) done += (weight * (run.done ?? 0)) / run.total;
  }
  const unheard = Object.keys(plan).filter(
    (node) => job.nodes[node] === undefined && plan[node]?.state !== "cached" && plan[node]?.state !== "unneeded",
  );
  const missing = Math.max(0, job.steps - runs.length);
  whole += unheard.slice(0, missing).reduce((sum, node) => sum + weigh(node), 0);
  whole += Math.max(0, missing - unheard.length) * average;
  return whole === 0 ? 0 : Math.min(1, done / whole);
}

/** Write a span of time briefly: `3 s`, `2 min 5 s`, `1 h 4 min`. */
export function spanText(seconds: number): string {
  if (seconds < 0.05) return "0 s";
  if (seconds < 0.95) return `${Math.max(seconds, 0).toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
