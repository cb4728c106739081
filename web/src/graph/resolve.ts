/**
 * What sockets each node has, here in its graph.
 *
 * Kinds say most of it. Type variables stand for what is linked, a node that is fed a list where it takes one item runs
 * once per item and gives lists, sub-graphs bring their declared sockets, and nodes that run a sub-graph take over its
 * sockets. All of it is found in one pass over the graph, sources first, without recursing along links: chains are long.
 */
import type { BodyDefinition, Definitions, NodeDefinition } from "./definitions";
import { type GraphDoc, isLink, isObject, type NodeDoc, splitReference } from "./document";
import { choiceAt } from "./ownSockets";
import { findSubgraph, scopesOf, settled, subgraphNamed, subgraphOf } from "./scopes";
import { declaredDefinition, placeholder, type Shape, shapeOfKind, typeOfValue, withTypes } from "./shapes";
import { ANY, accepts, isList, isVariable, itemType, listOf } from "./sockets";
import { isEqual } from "./values";

export type { Shape } from "./shapes";

type Shapes = ReadonlyMap<string, Shape>;

/** Give a node's effective sockets. */
export function shapeOf(graph: GraphDoc, nodeId: string, definitions: Definitions, document: GraphDoc): Shape {
  const shape = shapesOf(graph, definitions, document).get(nodeId);
  return shape ?? placeholder(graph, nodeId, { type: "" }, true);
}

/** Give the shapes of all nodes, by id; the same map while nothing about them changed. */
export function shapesOf(graph: GraphDoc, definitions: Definitions, document: GraphDoc): Shapes {
  return shapesIn(scopesOf(graph, document).map(settled), definitions, new Set());
}

/** Shapes that were found, and what they depend on. */
interface Known {
  nodes: GraphDoc["nodes"];
  dependencies: readonly unknown[];
  shapes: Shapes;
}

const known = new WeakMap<GraphDoc["nodes"], Known>();
/** The newest by the definitions that they were made with: after most edits, the shapes are what they were. */
const newest = new WeakMap<Definitions, Known[]>();
const KEPT = 8;

function shapesIn(scopes: readonly GraphDoc[], definitions: Definitions, within: ReadonlySet<GraphDoc>): Shapes {
  const graph = scopes.at(-1);
  if (graph === undefined) return new Map();
  // where nodes lie is no part of this: moving them finds all as it was
  const dependencies = [definitions, graph.inputs, graph.outputs, ...scopes.map((scope) => scope.subgraphs)];
  const exact = known.get(graph.nodes);
  if (exact !== undefined && isSame(exact.dependencies, dependencies)) return exact.shapes;
  const recent = newest.get(definitions) ?? [];
  const alike = recent.find(
    (each) => isSame(each.dependencies, dependencies) && areWiredAlike(each.nodes, graph.nodes, definitions),
  );
  const shapes = alike?.shapes ?? resolveGraph(graph, scopes, definitions, within);
  const now = { nodes: graph.nodes, dependencies, shapes };
  known.set(graph.nodes, now);
  newest.set(definitions, [now, ...recent.filter((each) => each !== alike)].slice(0, KEPT));
  return shapes;
}

function isSame(left: readonly unknown[], right: readonly unknown[]): boolean {
  return left.length === right.length && left.every((each, place) => each === right[place]);
}

function areWiredAlike(before: GraphDoc["nodes"], after: GraphDoc["nodes"], definitions: Definitions): boolean {
  const ids = Object.keys(after);
  if (ids.length !== Object.keys(before).length) return false;
  return ids.every((id) => {
    const [old, now] = [before[id], after[id]];
    return old === now || (old !== undefined && now !== undefined && isWiredAlike(old, now, definitions));
  });
}

/** Tell whether nodes differ in no more than their plain values; of unknown kinds the types of these count too. */
function isWiredAlike(before: NodeDoc, after: NodeDoc, definitions: Definitions): boolean {
  if (before.type !== after.type) return false;
  const isKnown = definitions.has(after.type);
  const deciding = definitions.get(after.type)?.sockets_from ?? [];
  const names = new Set([...Object.keys(before.inputs ?? {}), ...Object.keys(after.inputs ?? {})]);
  return [...names].every((name) => {
    const [old, now] = [before.inputs?.[name], after.inputs?.[name]];
    if (old === now || isEqual(old, now)) return true;
    if (deciding.includes(name)) return false;
    const areTyped = isKnown || (old !== undefined && now !== undefined && typeOfValue(old) === typeOfValue(now));
    return areTyped && !isObject(old) && !isObject(now);
  });
}

function resolveGraph(
  graph: GraphDoc,
  scopes: readonly GraphDoc[],
  definitions: Definitions,
  within: ReadonlySet<GraphDoc>,
): Shapes {
  const shapes = new Map<string, Shape>();
  const given = new Map<string, string>();
  // the workflow's own inputs give values, those of sub-graphs whatever is linked to them
  if (scopes.length > 1) {
    for (const { to, type } of Object.values(graph.inputs ?? {})) for (const end of to ?? []) given.set(end, type);
  }
  const typeOf = (id: string, input: string, node: NodeDoc): string | null => {
    const value = node.inputs?.[input];
    if (!isLink(value)) return given.get(`${id}.${input}`) ?? null;
    const { node: source, name } = splitReference(value.$link);
    return shapes.get(source)?.outputs.find((output) => output.name === name)?.type ?? ANY;
  };
  for (const id of sourcesFirst(graph)) {
    const node = graph.nodes[id] as NodeDoc;
    const base = baseShape(id, node, graph, scopes, definitions, within);
    const { bound, mapped } = bindTypes(base, (input) => typeOf(id, input, node));
    shapes.set(id, withTypes(base, bound, mapped));
  }
  return shapes;
}

/** Find out what type variables stand for, and over which inputs' lists the node runs. */
export function bindTypes(
  base: Shape,
  linked: (input: string) => string | null,
): { bound: Map<string, string>; mapped: Set<string> } {
  const bound = new Map<string, string>();
  const mapped = new Set<string>();
  for (const input of base.inputs) {
    let type = linked(input.name);
    if (type === null) continue;
    if (isList(input.type)) type = itemType(type);
    else if (isList(type) && !input.lazy) {
      mapped.add(input.name);
      type = itemType(type);
    }
    const variable = itemType(input.type);
    if (!isVariable(variable)) continue;
    const before = bound.get(variable) ?? ANY;
    const allowed = base.definition?.variables[variable] ?? ANY;
    if ((before === ANY && accepts(allowed, type)) || (before === "INT" && type === "FLOAT")) bound.set(variable, type);
  }
  return { bound, mapped };
}

/** Order nodes so that each comes after those that feed it; in a circle, some don't. */
export function sourcesFirst(graph: GraphDoc): string[] {
  const order: string[] = [];
  const seen = new Set<string>();
  for (const start of Object.keys(graph.nodes)) {
    const stack = [start];
    while (stack.length > 0) {
      const id = stack.at(-1) as string;
      if (!seen.has(id)) {
        seen.add(id);
        stack.push(...sourcesOf(graph.nodes[id]).filter((source) => !seen.has(source) && graph.nodes[source]));
        if (stack.at(-1) !== id) continue;
      }
      stack.pop();
      order.push(id);
    }
  }
  return [...new Set(order)];
}

/** Give the ids of the nodes that feed a node. */
export function sourcesOf(node: NodeDoc | undefined): string[] {
  return Object.values(node?.inputs ?? {}).flatMap((value) =>
    isLink(value) ? [splitReference(value.$link).node] : [],
  );
}

/** Give a node's sockets before its links are looked at. */
function baseShape(
  id: string,
  node: NodeDoc,
  graph: GraphDoc,
  scopes: readonly GraphDoc[],
  definitions: Definitions,
  within: ReadonlySet<GraphDoc>,
): Shape {
  const kind = definitions.get(node.type);
  if (kind?.sockets_from?.length) return ownShape(id, node, graph, kind);
  const body = kind?.body ? subgraphNamed(node.inputs?.[kind.body.input]) : null;
  const name = kind === undefined ? subgraphOf(node.type) : body;
  if (name === null) {
    return kind === undefined ? placeholder(graph, id, node, !node.type.startsWith("file:")) : shapeOfKind(kind);
  }
  const found = findSubgraph(name, scopes);
  if (found === null) return kind === undefined ? placeholder(graph, id, node, true) : shapeOfKind(kind);
  const own = kind === undefined ? subgraphShape(name, node.type) : { ...shapeOfKind(kind), subgraph: name };
  const isInItself = within.has(found.subgraph) || scopes.includes(found.subgraph);
  const inner = isInItself
    ? new Map<string, Shape>()
    : shapesIn(found.scopes, definitions, new Set([...within, graph]));
  return intern(inner, withSockets(own, found.subgraph, inner));
}

/** Give the sockets that follow from what is chosen at a node; until they are told, those that the graph mentions too. */
function ownShape(id: string, node: NodeDoc, graph: GraphDoc, kind: NodeDefinition): Shape {
  const told = kind.told?.get(choiceAt(kind, node));
  const own = shapeOfKind(told ?? kind);
  if (told !== undefined) return own;
  const { inputs, outputs } = placeholder(graph, id, node, false);
  const others = inputs.filter(({ name }) => own.inputs.every((each) => each.name !== name));
  return { ...own, inputs: [...own.inputs, ...others], outputs };
}

function subgraphShape(name: string, type: string): Shape {
  const plain = { pack: "", doc: "", definition: null, missing: false, mapped: new Set<string>() };
  return { ...plain, type, label: name, inputs: [], outputs: [], subgraph: name };
}

/** Add a sub-graph's declared sockets, but for those that a node which runs it supplies and reads itself. */
function withSockets(own: Shape, subgraph: GraphDoc, inner: Shapes): Shape {
  const rule = own.definition?.body ?? PLAIN;
  const taken = new Set([...rule.supplies, ...own.inputs.map((input) => input.name)]);
  const inputs = Object.entries(subgraph.inputs ?? {})
    .filter(([name]) => !taken.has(name))
    .map(([name, declared]) => declaredDefinition(name, declared, subgraph, inner));
  const outputs = Object.entries(subgraph.outputs ?? {})
    .filter(([name]) => rule.outputs && !rule.consumes.includes(name))
    .map(([name, { from, doc }]) => {
      const { node, name: output } = splitReference(from);
      const type = inner.get(node)?.outputs.find((each) => each.name === output)?.type ?? ANY;
      return { name, type: rule.lists ? listOf(type) : type, doc: doc ?? "" };
    });
  const about = subgraph.meta?.description;
  return {
    ...own,
    doc: own.doc || (typeof about === "string" ? about : ""),
    inputs: [...own.inputs, ...inputs],
    outputs: [...own.outputs, ...outputs],
  };
}

const PLAIN: BodyDefinition = { input: "", supplies: [], consumes: [], lists: false, outputs: true };
const interned = new WeakMap<Shapes, Map<string, Shape>>();

/** Give the same object for the same sockets of a sub-graph's nodes. */
function intern(inner: Shapes, shape: Shape): Shape {
  const key = `${shape.type} ${shape.subgraph} ${shape.doc}`;
  const shapes = interned.get(inner) ?? new Map<string, Shape>();
  interned.set(inner, shapes);
  const before = shapes.get(key) ?? shape;
  shapes.set(key, before);
  return before;
}
