/** Choosing several of a list by pointer and keys, as file managers do. */

export interface Choice {
  chosen: ReadonlySet<string>;
  /** Where a range begins. */
  anchor: string | null;
}

/** What a press meant: the plain thing, one more or less, or all from the last one to here. */
export type Pressed = "open" | "toggle" | "range";

export function pressedWith(event: { ctrlKey: boolean; metaKey: boolean; shiftKey: boolean }): Pressed {
  if (event.shiftKey) return "range";
  return event.ctrlKey || event.metaKey ? "toggle" : "open";
}

export function afterPress(before: Choice, names: readonly string[], index: number, how: Pressed): Choice {
  const name = names[index];
  if (name === undefined) return before;
  const from = before.anchor === null ? -1 : names.indexOf(before.anchor);
  if (how === "range" && from >= 0) {
    const range = names.slice(Math.min(from, index), Math.max(from, index) + 1);
    return { chosen: new Set([...before.chosen, ...range]), anchor: before.anchor };
  }
  const chosen = new Set(before.chosen);
  if (!chosen.delete(name)) chosen.add(name);
  return { chosen, anchor: name };
}
