/** Saves workflows of the library while they are edited; two that edit one at the same time are told. */
import { ApiError } from "../api/client";
import * as api from "../api/routes";
import type { WorkflowDoc } from "../graph/document";
import * as log from "../graph/history";
import { t } from "../i18n";
import { isUnsaved, type Tab, useEditor } from "../stores/editorStore";
import { useData } from "./dataStore";
import { attempt, tellError } from "./tell";

const AFTER_MS = 1200;
const AGAIN_AFTER_MS = 10_000;

/** Tell whether a tab is to be saved: it is of the library, was changed, and nothing stands in the way. */
export function isDue(tab: Tab, conflicts: Readonly<Record<string, unknown>>, saving: ReadonlySet<string>): boolean {
  return (
    tab.name !== null &&
    tab.version !== null &&
    isUnsaved(tab) &&
    conflicts[tab.id] === undefined &&
    !saving.has(tab.id)
  );
}

let timer: ReturnType<typeof setTimeout> | undefined;

/** Save what is edited, until the returned function is called. */
export function watchForSaving(): () => void {
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(saveDue, AFTER_MS);
  };
  soon(); // what a page that was closed had no time for
  const end = useEditor.subscribe((state, before) => {
    if (state.tabs !== before.tabs) soon();
  });
  return () => {
    end();
    clearTimeout(timer);
  };
}

async function saveDue(): Promise<void> {
  const { conflicts, saving } = useData.getState();
  const due = useEditor.getState().tabs.filter((tab) => isDue(tab, conflicts, saving));
  const done = await Promise.all(due.map(saveTab));
  if (done.includes(false)) timer = setTimeout(saveDue, AGAIN_AFTER_MS);
}

/** Save a tab under its name; false if it is to be tried again. */
export async function saveTab(tab: Tab): Promise<boolean> {
  if (tab.name === null) return true;
  const document = tab.history.present;
  setSaving(tab.id, true);
  try {
    const saved = await api.saveWorkflow(tab.name, document, tab.version);
    useEditor.getState().noteSaved(tab.id, document, saved.name, saved.version);
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 409) return await noteConflict(tab);
    tellError(error);
    return !(error instanceof ApiError && (error.status === 0 || error.status >= 500));
  } finally {
    setSaving(tab.id, false);
  }
}

/** Hold the tab's saving back until its user has chosen; false if what the library holds couldn't be read. */
export async function noteConflict(tab: Tab): Promise<boolean> {
  const theirs = await attempt(() => api.readWorkflow(tab.name as string));
  if (theirs !== null) useData.getState().setConflict(tab.id, { theirs });
  return theirs !== null;
}

function setSaving(tab: string, is: boolean): void {
  const saving = new Set(useData.getState().saving);
  if (is) saving.add(tab);
  else saving.delete(tab);
  useData.getState().set({ saving });
}

/** Show what the library holds by now, where nothing was changed here since: one more entry of the history. */
export async function takeNewer(library: readonly api.Saved[]): Promise<void> {
  const versions = new Map(library.map((saved) => [saved.name, saved.version]));
  for (const { id, name, version } of useEditor.getState().tabs.filter((tab) => !isUnsaved(tab))) {
    if (name === null || version === null || (versions.get(name) ?? version) === version) continue;
    const { saved, workflow } = await api.readWorkflow(name);
    const tab = useEditor.getState().tabs.find((each) => each.id === id);
    if (tab === undefined || isUnsaved(tab) || saved.version === tab.version) continue;
    const history = log.edit(tab.history, t("data.changedElsewhere"), (draft) => overwrite(draft, workflow));
    const newer = {
      ...tab,
      history,
      saved: history.present,
      version: saved.version,
      path: [],
      selection: new Set<string>(),
    };
    useEditor.setState({ tabs: useEditor.getState().tabs.map((each) => (each.id === id ? newer : each)) });
  }
}

/** Make a document another one, in place. */
export function overwrite(draft: object, document: WorkflowDoc): void {
  const fields = draft as Record<string, unknown>;
  for (const name of Object.keys(fields)) delete fields[name];
  Object.assign(fields, document);
}
