/** The values of a sweep, and the jobs that they make. */
import type { InputDefinition } from "../graph/definitions";
import type { Json } from "../graph/document";

export const MOST_JOBS = 64;

/** What is run over: an input, and its values. */
export interface Axis<Target> {
  target: Target;
  values: readonly Json[];
}

/** Give each pair of values, row after row; with one axis there is one row. */
export function pairsOf<Target>(
  columns: Axis<Target>,
  rows: Axis<Target> | null,
): { set: readonly (readonly [Target, Json])[]; column: number; row: number }[] {
  return (rows?.values ?? [null]).flatMap((down, row) =>
    columns.values.map((across, column) => ({
      set: [[columns.target, across] as const, ...(rows === null ? [] : [[rows.target, down] as const])],
      column,
      row,
    })),
  );
}

/** A text is no value of an input. */
export class SweepError extends Error {}

/** Read values: one per line, or numbers separated by commas, or a range such as `1..10 step 3`. */
export function readValues(text: string, input: Pick<InputDefinition, "type" | "choices">): Json[] {
  const isNumber = input.type === "INT" || input.type === "FLOAT";
  const words = text
    .split(isNumber || input.choices ? /[\n,]/ : /\n/)
    .map((word) => word.trim())
    .filter((word) => word !== "");
  return words.flatMap((word) => (isNumber ? readNumbers(word, input.type) : [readOne(word, input)]));
}

function readNumbers(word: string, type: string): Json[] {
  const range = /^(-?[\d.]+?)\.\.(-?[\d.]+?)(?:\s*(?:step|:)\s*([\d.]+))?$/.exec(word);
  if (range === null) return [readNumber(word, type)];
  const [first, last] = [Number(range[1]), Number(range[2])];
  const step = Number(range[3] ?? 1);
  if (!(step > 0) || !(last >= first) || (last - first) / step > MOST_JOBS) throw new SweepError(word);
  const count = Math.floor((last - first) / step + 1e-9) + 1;
  return Array.from({ length: count }, (_, place) => Number((first + place * step).toPrecision(12)));
}

function readNumber(word: string, type: string): Json {
  if (type === "INT" && /^-?\d+$/.test(word)) return Number.isSafeInteger(Number(word)) ? Number(word) : BigInt(word);
  const number = Number(word);
  if (type === "INT" || !Number.isFinite(number)) throw new SweepError(word);
  return number;
}

function readOne(word: string, input: Pick<InputDefinition, "type" | "choices">): Json {
  if (input.type === "BOOLEAN" || input.type === "BOOL") {
    if (/^(true|yes|1)$/i.test(word)) return true;
    if (/^(false|no|0)$/i.test(word)) return false;
    throw new SweepError(word);
  }
  const choice = input.choices?.find((each) => String(each) === word);
  if (input.choices && choice === undefined) throw new SweepError(word);
  return choice ?? word;
}
