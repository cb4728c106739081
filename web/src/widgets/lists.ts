/** Lists of plain values as text: numbers and truths with commas, texts one per line. */
import type { InputDefinition } from "../graph/definitions";
import { dumpJson, type Json } from "../graph/document";
import { troubleWith } from "../graph/literals";
import { t } from "../i18n";
import { readNumber } from "./numbers";

export type ListReading = { values: Json[]; trouble: null } | { values: null; trouble: string };

export function itemInput(input: InputDefinition): InputDefinition {
  return { ...input, type: input.type.slice(1, -1), default: null };
}

/** Tell whether the items are texts, which may hold commas themselves. */
export function isTextList(input: InputDefinition): boolean {
  return input.type === "[STRING]";
}

export function listText(input: InputDefinition, value: Json): string {
  if (value === null) return "";
  if (!Array.isArray(value)) return dumpJson(value);
  const texts = value.map((each) => (typeof each === "string" ? each : dumpJson(each)));
  return texts.join(isTextList(input) ? "\n" : ", ");
}

export function readList(input: InputDefinition, text: string): ListReading {
  const item = itemInput(input);
  if (text.trim() === "") return { values: [], trouble: null };
  const parts = isTextList(input) ? text.split("\n") : text.split(/[,;\s]+/).filter((part) => part !== "");
  const values: Json[] = [];
  for (const [at, part] of parts.entries()) {
    const { value, trouble } = readItem(item, part);
    if (trouble !== null) return { values: null, trouble: t("widgets.item", { number: at + 1, trouble }) };
    values.push(value);
  }
  return { values, trouble: null };
}

function readItem(item: InputDefinition, text: string): { value: Json; trouble: string | null } {
  if (item.type === "STRING") return { value: text, trouble: troubleWith(item, text) };
  if (item.type === "BOOLEAN") {
    const isKnown = text === "true" || text === "false";
    return { value: text === "true", trouble: isKnown ? null : t("widgets.notTruth", { text }) };
  }
  return readNumber(item, text);
}
