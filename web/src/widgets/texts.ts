import { dumpJson, type Json } from "../graph/document";

/** Give a value as a text field shows it. */
export function textOf(value: Json): string {
  if (value === null) return "";
  return typeof value === "string" ? value : dumpJson(value);
}
