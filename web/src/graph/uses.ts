/** Where a sub-graph is used. */
import type { GraphDoc, NodeDoc } from "./document";
import { subgraphNamed, subgraphOf, subgraphsUsed, subgraphType } from "./scopes";

/** A node that uses a sub-graph, and the sub-graphs that it lies in, outermost first. */
export interface SubgraphUse {
  path: string[];
  node: string;
}

/** Find all uses of one of a graph's sub-graphs, also from within others. */
export function usesOf(graph: GraphDoc, name: string): SubgraphUse[] {
  const uses: SubgraphUse[] = [];
  walk(graph, name, [], (inner, path) => {
    for (const [id, node] of Object.entries(inner.nodes))
      if (subgraphsUsed(node).includes(name)) uses.push({ path, node: id });
  });
  return uses;
}

/** Visit a graph and those within, as far as the name means the same there. */
function walk(graph: GraphDoc, name: string, path: string[], visit: (graph: GraphDoc, path: string[]) => void): void {
  visit(graph, path);
  for (const [inner, subgraph] of Object.entries(graph.subgraphs ?? {})) {
    if (subgraph.subgraphs?.[name] === undefined) walk(subgraph, name, [...path, inner], visit);
  }
}

/** Let all uses of a sub-graph, in a graph and those within, name it otherwise. */
export function renameUses(graph: GraphDoc, name: string, next: string): void {
  walk(graph, name, [], (inner) => {
    for (const node of Object.values(inner.nodes)) renameUse(node, name, next);
  });
}

function renameUse(node: NodeDoc, name: string, next: string): void {
  if (subgraphOf(node.type) === name) node.type = subgraphType(next);
  for (const [input, value] of Object.entries(node.inputs ?? {})) {
    if (node.inputs !== undefined && subgraphNamed(value) === name) node.inputs[input] = { $subgraph: next };
  }
}

/** Give the names of a graph's sub-graphs that nothing uses. */
export function unusedSubgraphs(graph: GraphDoc): string[] {
  const used = new Set(Object.values(graph.nodes).flatMap(subgraphsUsed)); // it grows on the way
  for (const name of used) for (const each of namesWithin(graph.subgraphs?.[name])) used.add(each);
  return Object.keys(graph.subgraphs ?? {}).filter((name) => !used.has(name));
}

/** Give all names that a sub-graph uses, those of its own sub-graphs included. */
function namesWithin(graph: GraphDoc | undefined): string[] {
  if (graph === undefined) return [];
  const own = Object.values(graph.nodes).flatMap(subgraphsUsed);
  return [...own, ...Object.values(graph.subgraphs ?? {}).flatMap(namesWithin)];
}
