/** Which graph lies in which: names of sub-graphs are looked up in a graph first, then further out. */
import { current, isDraft } from "immer";
import { type GraphDoc, isObject, type Json, type NodeDoc } from "./document";

const SUBGRAPH = "subgraph:";
const known = new WeakMap<GraphDoc, Map<GraphDoc, readonly GraphDoc[]>>();

/** Give a graph with those around it, outermost first. One that isn't in the document has the document around it. */
export function scopesOf(graph: GraphDoc, document: GraphDoc): readonly GraphDoc[] {
  if (graph === document) return [document];
  if (isDraft(document)) return find(graph, [document]) ?? [document, graph];
  let paths = known.get(document);
  if (paths === undefined) {
    paths = new Map();
    known.set(document, paths);
  }
  let path = paths.get(graph);
  if (path === undefined) {
    path = find(graph, [document]) ?? [document, graph];
    paths.set(graph, path);
  }
  return path;
}

function find(graph: GraphDoc, around: readonly GraphDoc[]): readonly GraphDoc[] | null {
  for (const inner of Object.values(around.at(-1)?.subgraphs ?? {})) {
    const path = [...around, inner];
    const found = inner === graph ? path : find(graph, path);
    if (found !== null) return found;
  }
  return null;
}

/** Give a draft as it stands now: reading a large graph through a draft is slow, and nothing about it can be kept. */
export function settled(graph: GraphDoc): GraphDoc {
  return isDraft(graph) ? current(graph) : graph;
}

/** Find a sub-graph by its name, from the innermost graph outwards; with the graphs around it and itself. */
export function findSubgraph(
  name: string,
  scopes: readonly GraphDoc[],
): { subgraph: GraphDoc; scopes: readonly GraphDoc[] } | null {
  for (let depth = scopes.length; depth > 0; depth -= 1) {
    const holder = scopes[depth - 1]?.subgraphs;
    const subgraph = holder !== undefined && Object.hasOwn(holder, name) ? holder[name] : undefined;
    if (subgraph !== undefined) return { subgraph, scopes: [...scopes.slice(0, depth), subgraph] };
  }
  return null;
}

/** Give the name of the sub-graph that a node stands for, or null. */
export function subgraphOf(type: string): string | null {
  return type.startsWith(SUBGRAPH) ? type.slice(SUBGRAPH.length) : null;
}

export function subgraphType(name: string): string {
  return SUBGRAPH + name;
}

/** Give the name of the sub-graph that a value names, as `{"$subgraph": "NAME"}`, or null. */
export function subgraphNamed(value: Json | undefined): string | null {
  return isObject(value) && typeof value["$subgraph"] === "string" ? value["$subgraph"] : null;
}

/** Give the names of all sub-graphs that a node uses: the one it stands for, and those among its values. */
export function subgraphsUsed(node: NodeDoc): string[] {
  const values = Object.values(node.inputs ?? {}).map(subgraphNamed);
  return [subgraphOf(node.type), ...values].filter((name) => name !== null);
}
