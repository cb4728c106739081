/** What jobs tell of nodes, and what the next run would do. Keyed by a node's full id (`upscale/inner`). */
import { create } from "zustand";
import type { Json } from "../graph/document";

export interface Problem {
  code: string;
  message: string;
  remedy: string;
  node?: string | null;
  node_type?: string | null;
  input?: string | null;
  warning?: boolean;
}

/** A file that a node wrote. */
export interface ShownFile {
  node: string;
  path: string;
  /** SHA-256 of its bytes: it is at `/api/v1/assets/{asset}`. */
  asset: string;
  media_type: string;
  size_bytes: number;
  temporary?: boolean;
}

export interface NodeRun {
  state: "running" | "done" | "cached" | "failed" | "skipped";
  done?: number;
  total?: number;
  /** The first progress that was heard of: a training that goes on begins in the middle. */
  first?: { done: number; now: number };
  seconds?: number;
  /** When it began, by the browser's clock in ms. */
  since?: number;
  /** An object URL of the newest preview. */
  preview?: string;
  message?: string;
  remedy?: string;
  traceback?: string;
  inputs?: Record<string, string>;
}

export interface Metric {
  step: number;
  values: Record<string, number>;
}

/** What the next run would do with a node. */
export interface PlannedNode {
  state: "run" | "maybe" | "cached" | "unneeded";
  reason: string;
  /** Something that it depends on is not as it was in the last run. */
  changed: boolean;
  seconds: number | null;
  size_bytes: number | null;
}

export type JobState = "queued" | "running" | "done" | "failed" | "cancelled" | "poison";

export interface JobView {
  id: string;
  name: string;
  state: JobState;
  /** The tab that it was started from, if it is still open. */
  tab: string | null;
  nodes: Record<string, NodeRun>;
  metrics: Record<string, Metric[]>;
  outputs: ShownFile[];
  values: Record<string, Json>;
  error: { code: string; message: string; remedy?: string } | null;
  steps: number;
  finishedSteps: number;
  created: number;
  started: number | null;
  finished: number | null;
  estimateS: number | null;
}

export type Connection = "connecting" | "connected" | "lost" | "token-needed";

interface RunState {
  connection: Connection;
  /** By id; those that were heard of since the page was opened. */
  jobs: Record<string, JobView>;
  /** The newest job of each tab. */
  jobOfTab: Record<string, string>;
  /** By tab, then by full node id. */
  plans: Record<string, Record<string, PlannedNode>>;
  /** Of each tab's workflow, as the server found them last. */
  problems: Record<string, readonly Problem[]>;
  setConnection(connection: Connection): void;
  /** Change one job, and nothing else. */
  changeJob(id: string, next: (job: JobView) => Partial<JobView>): void;
  addJob(job: JobView): void;
  setPlan(tab: string, plan: Record<string, PlannedNode>, problems: readonly Problem[]): void;
}

export const useRun = create<RunState>()((set, get) => ({
  connection: "connecting",
  jobs: {},
  jobOfTab: {},
  plans: {},
  problems: {},
  setConnection: (connection) => set({ connection }),
  changeJob(id, next) {
    const job = get().jobs[id];
    if (job !== undefined) set({ jobs: { ...get().jobs, [id]: { ...job, ...next(job) } } });
  },
  addJob: (job) =>
    set({
      jobs: { ...get().jobs, [job.id]: job },
      jobOfTab: job.tab === null ? get().jobOfTab : { ...get().jobOfTab, [job.tab]: job.id },
    }),
  setPlan: (tab, plan, problems) =>
    set({ plans: { ...get().plans, [tab]: plan }, problems: { ...get().problems, [tab]: problems } }),
}));

/** What the tab's newest job says of a node; undefined if it says nothing. */
export function nodeRun(state: RunState, tab: string, node: string): NodeRun | undefined {
  const job = state.jobOfTab[tab];
  return job === undefined ? undefined : state.jobs[job]?.nodes[node];
}
