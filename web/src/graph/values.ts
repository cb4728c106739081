/** Comparing JSON values. */
import { isObject } from "./document";

/** Tell whether two values are the same JSON; the order of an object's fields doesn't count, nor do undefined ones. */
export function isEqual(left: unknown, right: unknown): boolean {
  if (Object.is(left, right)) return true;
  if (Array.isArray(left)) {
    return (
      Array.isArray(right) && left.length === right.length && left.every((each, place) => isEqual(each, right[place]))
    );
  }
  if (!isObject(left) || !isObject(right)) {
    // 1n and 1 are the same JSON; of two numbers, both comparisons fail only for the same one
    return isNumber(left) && isNumber(right) && !(left < right) && !(left > right);
  }
  const names = new Set([...Object.keys(left), ...Object.keys(right)]);
  return [...names].every((name) => isEqual(left[name], right[name]));
}

function isNumber(value: unknown): value is number | bigint {
  return typeof value === "number" || typeof value === "bigint";
}
