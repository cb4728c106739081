/** Words to complete prompts with: those that were used in this browser before, and what a definition offers. */
import type { InputDefinition } from "../graph/definitions";

const KEY = "graphengine.words";
const KEPT = 2000;
const SHOWN = 6;
const SHORTEST = 2;
const WORD = /[\p{L}\p{N}][\p{L}\p{N}'’-]*/gu;

export type Counts = Readonly<Record<string, number>>;

/** The word that is being written: where it begins, and what of it stands before the caret. */
export function wordBefore(text: string, caret: number): { start: number; prefix: string } | null {
  const prefix = /[\p{L}\p{N}][\p{L}\p{N}'’-]*$/u.exec(text.slice(0, caret))?.[0] ?? "";
  const isInside = /^[\p{L}\p{N}]/u.test(text.slice(caret));
  return [...prefix].length < SHORTEST || isInside ? null : { start: caret - prefix.length, prefix };
}

/** Give the words that begin like this, those first that were used most. */
export function complete(prefix: string, counts: Counts): string[] {
  const begin = prefix.toLowerCase();
  return Object.entries(counts)
    .filter(([word]) => word.length > begin.length && word.startsWith(begin))
    .sort(([one, often], [other, seldom]) => seldom - often || one.length - other.length || one.localeCompare(other))
    .slice(0, SHOWN)
    .map(([word]) => word);
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

export function knownWords(input: InputDefinition): Counts {
  const offered = input.widget?.hints?.["words"];
  const counts: Record<string, number> = { ...readWords() };
  if (Array.isArray(offered)) for (const word of offered) if (typeof word === "string") counts[word] ??= 0;
  return counts;
}

export function learnWords(text: string): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(counted(readWords(), text)));
  } catch {
    // private windows may refuse: then nothing is remembered
  }
}

function readWords(): Counts {
  try {
    const read: unknown = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    if (typeof read !== "object" || read === null) return {};
    return Object.fromEntries(Object.entries(read).filter(([, count]) => typeof count === "number"));
  } catch {
    return {};
  }
}
