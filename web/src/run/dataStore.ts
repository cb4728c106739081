/** What the server holds beside the open workflows, and the state of saving and running. */
import { create } from "zustand";
import type { Queue, Saved, SavedDocument } from "../api/routes";
import type { Failure } from "./tell";

/** The library holds another version than the one a tab was opened from. */
export interface Conflict {
  theirs: SavedDocument;
}

interface DataState {
  /** Null until the server told; with why it doesn't, as the library. */
  queue: Queue | null;
  queueFailure: Failure | null;
  library: readonly Saved[] | null;
  libraryFailure: Failure | null;
  /** Why nothing can be begun though the server answers. */
  startFailure: Failure | null;
  packFailures: Readonly<Record<string, string>>;
  /** By tab. */
  conflicts: Readonly<Record<string, Conflict>>;
  /** Tabs that are being saved. */
  saving: ReadonlySet<string>;
  /** Grows whenever a job ends, so that lists of jobs and files are read again. */
  ended: number;
  /** What is opened at the start is open. */
  started: boolean;
  runOnChange: boolean;
  problemsShown: boolean;
  set(change: Partial<DataState>): void;
  setConflict(tab: string, conflict: Conflict | null): void;
}

export const useData = create<DataState>()((set, get) => ({
  queue: null,
  queueFailure: null,
  library: null,
  libraryFailure: null,
  startFailure: null,
  packFailures: {},
  conflicts: {},
  saving: new Set(),
  ended: 0,
  started: false,
  runOnChange: false,
  problemsShown: false,
  set: (change) => set(change),
  setConflict(tab, conflict) {
    const { [tab]: _resolved, ...others } = get().conflicts;
    set({ conflicts: conflict === null ? others : { ...others, [tab]: conflict } });
  },
}));
