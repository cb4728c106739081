/**
 * Undo and redo: a log of edits, each with a label and the patches that make and unmake it.
 *
 * Edits of one gesture, such as the moves of a drag, carry the same `merge` key and become one entry.
 */
import { applyPatches, type Draft, enablePatches, freeze, type Patch, produceWithPatches } from "immer";

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

/** Begin with a document, which is not to be changed otherwise from now on. */
export function startHistory<T>(present: T): History<T> {
  // Edits freeze what they pass; of a large document that takes a tenth of a second, which the first one would wait for.
  return { present: freeze(present, true), done: [], undone: [] };
}

/**
 * Make an edit; nothing is logged if it changes nothing.
 *
 * @param alongside Changed along with it, but no edit by itself.
 */
export function edit<T>(
  history: History<T>,
  label: string,
  recipe: (draft: Draft<T>) => void,
  merge: string | null = null,
  alongside: ((draft: Draft<T>) => void) | null = null,
): History<T> {
  const made = patched(history.present, recipe);
  if (made.forward.length === 0) return history;
  const { present, forward, backward } = alongside === null ? made : joined(made, patched(made.present, alongside));
  const last = history.done.at(-1);
  if (last !== undefined && merge !== null && last.merge === merge) {
    const merged = { ...last, forward: [...last.forward, ...forward], backward: [...backward, ...last.backward] };
    return { present, done: [...history.done.slice(0, -1), merged], undone: [] };
  }
  const done = [...history.done, { label, merge, forward, backward }].slice(-LONGEST);
  return { present, done, undone: [] };
}

interface Patched<T> {
  present: T;
  forward: Patch[];
  backward: Patch[];
}

function patched<T>(present: T, recipe: (draft: Draft<T>) => void): Patched<T> {
  const [changed, forward, backward] = produceWithPatches(present, (draft) => {
    recipe(draft);
  });
  return { present: changed, forward, backward };
}

function joined<T>(first: Patched<T>, second: Patched<T>): Patched<T> {
  return {
    present: second.present,
    forward: [...first.forward, ...second.forward],
    backward: [...second.backward, ...first.backward],
  };
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
