/** Run what a tab shows. */
import { ApiError } from "../api/client";
import * as api from "../api/routes";
import { onDemand } from "../app/lazily";
import { nameOf } from "../app/Tabs";
import type { WorkflowDoc } from "../graph/document";
import { hasBreakpoints } from "../graph/frames";
import { t } from "../i18n";
import { activeTab, fullId, graphAt, type Tab, useEditor } from "../stores/editorStore";
import { useRun } from "../stores/runStore";
import { useUi } from "../stores/uiStore";
import { useData } from "./dataStore";
import { cancelJobs, showJob } from "./jobs";
import { isOver } from "./reduce";
import { advanceSeeds, type SeedMode } from "./seeds";
import { forgetStop, noteStop, stoppedIn, type Wanted } from "./stops";
import { attempt, tellError } from "./tell";

const breakpoints = onDemand(() => import("../graph/breakpoints"));
const NO_STOPS: Pick<typeof import("../graph/breakpoints"), "stopOf"> = { stopOf: () => null };

/** Documents that were made by advancing seeds: no edits of the user's. */
const ownEdits = new WeakSet<object>();

export function isOwnEdit(document: WorkflowDoc): boolean {
  return ownEdits.has(document);
}

/**
 * Queue the active tab's workflow.
 *
 * @param times Each further time with other seeds.
 * @param targets Full ids of the nodes whose results are wanted; null for all.
 */
export async function run(times = 1, targets: readonly string[] | null = null): Promise<void> {
  for (let round = 0; round < times; round += 1) {
    if (!(await runOnce({ targets, passed: new Set() }, times > 1 ? "increment" : null))) return;
  }
}

/** Run what the last run stopped before. */
export async function goOn(): Promise<void> {
  const stopped = stoppedIn(useEditor.getState().active);
  if (stopped !== null) await runOnce({ ...stopped, passed: new Set([...stopped.passed, ...stopped.before]) }, null);
}

/** Queue the active tab's workflow, as far as its breakpoints let it run; tells whether that is to its end. */
async function runOnce({ targets, passed }: Wanted, seeds: SeedMode | null): Promise<boolean> {
  const tab = activeTab(useEditor.getState());
  if (tab === undefined) return false;
  forgetStop(tab.id);
  const stops = hasBreakpoints(tab.history.present) ? await attempt(breakpoints) : NO_STOPS;
  if (stops === null) return false;
  const stop = stops.stopOf(tab.history.present, targets, passed);
  const wanted = stop === null ? targets : stop.targets;
  const job = wanted?.length === 0 ? null : await submit(tab, wanted);
  if (job === undefined) return false;
  if (stop === null) {
    nextSeeds(tab, seeds);
    return true;
  }
  // the seeds stay: the run that goes on finds in the cache what this one makes
  noteStop(tab.id, { targets, passed, before: stop.before, job });
  useUi.getState().announce(t("breakpoints.stopping", { node: stop.before.join(", ") }));
  return false;
}

/** Run what the selected nodes need, and nothing else. */
export function runSelection(): Promise<void> {
  const tab = activeTab(useEditor.getState());
  if (tab === undefined) return Promise.resolve();
  const targets = selectedNodes(tab);
  return targets.length === 0 ? Promise.resolve() : run(1, targets);
}

/** The full ids of the selected nodes; notes and groups can't be run. */
export function selectedNodes(tab: Tab): string[] {
  const nodes = graphAt(tab.history.present, tab.path)?.nodes ?? {};
  return [...tab.selection].filter((id) => nodes[id] !== undefined).map((id) => fullId(tab, id));
}

/** Queue a job and give its id; nothing if it was refused, which the user was told. */
async function submit(tab: Tab, targets: readonly string[] | null): Promise<string | undefined> {
  const run = useRun.getState();
  const options: api.RunOptions = { name: nameOf(tab).slice(0, 200) };
  if (targets !== null) options.targets = targets;
  try {
    const answer = await api.submitJob(tab.history.present, options, newKey());
    showJob(answer.job, tab.id);
    useUi.getState().announce(t("run.queued", { name: answer.job.name }));
    return answer.job.id;
  } catch (error) {
    if (error instanceof ApiError && error.problems.length > 0) {
      run.setPlan(tab.id, run.plans[tab.id] ?? {}, error.problems);
      useData.getState().set({ problemsShown: true });
      useUi.getState().announce(t("run.refused", { count: error.problems.length }));
    } else tellError(error);
    return undefined;
  }
}

/** A request that is sent twice is one job. */
function newKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function nextSeeds(tab: Tab, otherwise: SeedMode | null): void {
  const { active, definitions, edit } = useEditor.getState();
  if (active !== tab.id) return;
  edit(t("run.nextSeed"), (_graph, document) => {
    advanceSeeds(document as WorkflowDoc, definitions, otherwise);
  });
  const now = activeTab(useEditor.getState());
  if (now !== undefined && now.history.present !== tab.history.present) ownEdits.add(now.history.present);
}

/** The tab's jobs that have not ended. */
export function openJobs(tab: string): string[] {
  return Object.values(useRun.getState().jobs).flatMap((job) => (job.tab === tab && !isOver(job) ? [job.id] : []));
}

export async function cancelTab(tab: string): Promise<void> {
  await attempt(() => cancelJobs(openJobs(tab)));
}
