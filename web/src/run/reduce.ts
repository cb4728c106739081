/** From events to what is shown of a job: pure, so that a replay after a lost connection gives the same. */
import type { JobEvent } from "../api/following";
import type { Job } from "../api/routes";
import { isObject, type Json } from "../graph/document";
import type { JobView, Metric, NodeRun, ShownFile } from "../stores/runStore";

const OVER: ReadonlySet<JobView["state"]> = new Set(["done", "failed", "cancelled", "poison"]);

export function isOver(job: Pick<JobView, "state">): boolean {
  return OVER.has(job.state);
}

/** A job of which nothing is known but that it exists. */
export function unheardJob(id: string, name = "", tab: string | null = null): JobView {
  return {
    id,
    name,
    state: "queued",
    tab,
    nodes: {},
    metrics: {},
    outputs: [],
    values: {},
    error: null,
    steps: 0,
    finishedSteps: 0,
    created: Date.now() / 1000,
    started: null,
    finished: null,
    estimateS: null,
  };
}

/** What the server's record of a job says of it; the events tell the rest. */
export function viewOf(job: Job, tab: string | null): JobView {
  return {
    ...unheardJob(job.id, job.name, tab),
    state: job.state,
    outputs: [...job.outputs],
    values: job.values as Record<string, Json>,
    error: job.error,
    created: job.created,
    started: job.started,
    finished: job.finished,
    estimateS: job.estimate_s,
  };
}

/**
 * Take in what happened in a job.
 *
 * @param now The browser's clock, in ms.
 */
export function reduceEvents(job: JobView, events: readonly JobEvent[], now: number): JobView {
  // copied once, then changed in place: many events come in one frame
  const next: JobView = { ...job, nodes: { ...job.nodes }, metrics: { ...job.metrics } };
  for (const event of events) apply(next, event, now);
  return next;
}

function apply(job: JobView, event: JobEvent, now: number): void {
  const node = typeof event["node"] === "string" ? event["node"] : "";
  const before = job.nodes[node];
  switch (event.type) {
    case "job_queued":
      if (!isOver(job)) job.state = "queued";
      return;
    case "job_running":
      job.state = "running";
      job.started = event.time;
      return;
    case "job_started": // once for each attempt: what an earlier one did is done again, but training goes on
      Object.assign(job, { steps: Number(event["steps"] ?? 0), finishedSteps: 0, nodes: {} });
      return;
    case "node_started":
      job.nodes[node] = {
        state: "running",
        since: now,
        ...(before?.seconds !== undefined && { seconds: before.seconds }),
      };
      return;
    case "node_progress":
      if (before?.state === "running") {
        const done = Number(event["done"]);
        job.nodes[node] = { ...before, done, total: Number(event["total"]), first: before.first ?? { done, now } };
      }
      return;
    case "node_preview": // one that comes late must not hide what came of the node
      if (before?.state === "running") job.nodes[node] = { ...before, preview: String(event["url"]) };
      return;
    case "node_finished":
      settle(job, node, { state: "done", seconds: Number(event["seconds"]) + (before?.seconds ?? 0) });
      return;
    case "node_cached":
      settle(job, node, { state: "cached" });
      return;
    case "node_skipped":
      settle(job, node, { state: "skipped", message: String(event["message"] ?? "") });
      return;
    case "node_warning":
      job.nodes[node] = { ...(before ?? { state: "running" }), message: String(event["message"]) };
      return;
    case "node_failed":
      settle(job, node, {
        state: "failed",
        message: String(event["message"]),
        traceback: String(event["traceback"] ?? ""),
        inputs: (event["inputs"] ?? {}) as Record<string, string>,
      });
      return;
    case "node_metrics":
      job.metrics[node] = addMetric(job.metrics[node] ?? [], event);
      return;
    case "job_ended":
      end(job, event);
  }
}

/** A node that loops is settled several times, and counts once. */
function settle(job: JobView, node: string, run: NodeRun): void {
  const before = job.nodes[node];
  if (before === undefined || (before.state === "running" && before.seconds === undefined)) job.finishedSteps += 1;
  const kept: Partial<NodeRun> = {};
  if (before?.preview !== undefined) kept.preview = before.preview;
  if (run.message === undefined && before?.message !== undefined) kept.message = before.message;
  job.nodes[node] = { ...kept, ...run };
}

function addMetric(metrics: readonly Metric[], event: JobEvent): Metric[] {
  const step = Number(event["step"]);
  // values that are no finite numbers come as texts
  const values = Object.entries(isObject(event["values"]) ? event["values"] : {}).map(([name, value]) => [
    name,
    Number(value),
  ]);
  // a look at a training comes after the step's own numbers; a step that is done again replaces what came after it
  const same = metrics.at(-1)?.step === step ? metrics.at(-1)?.values : {};
  return [...metrics.filter((each) => each.step < step), { step, values: { ...same, ...Object.fromEntries(values) } }];
}

function end(job: JobView, event: JobEvent): void {
  job.state = event["state"] as JobView["state"];
  job.error = (event["error"] ?? null) as JobView["error"];
  job.outputs = (event["outputs"] ?? []) as ShownFile[];
  job.values = (event["values"] ?? {}) as Record<string, Json>;
  job.finished = event.time;
  for (const [id, { preview: _late, ...run }] of Object.entries(job.nodes)) {
    if (run.state === "running") delete job.nodes[id];
    else job.nodes[id] = run;
  }
  const failed = isObject(job.error)
    ? ((job.error as Record<string, unknown>)["extra"] as Record<string, unknown> | undefined)?.["node"]
    : undefined;
  const run = typeof failed === "string" ? job.nodes[failed] : undefined;
  if (typeof failed === "string" && job.error !== null)
    job.nodes[failed] = { message: job.error.message, ...run, state: "failed", remedy: job.error.remedy ?? "" };
}

/** The object URLs of previews that one view has and the next one hasn't: nobody shows them any more. */
export function dropped(before: JobView | undefined, after: JobView): string[] {
  return Object.entries(before?.nodes ?? {}).flatMap(([node, run]) =>
    run.preview !== undefined && after.nodes[node]?.preview !== run.preview ? [run.preview] : [],
  );
}
