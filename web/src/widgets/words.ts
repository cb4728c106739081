/**
 * Words to complete prompts with: those that were used in this browser before, what a definition offers, and what the
 * models of the graph know.
 */
import type { InputDefinition } from "../graph/definitions";

const KEY = "graphengine.words";
const KEPT = 2000;
const SHOWN = 6;
const SHORTEST = 2;
const WORD = /[\p{L}\p{N}][\p{L}\p{N}'’-]*/gu;
/** A word learned by textual inversion is written so; its name may have more signs than words do. */
const LEARNED = "embedding:";
const BEGUN = /(?:embedding:[\p{L}\p{N}_.-]*|[\p{L}\p{N}][\p{L}\p{N}_'’-]*)$/u;

export type Counts = Readonly<Record<string, number>>;

/** The word that is being written: where it begins, and what of it stands before the caret. */
export function wordBefore(text: string, caret: number): { start: number; prefix: string } | null {
  const prefix = BEGUN.exec(text.slice(0, caret))?.[0] ?? "";
  const isInside = /^[\p{L}\p{N}]/u.test(text.slice(caret));
  return [...prefix].length < SHORTEST || isInside ? null : { start: caret - prefix.length, prefix };
}

/** Give the words that begin like this: those first that were used most, then those known in their order. */
export function complete(prefix: string, used: Counts, known: readonly string[] = []): string[] {
  const begin = prefix.toLowerCase();
  const often = Object.entries(used)
    .filter(([word]) => begins(word, begin))
    .sort(([one, often], [other, seldom]) => seldom - often || one.length - other.length || one.localeCompare(other))
    .slice(0, SHOWN)
    .map(([word]) => word);
  const taken = new Set(often);
  const rest = known.filter((word) => begins(word, begin) && !taken.has(word.toLowerCase()));
  return [...often, ...rest].slice(0, SHOWN);
}

/** A learned word may be found by its name alone. */
function begins(word: string, begin: string): boolean {
  const lower = word.toLowerCase();
  if (lower === begin) return false;
  return lower.startsWith(begin) || (lower.startsWith(LEARNED) && lower.slice(LEARNED.length).startsWith(begin));
}

export function wordsOf(text: string): string[] {
  return (text.toLowerCase().match(WORD) ?? []).filter((word) => [...word].length > SHORTEST && !/^\d+$/.test(word));
}

/** Count a text's words; the least used are dropped when there are too many. */
export function counted(counts: Counts, text: string): Counts {
  const next: Record<string, number> = { ...counts };
  for (const word of wordsOf(text)) next[word] = (next[word] ?? 0) + 1;
  const all = Object.entries(next);
  return all.length <= KEPT ? next : Object.fromEntries(all.sort((one, other) => other[1] - one[1]).slice(0, KEPT));
}

/** Give what a definition offers. */
export function offeredWords(input: InputDefinition): string[] {
  const offered = input.widget?.hints?.["words"];
  return Array.isArray(offered) ? offered.filter((word) => typeof word === "string") : [];
}

export function learnWords(text: string): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(counted(usedWords(), text)));
  } catch {
    // private windows may refuse: then nothing is remembered
  }
}

export function usedWords(): Counts {
  try {
    const read: unknown = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    if (typeof read !== "object" || read === null) return {};
    return Object.fromEntries(Object.entries(read).filter(([, count]) => typeof count === "number"));
  } catch {
    return {};
  }
}
