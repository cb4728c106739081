/** Which widget an input has; pure, so that layouts can know it too. */
import type { InputDefinition } from "./definitions";

export type WidgetKind =
  | "number"
  | "seed"
  | "switch"
  | "text"
  | "prompt"
  | "choice"
  | "file"
  | "image"
  | "colour"
  | "curve"
  | "list"
  | "json";

const SCALARS = new Set(["INT", "FLOAT", "STRING", "BOOLEAN"]);

/** Kinds that a pack may ask for with `Widget("…")`; what isn't here follows from the type. */
const ASKED: Record<string, WidgetKind> = {
  seed: "seed",
  textarea: "prompt",
  multiline: "prompt",
  color: "colour",
  colour: "colour",
  curve: "curve",
  json: "json",
};

/** Give the widget of an input; null if it takes links only. */
export function widgetKind(input: InputDefinition): WidgetKind | null {
  const asked = input.widget?.kind ?? "";
  if (asked === "curve" || asked === "json") return asked;
  if (isList(input.type)) return listKind(input);
  const members = input.type.split("|");
  if (!members.some((each) => SCALARS.has(each))) return null;
  if (input.files) return asked === "image" ? "image" : "file";
  if (input.choices) return "choice";
  const kind = ASKED[asked];
  if (kind !== undefined && fits(kind, members)) return kind;
  if (members.every((each) => each === "INT" || each === "FLOAT")) return "number";
  if (members.length > 1) return "json";
  return members[0] === "BOOLEAN" ? "switch" : "text";
}

function isList(type: string): boolean {
  return type.startsWith("[");
}

function listKind(input: InputDefinition): WidgetKind | null {
  const members = input.type.slice(1, -1).split("|");
  if (members.length === 1 && SCALARS.has(members[0] ?? "")) return "list";
  return members.some((each) => SCALARS.has(each)) ? "json" : null;
}

/** A widget that was asked for can only show the values that its type has. */
function fits(kind: WidgetKind, members: readonly string[]): boolean {
  if (kind === "seed") return members.every((each) => each === "INT");
  return members.every((each) => each === "STRING");
}
