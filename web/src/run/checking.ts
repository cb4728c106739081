/** What the server says of the workflow that is shown, before it is run: its problems, and what a run would do. */
import { ApiError } from "../api/client";
import * as api from "../api/routes";
import type { WorkflowDoc } from "../graph/document";
import { activeTab, type Tab, useEditor } from "../stores/editorStore";
import { type PlannedNode, useRun } from "../stores/runStore";
import { useData } from "./dataStore";
import { cancelTab, isOwnEdit, run } from "./submit";

const CHECK_AFTER_MS = 8; // several edits of one event are one
const PLAN_AFTER_MS = 200; // a worker is asked: not while somebody types
const RUN_AFTER_MS = 350;

/** Tell whether two documents would run alike: how they look doesn't matter. */
export function runsAlike(one: WorkflowDoc, other: WorkflowDoc): boolean {
  return (
    one.nodes === other.nodes &&
    one.inputs === other.inputs &&
    one.outputs === other.outputs &&
    one.subgraphs === other.subgraphs
  );
}

let last: { tab: string; document: WorkflowDoc } | null = null;
let stale = new AbortController();
let checkTimer: ReturnType<typeof setTimeout> | undefined;
let planTimer: ReturnType<typeof setTimeout> | undefined;
let runTimer: ReturnType<typeof setTimeout> | undefined;

/** Check and plan what is shown whenever it changes, until the returned function is called. */
export function watchWorkflow(): () => void {
  const end = useEditor.subscribe((state) => {
    const tab = activeTab(state);
    if (tab === undefined) return;
    const document = tab.history.present;
    if (last !== null && last.tab === tab.id && runsAlike(last.document, document)) return;
    const isEdit = last !== null && last.tab === tab.id && !isOwnEdit(document);
    last = { tab: tab.id, document };
    look(tab, isEdit);
  });
  return () => {
    end();
    last = null;
    stale.abort();
    for (const timer of [checkTimer, planTimer, runTimer]) clearTimeout(timer);
  };
}

/** Look again: a job ended, or the server is back. */
export function lookAgain(): void {
  const tab = activeTab(useEditor.getState());
  if (tab !== undefined) look(tab, false);
}

function look(tab: Tab, isEdit: boolean): void {
  stale.abort();
  stale = new AbortController();
  const { signal } = stale;
  const document: WorkflowDoc = { ...tab.history.present };
  delete document.ui; // layout is of no matter to it
  for (const timer of [checkTimer, planTimer, runTimer]) clearTimeout(timer);
  if (Object.keys(document.nodes).length === 0) {
    useRun.getState().setPlan(tab.id, {}, []); // that nothing can be run is no problem of who has just begun
    return;
  }
  checkTimer = setTimeout(async () => {
    const sound = await check(tab.id, document, signal);
    if (!sound) return;
    planTimer = setTimeout(() => plan(tab.id, document, signal), PLAN_AFTER_MS);
    if (isEdit && useData.getState().runOnChange) runTimer = setTimeout(() => runAgain(tab.id), RUN_AFTER_MS);
  }, CHECK_AFTER_MS);
}

async function check(tab: string, document: WorkflowDoc, signal: AbortSignal): Promise<boolean> {
  try {
    const { sound, problems } = await api.checkWorkflow(document, signal);
    if (signal.aborted) return false;
    const { plans, setPlan } = useRun.getState();
    setPlan(tab, sound ? (plans[tab] ?? {}) : {}, problems);
    return sound;
  } catch (error) {
    // a document that can't even be read; else it was aborted, or there is no server, whose state is shown
    if (!signal.aborted && error instanceof ApiError && error.problems.length > 0)
      useRun.getState().setPlan(tab, {}, error.problems);
    return false;
  }
}

async function plan(tab: string, document: WorkflowDoc, signal: AbortSignal): Promise<void> {
  try {
    const answer = await api.planWorkflow(document, signal);
    if (signal.aborted) return;
    const { problems, setPlan } = useRun.getState();
    setPlan(tab, planned(answer.plan), problems[tab] ?? []);
  } catch {
    // all workers are busy: what was planned before stays
  }
}

function planned(plan: api.Plan): Record<string, PlannedNode> {
  return Object.fromEntries(plan.steps.map(({ node, node_type: _kind, ...step }) => [node, step]));
}

async function runAgain(tab: string): Promise<void> {
  if (useEditor.getState().active !== tab) return;
  await cancelTab(tab); // of what was changed again, only the newest matters
  await run();
}
