/**
 * How a socket of a type looks: a colour, and a shape, so that colour is never alone in telling.
 *
 * Types come from packs, so none has a colour of its own: a hash picks one of a fixed palette. The hash's seed was
 * searched so that the dozen types that most graphs are made of differ.
 */
export type SocketShape = "circle" | "square" | "diamond";

const COLORS = 12;
const SEED = 31329;
const SCALARS = new Set(["INT", "FLOAT", "STRING", "BOOLEAN"]);

export function socketShape(type: string): SocketShape {
  if (type.startsWith("[")) return "square";
  return SCALARS.has(type) ? "diamond" : "circle";
}

/** Give a CSS colour; lists have the colour of what is in them. */
export function socketColor(type: string): string {
  const name = type.replace(/^\[+|\]+$/g, "");
  if (name === "*" || name === "" || name.startsWith("$") || name.includes("|")) return "var(--socket-any)";
  let hash = SEED;
  for (const character of name) hash = (Math.imul(hash, 31) + (character.codePointAt(0) ?? 0)) >>> 0;
  hash ^= hash >>> 15;
  return `var(--socket-${(hash >>> 0) % COLORS})`;
}
