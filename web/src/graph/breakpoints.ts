/**
 * Where runs stop: before the nodes with a breakpoint, inside of sub-graphs too.
 *
 * The server knows nothing of them. A run that stops is one for the nodes that feed those it stops before; the run that
 * goes on finds their results in the cache. Ids are full ones (`upscale/decode`).
 */
import { type GraphDoc, isLink, type NodeDoc, splitReference, type WorkflowDoc } from "./document";

/** A run that stops, and what it is for. */
export interface Stop {
  /** The nodes that it stops before. */
  before: readonly string[];
  /** The nodes that feed them; none if there is nothing to run. */
  targets: readonly string[];
}

/**
 * Give where a run stops; null if it comes to its end.
 *
 * @param targets What it is for; null for all.
 * @param passed Breakpoints that it doesn't stop at.
 */
export function stopOf(
  document: WorkflowDoc,
  targets: readonly string[] | null,
  passed: ReadonlySet<string> = new Set(),
): Stop | null {
  const nodes = nodesOf(document);
  const points = [...nodes.values()].flatMap(({ id, hasBreakpoint }) => (hasBreakpoint && !passed.has(id) ? [id] : []));
  if (points.length === 0) return null;
  const known: Ancestry = new Map();
  const isBehind = (id: string, point: string) => isWithin(id, point) || ancestorsOf(id, nodes, known).has(point);
  const reached = points.filter(
    (point) => targets === null || targets.some((id) => isBehind(id, point) || isWithin(point, id)),
  );
  if (reached.length === 0) return null;
  const feeders = reached.flatMap((point) => nodes.get(point)?.sources() ?? []);
  return {
    before: reached.filter((point) => !reached.some((other) => other !== point && isBehind(point, other))),
    targets: [...new Set(feeders)].filter((id) => !reached.some((point) => isBehind(id, point))),
  };
}

type Ancestry = Map<string, ReadonlySet<string>>;

interface PlacedNode {
  id: string;
  hasBreakpoint: boolean;
  /** The nodes that feed it. */
  sources(): string[];
}

/** A graph where it is used: the workflow itself, or a sub-graph as one node has it. */
interface Scope {
  prefix: string;
  graph: GraphDoc;
  outer: Scope | null;
  /** The node that it is inside of. */
  node: string;
}

function isWithin(id: string, node: string): boolean {
  return id === node || id.startsWith(`${node}/`);
}

/** Give all that a node depends on, with the nodes of the sub-graphs that these are in and it is not. */
function ancestorsOf(id: string, nodes: ReadonlyMap<string, PlacedNode>, known: Ancestry): ReadonlySet<string> {
  const found = known.get(id);
  if (found !== undefined) return found;
  const all = new Set<string>();
  known.set(id, all); // before it is full: a graph with a cycle, which can't run, ends here
  for (const inner of [...nodes.keys()].filter((each) => isWithin(each, id))) {
    for (const source of nodes.get(inner)?.sources() ?? []) {
      for (const each of around(source)) if (!isWithin(inner, each)) all.add(each);
      for (const each of ancestorsOf(source, nodes, known)) all.add(each);
    }
  }
  all.delete(id);
  return all;
}

/** Give a node's id and those of the nodes around it. */
function around(id: string): string[] {
  const parts = id.split("/");
  return parts.map((_, place) => parts.slice(0, place + 1).join("/"));
}

/** Give the nodes that run by themselves: not what is off, nor what other nodes call. */
function nodesOf(document: WorkflowDoc): Map<string, PlacedNode> {
  const found = new Map<string, PlacedNode>();
  const walk = (scope: Scope) => {
    for (const [name, node] of Object.entries(scope.graph.nodes)) {
      if (node.mode === "muted" || node.mode === "bypassed") continue;
      const id = scope.prefix + name;
      const hasBreakpoint = scope.graph.ui?.nodes?.[name]?.breakpoint === true;
      found.set(id, { id, hasBreakpoint, sources: () => sourcesOf(scope, name, node) });
      const inner = innerOf(scope, name, node);
      if (inner !== null) walk(inner);
    }
  };
  walk({ prefix: "", graph: document, outer: null, node: "" });
  return found;
}

/** Give the graph that a sub-graph's node stands for; none if it is inside of itself, which can't run. */
function innerOf(scope: Scope, name: string, node: NodeDoc): Scope | null {
  if (!node.type.startsWith("subgraph:")) return null;
  const wanted = node.type.slice("subgraph:".length);
  let graph: GraphDoc | undefined;
  for (let around: Scope | null = scope; around !== null && graph === undefined; around = around.outer)
    graph = around.graph.subgraphs?.[wanted];
  for (let around: Scope | null = scope; around !== null; around = around.outer)
    if (around.graph === graph) return null;
  return graph === undefined ? null : { prefix: `${scope.prefix}${name}/`, graph, outer: scope, node: name };
}

function sourcesOf(scope: Scope, name: string, node: NodeDoc): string[] {
  const links = Object.values(node.inputs ?? {}).filter(isLink);
  const own = links.flatMap((link) => outputOf(scope, link.$link));
  return [...new Set([...own, ...feedersOf(scope, (end) => splitReference(end).node === name)])];
}

/** Give the node that an output comes from in the end: one inside of a sub-graph, or one before a node that is off. */
function outputOf(scope: Scope, reference: string): string[] {
  const { node: name, name: output } = splitReference(reference);
  const node = scope.graph.nodes[name];
  if (node === undefined || node.mode === "muted") return [];
  if (node.mode === "bypassed") return sourcesOf(scope, name, node);
  const inner = innerOf(scope, name, node);
  if (inner === null) return [scope.prefix + name];
  const from = inner.graph.outputs?.[output]?.from;
  return from === undefined ? [] : outputOf(inner, from);
}

/** Give what feeds ends inside of a sub-graph through the inputs that it declares, from however far outside. */
function feedersOf({ graph, outer, node }: Scope, isMeant: (end: string) => boolean): string[] {
  if (outer === null) return [];
  const declared = Object.entries(graph.inputs ?? {}).filter(([, { to }]) => to?.some(isMeant));
  return declared.flatMap(([input]) => {
    const value = outer.graph.nodes[node]?.inputs?.[input];
    return isLink(value) ? outputOf(outer, value.$link) : feedersOf(outer, (end) => end === `${node}.${input}`);
  });
}
