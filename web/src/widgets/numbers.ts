/**
 * Arithmetic of number fields: reading, limits, steps, dragging.
 *
 * Whole numbers are counted as bigints throughout, so that 64-bit seeds keep each digit; a value that a double holds
 * exactly is a number again at the end, as `parseJson` has it.
 */
import type { InputDefinition } from "../graph/definitions";
import type { Json } from "../graph/document";
import { troubleWith } from "../graph/literals";
import { t } from "../i18n";

export type Numeric = number | bigint;

/** A value, or why it isn't one, in words. */
export type Reading = { value: Numeric; trouble: null } | { value: null; trouble: string };

const DIGITS = 12;
const WHOLE = /^[+-]?\d+$/;
const PLAIN = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

export function isNumeric(value: Json): value is Numeric {
  return typeof value === "number" || typeof value === "bigint";
}

export function isWhole(input: InputDefinition): boolean {
  return input.type === "INT" || input.type === "[INT]";
}

/** Bring a bigint back to a number where that is exact. */
export function narrowed(value: bigint): Numeric {
  const short = Number(value);
  return Number.isSafeInteger(short) ? short : value;
}

/** Read what was typed: a plain number within the input's limits. A comma may stand for the point. */
export function readNumber(input: InputDefinition, text: string): Reading {
  const plain = text
    .trim()
    .replaceAll("_", "")
    .replace(/^([^,.]*),([^,.]*)$/, "$1.$2")
    .replace("−", "-");
  const value = numberOf(isWhole(input), plain);
  if (value === null) {
    const key = isWhole(input) && PLAIN.test(plain) ? "widgets.notWhole" : "widgets.notNumber";
    return { value: null, trouble: t(key, { text: text.trim() }) };
  }
  const trouble = troubleWith(input, value);
  return trouble === null ? { value, trouble: null } : { value: null, trouble };
}

function numberOf(whole: boolean, text: string): Numeric | null {
  if (!PLAIN.test(text)) return null;
  if (WHOLE.test(text) && whole) return narrowed(BigInt(text.replace("+", "")));
  const value = Number(text);
  if (!Number.isFinite(value)) return null;
  return whole && !Number.isSafeInteger(value) ? null : value;
}

/** Give how far one press of an arrow key goes. */
export function stepOf(input: InputDefinition, value: Json): number {
  const hint = input.widget?.hints?.["step"];
  if (isNumeric(hint ?? null) && Number(hint) > 0) return Number(hint);
  if (input.multiple_of) return Number(input.multiple_of);
  if (isWhole(input)) return 1;
  const span = Number(input.maximum) - Number(input.minimum);
  if (input.minimum != null && input.maximum != null && span <= 10) return span <= 1 ? 0.01 : 0.1;
  // a learning rate of 0.0001 and a sigma of 14 both change by about a tenth
  const size = Math.abs(Number(isNumeric(value) && Number(value) !== 0 ? value : (input.default ?? 0)));
  return size === 0 || !Number.isFinite(size) ? 0.1 : 10 ** Math.floor(Math.log10(size) - 1 + 1e-9);
}

/** Move a number by steps, which may be parts of one, and keep it within the limits. */
export function stepped(input: InputDefinition, value: Numeric, steps: number, step: number): Numeric {
  if (isWhole(input)) {
    const by = BigInt(Math.round(steps)) * BigInt(Math.max(1, Math.round(step)));
    return snapped(input, narrowed(BigInt(value) + by));
  }
  return snapped(input, tidy(Number(value) + steps * step));
}

/** Bring a number into the limits, and to the nearest multiple where one is asked for. */
export function snapped(input: InputDefinition, value: Numeric): Numeric {
  const multiple = input.multiple_of;
  let near = value;
  if (multiple && isWhole(input)) near = nearestMultiple(BigInt(value), BigInt(multiple), input);
  else if (multiple) near = tidy(Math.round(Number(value) / Number(multiple)) * Number(multiple));
  const { minimum: low, maximum: high } = input;
  if (low != null && near < low) return isWhole(input) && multiple ? multipleUp(low, multiple) : low;
  if (high != null && near > high) return isWhole(input) && multiple ? multipleDown(high, multiple) : high;
  return exclusive(input, near);
}

/** Limits that are no values themselves: the nearest inside that is one step of twelve digits away, or one. */
function exclusive(input: InputDefinition, value: Numeric): Numeric {
  const { exclusive_minimum: above, exclusive_maximum: below } = input;
  if (above != null && value <= above) return isWhole(input) ? narrowed(BigInt(above) + 1n) : nextTo(Number(above), 1);
  if (below != null && value >= below) return isWhole(input) ? narrowed(BigInt(below) - 1n) : nextTo(Number(below), -1);
  return value;
}

function nextTo(limit: number, direction: 1 | -1): number {
  return tidy(limit + direction * 10 ** (Math.floor(Math.log10(Math.abs(limit) || 0.01)) - 4));
}

function nearestMultiple(value: bigint, multiple: bigint, input: InputDefinition): Numeric {
  const rest = ((value % multiple) + multiple) % multiple;
  const down = value - rest;
  const up = rest === 0n ? value : down + multiple;
  const nearer = value - down < up - value ? down : up;
  return input.maximum != null && nearer > input.maximum ? narrowed(down) : narrowed(nearer);
}

function multipleUp(limit: Numeric, multiple: Numeric): Numeric {
  const down = multipleDown(limit, multiple);
  return down < limit ? narrowed(BigInt(down) + BigInt(multiple)) : down;
}

function multipleDown(limit: Numeric, multiple: Numeric): Numeric {
  const rest = ((BigInt(limit) % BigInt(multiple)) + BigInt(multiple)) % BigInt(multiple);
  return narrowed(BigInt(limit) - rest);
}

/** Take away what binary fractions add: 0.1 + 0.2 is 0.3. */
export function tidy(value: number): number {
  return Number(value.toPrecision(DIGITS));
}

export function numberText(value: Json): string {
  return isNumeric(value) ? String(value) : "";
}

/** What a slider spans; null for a plain number field. */
export function sliderSpan(input: InputDefinition): { low: number; high: number } | null {
  const low = input.minimum ?? input.exclusive_minimum;
  const hint = input.widget?.hints?.["to"];
  const high = isNumeric(hint ?? null) ? hint : (input.maximum ?? input.exclusive_maximum);
  if (low == null || high == null || !isNumeric(high as Json)) return null;
  const span = Number(high) - Number(low);
  const asked = input.widget?.kind === "slider";
  // beyond that a slider's width has fewer places than values: dragging is clumsy, the look tells nothing
  const sensible = isWhole(input) ? span <= 200 : span <= 20;
  return span > 0 && (asked || (sensible && input.widget?.kind !== "number"))
    ? { low: Number(low), high: Number(high) }
    : null;
}

/**
 * Turn a drag's distance into steps: slow near its start, faster further out, so that 1 and 1,000 are both in reach.
 *
 * @param distance In CSS pixels; to the right is more.
 */
export function dragSteps(distance: number, fine: boolean): number {
  const far = Math.abs(distance) / (fine ? 10 : 1);
  return Math.sign(distance) * (far / 4 + (far / 45) ** 2.6);
}
