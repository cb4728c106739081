/**
 * Socket types: their names, and what may connect to what. The server's `core/sockets.py` has the same rules.
 *
 * `INT FLOAT STRING BOOLEAN` are scalars; `IMAGE` and the like take links; `A|B` is either, `*` anything, `$T` whatever
 * is linked, and `[X]` a list of these. Lists don't nest.
 */
import { t } from "../i18n";

export const ANY = "*";
const SCALARS = new Set(["INT", "FLOAT", "STRING", "BOOLEAN"]);

/** What a link would do: run the node once per item of a list, or make a list of one value. */
export type Connection = { ok: true; mapped?: boolean; wrapped?: boolean } | { ok: false; reason: string };

export function isList(type: string): boolean {
  return type.startsWith("[");
}

/** Give what a list type is a list of; any other type is its own item. */
export function itemType(type: string): string {
  return isList(type) ? type.slice(1, -1) : type;
}

export function listOf(type: string): string {
  return isList(type) ? type : `[${type}]`;
}

/** Split a union into its members; any other type is its own only member. */
export function members(type: string): string[] {
  return isList(type) ? [type] : type.split("|");
}

export function isVariable(type: string): boolean {
  return type.startsWith("$");
}

/** Tell whether an input of this type can be given a value; a list of scalars takes a list of values. */
export function isScalar(type: string): boolean {
  return members(itemType(type)).some((member) => SCALARS.has(member) || member === ANY);
}

/** Tell whether an output of one type may feed an input of another, both as they stand: lists feed lists. */
export function accepts(inputType: string, outputType: string): boolean {
  if (inputType === outputType || inputType === ANY || outputType === ANY) return true;
  if (isList(inputType) || isList(outputType)) {
    return isList(inputType) && isList(outputType) && accepts(itemType(inputType), itemType(outputType));
  }
  const taken = members(inputType);
  return members(outputType).every((member) => taken.includes(member) || (member === "INT" && taken.includes("FLOAT")));
}

/** Replace type variables by what they stand for; unbound ones are anything. */
export function bind(type: string, bound: ReadonlyMap<string, string>): string {
  if (isList(type)) return listOf(bind(itemType(type), bound));
  return isVariable(type) ? (bound.get(type) ?? ANY) : type;
}

/**
 * Say what a link from an output to an input would do.
 *
 * @param lazy The input is computed only when the node asks for it; nodes don't run once per item of such a one.
 */
export function connection(inputType: string, outputType: string, lazy = false): Connection {
  if (isList(inputType)) {
    if (!fits(itemType(inputType), itemType(outputType))) return refusal(inputType, outputType);
    return isList(outputType) || outputType === ANY ? { ok: true } : { ok: true, wrapped: true };
  }
  const mapped = isList(outputType) && !lazy;
  if (!fits(inputType, mapped ? itemType(outputType) : outputType)) return refusal(inputType, outputType);
  return mapped ? { ok: true, mapped: true } : { ok: true };
}

/** Put "a" or "an" before a type or a kind of node. */
export function withArticle(name: string): string {
  if (name.startsWith("[$")) return t("graph.aList");
  if (isList(name)) return t("graph.aListOf", { type: inWords(itemType(name)) });
  if (name === ANY || isVariable(name)) return t("graph.anything");
  return t(/^[AEIOU]/.test(name) ? "graph.an" : "graph.a", { name: inWords(name) });
}

function inWords(type: string): string {
  return members(type).join(t("graph.or"));
}

function fits(inputType: string, outputType: string): boolean {
  return isVariable(inputType) || isVariable(outputType) || accepts(inputType, outputType);
}

function refusal(inputType: string, outputType: string): Connection {
  return {
    ok: false,
    reason: t("graph.wrongType", { given: withArticle(outputType), wanted: withArticle(inputType) }),
  };
}
