/** Whether a value fits an input, and if not, why; the server's `core/literals.py` has the same rules. */
import { t } from "../i18n";
import type { InputDefinition } from "./definitions";
import { dumpJson, type Json } from "./document";
import { isList, isScalar, itemType, members, withArticle } from "./sockets";

/** What is wrong with a value, and what to do about it. */
interface Flaw {
  message: string;
  remedy: string;
}

const LONGEST = 60;
const DIGITS = 12;

/** Say in one text why a value doesn't fit its input, and what to do; null if it fits, or if nothing is set. */
export function troubleWith(input: InputDefinition, value: Json): string | null {
  if (value === null) return null;
  const found = checkValue(input, value);
  return found === null ? null : `${found.message} ${found.remedy}`.trim();
}

/** Check a value against its input; null if it fits. */
export function checkValue(input: InputDefinition, value: Json): Flaw | null {
  if (value === null && !input.required && input.default === null) return null;
  if (input.type === "SUBGRAPH") return flaw(t("graph.notASubgraph"), t("graph.chooseSubgraph"));
  const type = isList(input.type) && input.type.includes("$") ? "[*]" : input.type;
  if (!isScalar(type)) {
    const wanted = withArticle(type);
    const message = t("graph.notLinkedValue", { value: shown(value), type: wanted });
    return flaw(message, t("graph.linkIt", { type: wanted }));
  }
  if (!isList(type)) return checkOne({ ...input, type }, value);
  const values = { value: shown(value) };
  if (!Array.isArray(value)) return flaw(t("graph.notAList", values), t("graph.writeList", values));
  for (const [number, each] of value.entries()) {
    const found = checkOne({ ...input, type: itemType(type) }, each);
    if (found !== null) return { ...found, message: t("graph.item", { number, message: found.message }) };
  }
  return null;
}

function checkOne(input: InputDefinition, value: Json): Flaw | null {
  if (!members(input.type).some((type) => isOf(type, value))) {
    const wanted = members(input.type).map(inWords).join(t("graph.or"));
    return flaw(t("graph.wrongValue", { value: shown(value), wanted }), t("graph.giveIt", { wanted }));
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
  const remedy = choices.length === 0 ? "" : t("graph.chooseOne", { choices: listed });
  return flaw(t("graph.notAChoice", { value: shown(value) }), remedy);
}

function checkNumber(input: InputDefinition, value: number | bigint): Flaw | null {
  const range = rangeInWords(input);
  if (isBelow(input, value)) return flaw(t("graph.tooSmall", { value: shown(value) }), range);
  if (isAbove(input, value)) return flaw(t("graph.tooLarge", { value: shown(value) }), range);
  const step = input.multiple_of;
  if (step == null || Number(step) === 0 || isMultiple(value, step)) return null;
  const message = t("graph.notAMultiple", { value: shown(value), step: String(step) });
  const near = multiplesAround(value, step).filter((each) => !isBelow(input, each) && !isAbove(input, each));
  const remedy = near.length === 0 ? range : t("graph.chooseNear", { near: near.join(t("graph.or")) });
  return flaw(message, remedy);
}

function isBelow({ minimum, exclusive_minimum }: InputDefinition, value: number | bigint): boolean {
  return (minimum != null && value < minimum) || (exclusive_minimum != null && value <= exclusive_minimum);
}

function isAbove({ maximum, exclusive_maximum }: InputDefinition, value: number | bigint): boolean {
  return (maximum != null && value > maximum) || (exclusive_maximum != null && value >= exclusive_maximum);
}

function isMultiple(value: number | bigint, step: number | bigint): boolean {
  if (isWhole(value) && isWhole(step)) return BigInt(value) % BigInt(step) === 0n;
  const ratio = Number(value) / Number(step);
  return Math.abs(ratio - Math.round(ratio)) <= 1e-9 * Math.max(1, Math.abs(ratio));
}

/** Give the multiples below and above a number that is none. */
function multiplesAround(value: number | bigint, step: number | bigint): (number | bigint)[] {
  if (isWhole(value) && isWhole(step)) {
    const by = BigInt(step);
    const rest = ((BigInt(value) % by) + by) % by;
    return [BigInt(value) - rest, BigInt(value) - rest + by];
  }
  const count = Math.floor(Number(value) / Number(step));
  return [count, count + 1].map((each) => Number((each * Number(step)).toPrecision(DIGITS)));
}

function isWhole(value: number | bigint): boolean {
  return typeof value === "bigint" || Number.isInteger(value);
}

/** Say which numbers an input takes; an empty text if any. */
function rangeInWords(input: InputDefinition): string {
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
  if (least != null && length < least) {
    return least === 1
      ? flaw(t("graph.emptyText"), "")
      : flaw(t("graph.tooShort"), t("graph.atLeastLong", { count: least }));
  }
  if (most != null && length > most) {
    return flaw(t("graph.tooLong"), t("graph.atMostLong", { count: most, length }));
  }
  if (input.pattern == null || matches(input.pattern, value)) return null;
  const message = t("graph.doesNotFit", { value: shown(value) });
  return flaw(message, t("graph.mustMatch", { pattern: input.pattern }));
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

function flaw(message: string, remedy: string): Flaw {
  return { message, remedy };
}
