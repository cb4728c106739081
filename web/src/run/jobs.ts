/** Jobs: queue them, hear of them, stop them. Events are taken in once per frame, however many come. */
import type { JobEvent } from "../api/following";
import * as api from "../api/routes";
import { EventSocket } from "../api/socket";
import { t } from "../i18n";
import { type JobView, useRun } from "../stores/runStore";
import { useUi } from "../stores/uiStore";
import { useData } from "./dataStore";
import { dropped, isOver, reduceEvents, unheardJob, viewOf } from "./reduce";
import { failureOf } from "./tell";

const MOST_KEPT = 60;
const HIDDEN_MS = 250;

let socket: EventSocket | null = null;
let pending = new Map<string, JobEvent[]>();
let frame: number | undefined;
let timer: ReturnType<typeof setTimeout> | undefined;
let queueTimer: ReturnType<typeof setTimeout> | undefined;
let onEnded: (job: JobView) => void = () => {};

/** Hear of all jobs until the returned function is called. */
export function hearJobs(connected: () => void, ended: (job: JobView) => void): () => void {
  const { setConnection } = useRun.getState();
  onEnded = ended;
  socket = new EventSocket({
    events: (events) => {
      for (const event of events) put(event);
    },
    preview: (event, jpeg) => put({ ...event, jpeg }),
    connected() {
      setConnection("connected");
      refreshQueueSoon();
      connected();
    },
    lost() {
      if (useRun.getState().connection === "token-needed") return;
      setConnection("lost");
      api.getQueue().catch(() => {}); // a socket doesn't say that a token is needed; this does
    },
    unknown: (job) => useRun.getState().changeJob(job, () => ({ state: "cancelled" })),
  });
  const look = () => socket?.watch(!document.hidden);
  look();
  document.addEventListener("visibilitychange", look);
  socket.connect();
  return () => {
    document.removeEventListener("visibilitychange", look);
    socket?.close();
    socket = null;
    clearTimeout(queueTimer);
  };
}

/** Tell whether there is a connection over which events come. */
export function isHearing(): boolean {
  return socket?.isOpen === true;
}

export function reconnect(): void {
  socket?.connect();
}

/** Show a job that was queued from a tab, and what has come of it so far. */
export function showJob(job: api.Job, tab: string | null): void {
  const { jobs, jobOfTab, addJob } = useRun.getState();
  const known = jobs[job.id];
  addJob(known === undefined ? viewOf(job, tab) : { ...known, name: job.name, tab, estimateS: job.estimate_s });
  const before = tab === null ? undefined : jobs[jobOfTab[tab] ?? ""];
  if (before?.state === "running") pointTo(before); // what runs is to be seen, not what waits behind it
  socket?.follow(job.id);
  refreshQueueSoon();
}

/** Show what this job says of the nodes of its tab. */
function pointTo({ id, tab }: JobView): void {
  if (tab !== null) useRun.setState({ jobOfTab: { ...useRun.getState().jobOfTab, [tab]: id } });
}

function put(event: JobEvent): void {
  const events = pending.get(event.job);
  if (events === undefined) pending.set(event.job, [event]);
  else events.push(event);
  if (frame !== undefined) return;
  frame = requestAnimationFrame(flush);
  timer = setTimeout(flush, HIDDEN_MS); // a page in the background gets no frames
}

function flush(): void {
  if (frame !== undefined) cancelAnimationFrame(frame);
  clearTimeout(timer);
  frame = undefined;
  const heard = pending;
  pending = new Map();
  for (const [id, events] of heard) takeIn(id, events);
}

function takeIn(id: string, events: JobEvent[]): void {
  const run = useRun.getState();
  if (run.jobs[id] === undefined) {
    forgetOldest();
    run.addJob(unheardJob(id));
  }
  const before = useRun.getState().jobs[id] as JobView;
  const made = giveUrls(events);
  const after = reduceEvents(before, events, Date.now());
  run.changeJob(id, () => after);
  if (after.state === "running" && before.state !== "running") pointTo(after);
  const shown = new Set(Object.values(after.nodes).map((node) => node.preview));
  const unused = [...dropped(before, after), ...made.filter((url) => !shown.has(url))];
  if (unused.length > 0) setTimeout(() => unused.forEach(URL.revokeObjectURL), 1000); // it may still be on its way
  if (events.some((event) => event.type === "job_queued" || event.type === "job_running")) refreshQueueSoon();
  if (isOver(after) && !isOver(before)) ending(after);
}

function ending(job: JobView): void {
  useData.getState().set({ ended: useData.getState().ended + 1 });
  refreshQueueSoon();
  onEnded(job);
}

/** Make an object URL of the newest preview of each node; the older ones are not looked at. */
function giveUrls(events: JobEvent[]): string[] {
  const newest = new Map<unknown, JobEvent>();
  for (const event of events) if (event.type === "node_preview") newest.set(event["node"], event);
  return [...newest.values()].map((event) => {
    const url = URL.createObjectURL(event["jpeg"] as Blob);
    for (const each of events) if (each.type === "node_preview" && each["node"] === event["node"]) each["url"] = url;
    return url;
  });
}

/** Other people's jobs are heard of too: without a limit a page that is open for weeks would hold them all. */
function forgetOldest(): void {
  const { jobs, jobOfTab } = useRun.getState();
  const kept = new Set(Object.values(jobOfTab));
  const ended = Object.values(jobs).filter((job) => isOver(job) && !kept.has(job.id));
  if (ended.length < MOST_KEPT) return;
  const oldest = ended.sort((one, other) => one.created - other.created).slice(0, ended.length - MOST_KEPT + 1);
  const gone = new Set(oldest.map((job) => job.id));
  useRun.setState({ jobs: Object.fromEntries(Object.entries(jobs).filter(([id]) => !gone.has(id))) });
}

/** Read the queue again, shortly: several things that happen together are one reason. */
export function refreshQueueSoon(): void {
  clearTimeout(queueTimer);
  queueTimer = setTimeout(async () => {
    const { set } = useData.getState();
    try {
      set({ queue: await api.getQueue(), queueFailure: null });
    } catch (error) {
      set({ queueFailure: failureOf(error) });
    }
  }, 120);
}

/** Stop jobs of a tab: the running one, and those that wait. */
export async function cancelJobs(ids: readonly string[]): Promise<void> {
  await Promise.all(ids.map((id) => api.cancelJob(id)));
  useUi.getState().announce(t("run.cancelled"));
}
