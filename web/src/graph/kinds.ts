/** Kinds by their sockets: what fits a wire, what turns one type into another. */
import type { Definitions, NodeDefinition } from "./definitions";
import { ANY, type Connection, connection, isScalar, isVariable, itemType, members } from "./sockets";

/** A kind of node that turns one type into the other, and its sockets for that. */
export interface Converter {
  type: string;
  input: string;
  output: string;
}

/** A kind with the socket that fits a wire. */
export interface CompatibleKind {
  kind: NodeDefinition;
  socket: string;
}

/** A wire drawn from a socket: its type, and whether that socket is an input or an output. */
export interface Wire {
  type: string;
  direction: "input" | "output";
}

/** Give kinds with a socket that fits a wire, those made for its type before those that take anything. */
export function compatibleKinds(definitions: Definitions, wire: Wire): CompatibleKind[] {
  const found: (CompatibleKind & { rank: number })[] = [];
  for (const kind of definitions.values()) {
    if (kind.status === "deprecated") continue;
    const fits = (wire.direction === "output" ? kind.inputs : kind.outputs)
      .map(({ name, type }) => ({ kind, socket: name, rank: rankOf(kind, type, wire) }))
      .filter(({ rank }) => rank < Number.POSITIVE_INFINITY);
    const best = fits.sort((a, b) => a.rank - b.rank)[0];
    if (best !== undefined) found.push(best);
  }
  return found.sort((a, b) => a.rank - b.rank).map(({ kind, socket }) => ({ kind, socket }));
}

/** Give 0 for the very type, more for one that fits less closely, infinity for one that doesn't. */
function rankOf(kind: NodeDefinition, own: string, wire: Wire): number {
  const variable = itemType(own);
  if (isVariable(variable)) {
    const allowed = members(kind.variables[variable] ?? ANY).map((each) => own.replace(variable, each));
    return allowed.some((type) => link(type, wire).ok) ? 3 : Number.POSITIVE_INFINITY;
  }
  const verdict = link(own, wire);
  if (!verdict.ok) return Number.POSITIVE_INFINITY;
  if (own === wire.type) return 0;
  if (itemType(own) === ANY) return 3;
  return verdict.mapped || verdict.wrapped ? 2 : 1;
}

function link(own: string, wire: Wire): Connection {
  return wire.direction === "output" ? connection(own, wire.type) : connection(wire.type, own);
}

/** Find the node that turns one type into the other and needs the least besides. */
export function findConverter(definitions: Definitions, given: string, wanted: string): Converter | null {
  let best: (Converter & { needs: number }) | null = null;
  for (const kind of definitions.values()) {
    if (kind.status === "deprecated") continue;
    const input = kind.inputs.find((each) => each.type === given);
    const output = kind.outputs.find((each) => each.type === wanted);
    if (input === undefined || output === undefined) continue;
    const others = kind.inputs.filter((each) => each.required && !isScalar(each.type)).length;
    const needs = others * 100 + kind.inputs.length;
    if (best === null || needs < best.needs) best = { type: kind.id, input: input.name, output: output.name, needs };
  }
  if (best === null) return null;
  const { needs: _, ...converter } = best;
  return converter;
}
