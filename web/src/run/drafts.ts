/**
 * What is open, kept in the browser: nothing is lost when a page is closed, reloaded or crashes.
 *
 * Each page has an id that survives a reload, and holds a lock of that name; a new page takes over what a closed one
 * left behind, never what another open page shows.
 */
import { DocumentError, dumpJson, isObject, parseJson, type WorkflowDoc } from "../graph/document";
import { isUnsaved, type Tab } from "../stores/editorStore";

export interface Draft {
  name: string | null;
  version: string | null;
  unsaved: boolean;
  /** Its jobs that were open, and the one that was shown. */
  jobs: readonly string[];
  document: WorkflowDoc;
}

export interface Drafts {
  active: number;
  drafts: Draft[];
}

const PREFIX = "graphengine.page.";
const OWN = "graphengine.page";

export function dumpDrafts(tabs: readonly Tab[], active: string, jobsOf: (tab: string) => readonly string[]): string {
  const drafts = tabs.map((tab) => ({
    name: tab.name,
    version: tab.version,
    unsaved: isUnsaved(tab),
    jobs: jobsOf(tab.id),
    document: tab.history.present,
  }));
  return dumpJson({ active: tabs.findIndex((tab) => tab.id === active), drafts });
}

/** Read what was kept; what can't be read is left out. */
export function readDrafts(text: string | null): Drafts {
  const none: Drafts = { active: 0, drafts: [] };
  if (text === null) return none;
  try {
    const kept = parseJson(text);
    if (!isObject(kept) || !Array.isArray(kept["drafts"])) return none;
    const drafts = kept["drafts"].filter(
      (draft) => isObject(draft) && isObject(draft["document"]) && isObject(draft["document"]["nodes"]),
    );
    return { active: Number(kept["active"] ?? 0), drafts: drafts as unknown as Draft[] };
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof DocumentError) return none;
    throw error;
  }
}

/** Give the id under which this page keeps its drafts: its own, else that of a page that was closed, else a new one. */
export async function pageId(): Promise<string> {
  const own = sessionStorage.getItem(OWN);
  const left = Object.keys(localStorage)
    .filter((key) => key.startsWith(PREFIX))
    .map((key) => key.slice(PREFIX.length));
  const fresh = Math.random().toString(36).slice(2);
  for (const id of [...(own === null ? [] : [own]), ...left, fresh]) {
    if (!(await hold(id))) continue;
    sessionStorage.setItem(OWN, id);
    return id;
  }
  return fresh;
}

/** Hold the lock of a page until it is closed; without locks (no HTTPS) only a page's own drafts are taken up. */
function hold(id: string): Promise<boolean> {
  if (navigator.locks === undefined)
    return Promise.resolve(id === sessionStorage.getItem(OWN) || readKept(id) === null);
  return new Promise((resolve) => {
    void navigator.locks.request(`${PREFIX}${id}`, { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock === null ? undefined : new Promise(() => {});
    });
  });
}

export function readKept(id: string): string | null {
  return localStorage.getItem(`${PREFIX}${id}`);
}

/** Keep drafts; false if the browser has no room for them. */
export function keep(id: string, text: string): boolean {
  try {
    localStorage.setItem(`${PREFIX}${id}`, text);
    return true;
  } catch {
    return false;
  }
}
