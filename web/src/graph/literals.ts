/** Whether a value fits an input, and if not, why; the server's `core/literals.py` has the same rules. */
import { t } from "../i18n";
import type { InputDefinition } from "./definitions";
import { dumpJson, type Json } from "./document";
import { isList, isScalar, itemType, members, withArticle } from "./sockets";

/** What is wrong with a value. */
export interface Flaw {
  code: string;
  message: string;
  remedy: string;
}

const LONGEST = 60;

/** Check a value against its input; null if it fits. */
export function checkValue(input: InputDefinition, value: Json): Flaw | null {
  if (value === null && !input.required && input.default === null) return null;
  if (input.type === "SUBGRAPH") return flaw("not_a_subgraph", "notASubgraph", "chooseSubgraph");
  const type = isList(input.type) && input.type.includes("$") ? "[*]" : input.type;
  if (!isScalar(type)) {
    const values = { value: shown(value), type: withArticle(type) };
    return flaw("not_linked", "notLinkedValue", "linkIt", values);
  }
  if (!isList(type)) return checkOne({ ...input, type }, value);
  if (!Array.isArray(value)) return flaw("wrong_type", "notAList", "writeList", { value: shown(value) });
  for (const [number, each] of value.entries()) {
    const found = checkOne({ ...input, type: itemType(type) }, each);
    if (found !== null) return { ...found, message: t("graph.item", { number, message: found.message }) };
  }
  return null;
}

function checkOne(input: InputDefinition, value: Json): Flaw | null {
  if (!members(input.type).some((type) => isOf(type, value))) {
    const wanted = members(input.type).map(inWords).join(t("graph.or"));
    return flaw("wrong_type", "wrongValue", "giveIt", { value: shown(value), wanted });
  }
  if (input.choices != null) return input.choices.some((choice) => choice === value) ? null : notAChoice(input, value);
  if (typeof value === "string") return checkText(input, value);
  return typeof value === "number" || typeof value === "bigint" ? checkNumber(input, value) : null;
}

function isOf(type: string, value: Json): boolean {
  if (type === "*") return true;
  if (type === "INT") return typeof value === "bigint" || Number.isInteger(value);
  if (type === "FLOAT") return typeof value === "bigint" || Number.isFinite(value);
  return typeof value === { STRING: "string", BOOLEAN: "boolean" }[type];
}

function inWords(type: string): string {
  if (type === "INT") return t("graph.wholeNumber");
  if (type === "FLOAT") return t("graph.number");
  if (type === "STRING") return t("graph.text");
  return type === "BOOLEAN" ? t("graph.boolean") : withArticle(type);
}

function notAChoice(input: InputDefinition, value: Json): Flaw {
  const choices = input.choices ?? [];
  const listed = choices.slice(0, 12).map(String).join(", ") + (choices.length > 12 ? ", …" : "");
  return flaw("not_a_choice", "notAChoice", "chooseOne", { value: shown(value), choices: listed });
}

function checkNumber(input: InputDefinition, value: number | bigint): Flaw | null {
  const { minimum: low, maximum: high, exclusive_minimum: above, exclusive_maximum: below, multiple_of: step } = input;
  if ((low != null && value < low) || (above != null && value <= above)) {
    return { ...flaw("value_too_small", "tooSmall", "tooSmall", { value: shown(value) }), remedy: rangeInWords(input) };
  }
  if ((high != null && value > high) || (below != null && value >= below)) {
    return { ...flaw("value_too_large", "tooLarge", "tooLarge", { value: shown(value) }), remedy: rangeInWords(input) };
  }
  if (step == null || Number(step) === 0 || isMultiple(value, step)) return null;
  const under = Math.floor(Number(value) / Number(step)) * Number(step);
  const near = { below: under, above: under + Number(step) };
  return flaw("not_a_multiple", "notAMultiple", "chooseNear", { value: shown(value), step: String(step), ...near });
}

function isMultiple(value: number | bigint, step: number | bigint): boolean {
  if (Number.isInteger(Number(step)) && (typeof value === "bigint" || Number.isInteger(value))) {
    return BigInt(value) % BigInt(step) === 0n;
  }
  const ratio = Number(value) / Number(step);
  return Math.abs(ratio - Math.round(ratio)) <= 1e-9 * Math.max(1, Math.abs(ratio));
}

/** Say which numbers an input takes; an empty text if any. */
export function rangeInWords(input: InputDefinition): string {
  const { minimum: low, maximum: high, exclusive_minimum: above, exclusive_maximum: below } = input;
  if (low != null && high != null) return t("graph.range", { low: String(low), high: String(high) });
  const parts: string[] = [];
  if (low != null) parts.push(t("graph.atLeast", { value: String(low) }));
  else if (above != null) parts.push(t("graph.above", { value: String(above) }));
  if (high != null) parts.push(t("graph.atMost", { value: String(high) }));
  else if (below != null) parts.push(t("graph.below", { value: String(below) }));
  return parts.length === 0 ? "" : t("graph.choose", { range: parts.join(t("graph.and")) });
}

function checkText(input: InputDefinition, value: string): Flaw | null {
  // by characters, as the server counts them, not by UTF-16 units
  const length = [...value].length;
  const { min_length: least, max_length: most } = input;
  if (least != null && length < least) return flaw("text_too_short", "tooShort", "atLeastLong", { count: least });
  if (most != null && length > most) return flaw("text_too_long", "tooLong", "atMostLong", { count: most });
  if (input.pattern == null || matches(input.pattern, value)) return null;
  return flaw("wrong_text", "doesNotFit", "mustMatch", { value: shown(value), pattern: input.pattern });
}

/** Patterns are Python's; what JavaScript can't read is left to the server. */
function matches(pattern: string, value: string): boolean {
  try {
    return new RegExp(pattern, "u").test(value);
  } catch {
    return true;
  }
}

/** Show a value in a message, shortened if it is long. */
export function shown(value: Json): string {
  const text = dumpJson(value);
  return text.length <= LONGEST ? text : `${text.slice(0, LONGEST - 1)}…`;
}

type GraphText = Parameters<typeof t>[0] extends infer Key ? (Key extends `graph.${infer Name}` ? Name : never) : never;

function flaw(code: string, message: GraphText, remedy: GraphText, values: Record<string, string | number> = {}): Flaw {
  return { code, message: t(`graph.${message}`, values), remedy: t(`graph.${remedy}`, values) };
}
