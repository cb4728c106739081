/**
 * Undo and redo: a log of edits, each with a label and the patches that make and unmake it.
 *
 * Edits of one gesture, such as the moves of a drag, carry the same `merge` key and become one entry.
 */
import { applyPatches, type Draft, enablePatches, type Patch, produceWithPatches } from "immer";

enablePatches();

export interface Edit {
  label: string;
  merge: string | null;
  forward: Patch[];
  backward: Patch[];
}

export interface History<T> {
  present: T;
  done: readonly Edit[];
  undone: readonly Edit[];
}

const LONGEST = 500;

export function startHistory<T>(present: T): History<T> {
  return { present, done: [], undone: [] };
}

/** Make an edit; nothing is logged if it changes nothing. */
export function edit<T>(
  history: History<T>,
  label: string,
  recipe: (draft: Draft<T>) => void,
  merge: string | null = null,
): History<T> {
  const [present, forward, backward] = produceWithPatches(history.present, (draft) => {
    recipe(draft);
  });
  if (forward.length === 0) return history;
  const last = history.done.at(-1);
  if (last !== undefined && merge !== null && last.merge === merge) {
    const merged = { ...last, forward: [...last.forward, ...forward], backward: [...backward, ...last.backward] };
    return { present, done: [...history.done.slice(0, -1), merged], undone: [] };
  }
  const done = [...history.done, { label, merge, forward, backward }].slice(-LONGEST);
  return { present, done, undone: [] };
}

/** End the gesture: the next edit with the same `merge` key is an entry of its own. */
export function closeGesture<T>(history: History<T>): History<T> {
  const last = history.done.at(-1);
  if (last === undefined || last.merge === null) return history;
  return { ...history, done: [...history.done.slice(0, -1), { ...last, merge: null }] };
}

export function undo<T extends object>(history: History<T>): History<T> {
  const last = history.done.at(-1);
  if (last === undefined) return history;
  const present = applyPatches(history.present, last.backward);
  return { present, done: history.done.slice(0, -1), undone: [...history.undone, last] };
}

export function redo<T extends object>(history: History<T>): History<T> {
  const next = history.undone.at(-1);
  if (next === undefined) return history;
  const present = applyPatches(history.present, next.forward);
  return { present, done: [...history.done, { ...next, merge: null }], undone: history.undone.slice(0, -1) };
}
