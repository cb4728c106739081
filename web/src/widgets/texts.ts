/** Checks of texts, as the server makes them, in words. */
import type { InputDefinition } from "../graph/definitions";
import { dumpJson, type Json } from "../graph/document";
import { t } from "../i18n";

/** Say why an input can't have this text; null if it can. */
export function textTrouble(input: InputDefinition, value: Json): string | null {
  if (value === null) return null;
  if (typeof value !== "string") return t("widgets.notText", { value: dumpJson(value) });
  // as Python counts: code points, not UTF-16 units
  const length = [...value].length;
  if (input.min_length != null && length < input.min_length)
    return input.min_length === 1 ? t("widgets.emptyText") : t("widgets.tooShort", { least: input.min_length });
  if (input.max_length != null && length > input.max_length)
    return t("widgets.tooLong", { most: input.max_length, length });
  if (input.pattern != null && !matches(input.pattern, value)) return t("widgets.noMatch", { pattern: input.pattern });
  return null;
}

/** Patterns are Python's; one that the browser doesn't understand is left to the server. */
function matches(pattern: string, value: string): boolean {
  try {
    return new RegExp(pattern, "u").test(value);
  } catch {
    return true;
  }
}

export function textOf(value: Json): string {
  if (value === null) return "";
  return typeof value === "string" ? value : dumpJson(value);
}
