/** Two that edited one workflow at the same time: what becomes of both. */
import { ApiError } from "../api/client";
import * as api from "../api/routes";
import type { WorkflowDoc } from "../graph/document";
import { t } from "../i18n";
import { type Tab, useEditor } from "../stores/editorStore";
import { useUi } from "../stores/uiStore";
import { noteConflict, overwrite } from "./autosave";
import { useData } from "./dataStore";
import { attempt } from "./tell";

/** Give a name that the library doesn't have: `name copy`, `name copy 2`, … */
export function freeName(name: string, taken: readonly string[]): string {
  const copy = `${name} copy`;
  const names = new Set(taken);
  if (!names.has(copy)) return copy;
  let count = 2;
  while (names.has(`${copy} ${count}`)) count += 1;
  return `${copy} ${count}`;
}

export type Choice = "mine" | "theirs" | "both";

/** End a conflict of the active tab as its user chose; nothing is lost with either. */
export async function resolve(tab: Tab, choice: Choice): Promise<void> {
  const conflict = useData.getState().conflicts[tab.id];
  if (conflict === undefined) return;
  const { theirs } = conflict;
  const done = choice === "theirs" ? takeTheirs(tab, theirs) : await attempt(() => saveMine(tab, theirs, choice));
  if (done) useData.getState().setConflict(tab.id, null);
}

function takeTheirs(tab: Tab, { saved, workflow }: api.SavedDocument): boolean {
  replaceDocument(workflow, t("data.takeTheirs"));
  const { tabs, noteSaved } = useEditor.getState();
  const now = tabs.find((each) => each.id === tab.id);
  if (now !== undefined) noteSaved(tab.id, now.history.present, saved.name, saved.version);
  return true;
}

/** Save what is here, over theirs or under a name of its own; false if somebody was faster once more. */
async function saveMine(tab: Tab, theirs: api.SavedDocument, choice: "mine" | "both"): Promise<boolean> {
  const { noteSaved, open } = useEditor.getState();
  const mine = tab.history.present;
  const name = choice === "mine" ? theirs.saved.name : freeName(theirs.saved.name, await namesNow());
  try {
    const saved = await api.saveWorkflow(name, mine, choice === "mine" ? theirs.saved.version : null);
    noteSaved(tab.id, mine, saved.name, saved.version);
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 409)) throw error;
    await noteConflict(tab);
    useUi.getState().notify({ kind: "info", text: t("data.conflictAgain", { name: theirs.saved.name }) });
    return false;
  }
  if (choice === "both") open(theirs.workflow, { name: theirs.saved.name, version: theirs.saved.version });
  return true;
}

async function namesNow(): Promise<string[]> {
  return (await api.listWorkflows()).workflows.map((saved) => saved.name);
}

/** Show another document in the active tab; it can be undone. */
function replaceDocument(document: WorkflowDoc, label: string): void {
  const { edit, leave, tabs, active } = useEditor.getState();
  for (const _ of tabs.find((tab) => tab.id === active)?.path ?? []) leave();
  edit(label, (_graph, draft) => overwrite(draft, document));
}
