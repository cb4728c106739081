/** Two that edited one workflow at the same time: what becomes of both. */
import * as api from "../api/routes";
import type { WorkflowDoc } from "../graph/document";
import { t } from "../i18n";
import { type Tab, useEditor } from "../stores/editorStore";
import { overwrite } from "./autosave";
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
  if (conflict === undefined || tab.name === null) return;
  const { saved, workflow } = conflict.theirs;
  const editor = useEditor.getState();
  if (choice === "theirs") {
    replaceDocument(workflow, t("data.takeTheirs"));
    const now = useEditor.getState().tabs.find((each) => each.id === tab.id);
    if (now !== undefined) editor.noteSaved(tab.id, now.history.present, saved.name, saved.version);
  } else {
    const name =
      choice === "mine"
        ? tab.name
        : freeName(
            tab.name,
            (useData.getState().library ?? []).map((each) => each.name),
          );
    const mine = tab.history.present;
    const done = await attempt(() => api.saveWorkflow(name, mine, choice === "mine" ? saved.version : null));
    if (done === null) return;
    editor.noteSaved(tab.id, mine, done.name, done.version);
    if (choice === "both") editor.open(workflow, { name: saved.name, version: saved.version });
  }
  useData.getState().setConflict(tab.id, null);
}

/** Show another document in the active tab; it can be undone. */
function replaceDocument(document: WorkflowDoc, label: string): void {
  const { edit, leave, tabs, active } = useEditor.getState();
  for (const _ of tabs.find((tab) => tab.id === active)?.path ?? []) leave();
  edit(label, (_graph, draft) => overwrite(draft, document));
}
