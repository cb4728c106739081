/** Nodes with sockets that follow from what is chosen at them, such as the folder of a pipeline; see `toldSockets.ts`. */
import type { NodeDefinition } from "./definitions";
import { dumpJson, isLink, type Json, type NodeDoc } from "./document";

/** Give what is chosen at a node; null for what is linked, of which nothing follows. */
export function chosenAt(kind: NodeDefinition, node: NodeDoc): { [name: string]: Json } {
  const value = (name: string): Json => {
    const set = node.inputs?.[name];
    if (isLink(set)) return null;
    return set ?? kind.inputs.find((input) => input.name === name)?.default ?? null;
  };
  return Object.fromEntries((kind.sockets_from ?? []).map((name) => [name, value(name)]));
}

/** Give a key of what is chosen at a node. */
export function choiceAt(kind: NodeDefinition, node: NodeDoc): string {
  return dumpJson(chosenAt(kind, node));
}
