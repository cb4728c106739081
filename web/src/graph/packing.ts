/**
 * Nodes into a sub-graph.
 *
 *     a ──▶ [ b ──▶ c ] ──▶ d        becomes        a ──▶ sub ──▶ d
 *
 * Each output outside that is read inside becomes a declared input, each output inside that is read outside a declared
 * output.
 */
import { t } from "../i18n";
import type { Definitions } from "./definitions";
import { DocumentError, type GraphDoc, type NodeDoc, type NodeLook, splitReference } from "./document";
import { isTaken, lookOf, uiOf } from "./frames";
import { linksOf } from "./links";
import { nameFrom, snakeCase, uniqueName } from "./names";
import { type Shape, shapesOf } from "./resolve";
import { findSubgraph, scopesOf, subgraphType } from "./scopes";
import { ANY } from "./sockets";

type Point = [number, number];

/** Make a sub-graph of nodes; gives the id of the node that stands for it. Throws a DocumentError if it can't be. */
export function makeSubgraph(
  graph: GraphDoc,
  ids: Iterable<string>,
  name: string,
  definitions: Definitions,
  document: GraphDoc,
): string {
  const all = new Set(ids);
  const chosen = new Set([...all].filter((id) => Object.hasOwn(graph.nodes, id)));
  if (chosen.size === 0) throw new DocumentError(t("graph.nothingChosen"));
  refuseCircle(graph, chosen);
  const shapes = shapesOf(graph, definitions, document);
  const scopes = scopesOf(graph, document);
  const unique = uniqueName(nameFrom(name), (each) => findSubgraph(each, scopes) !== null);
  const id = uniqueName(snakeCase(unique), (each) => isTaken(graph, each) && !chosen.has(each));
  const inner: GraphDoc = { nodes: {}, ui: {} };
  const node: NodeDoc = { type: subgraphType(unique), type_version: 1, inputs: {} };
  const corner = cornerOf([...chosen].map((each) => graph.ui?.nodes?.[each]));

  leadInputs(graph, inner, id, chosen);
  takeLinksIn(graph, inner, node, id, chosen, shapes);
  giveLinksOut(graph, inner, id, chosen);
  moveInside(graph, inner, all, chosen);
  if (Object.keys(node.inputs ?? {}).length === 0) delete node.inputs;
  graph.nodes[id] = node;
  lookOf(graph, id).pos = corner;
  graph.subgraphs ??= {};
  graph.subgraphs[unique] = inner;
  return id;
}

/** A node outside that lies between two inside would be before and behind the sub-graph. */
function refuseCircle(graph: GraphDoc, chosen: ReadonlySet<string>): void {
  const links = linksOf(graph).map(({ from, to }) => ({ from: from.node, to: to.node }));
  const behind = new Set<string>();
  let grew = true;
  while (grew) {
    const size = behind.size;
    for (const { from, to } of links) if (!chosen.has(to) && (chosen.has(from) || behind.has(from))) behind.add(to);
    grew = behind.size > size;
  }
  const back = links.find(({ from, to }) => behind.has(from) && chosen.has(to));
  if (back !== undefined) throw new DocumentError(t("graph.between", { node: back.from }));
}

/** Let what the graph's own declared inputs lead to be led to through the sub-graph. */
function leadInputs(graph: GraphDoc, inner: GraphDoc, id: string, chosen: ReadonlySet<string>): void {
  for (const [name, declared] of Object.entries(graph.inputs ?? {})) {
    const inside = (declared.to ?? []).filter((end) => chosen.has(splitReference(end).node));
    if (inside.length === 0) continue;
    inner.inputs ??= {};
    inner.inputs[name] = { ...declared, to: inside };
    const outside = (declared.to ?? []).filter((end) => !inside.includes(end));
    declared.to = [...outside, `${id}.${name}`];
  }
}

function takeLinksIn(
  graph: GraphDoc,
  inner: GraphDoc,
  node: NodeDoc,
  id: string,
  chosen: ReadonlySet<string>,
  shapes: ReadonlyMap<string, Shape>,
): void {
  const names = new Map<string, string>();
  for (const { end, from, to } of linksOf(graph)) {
    if (chosen.has(from.node) || !chosen.has(to.node)) continue;
    const source = `${from.node}.${from.output}`;
    const known = names.get(source);
    inner.inputs ??= {};
    delete graph.nodes[to.node]?.inputs?.[to.input];
    if (known !== undefined) {
      inner.inputs[known]?.to?.push(end);
      continue;
    }
    const name = uniqueName(nameFrom(to.input), (each) => Object.hasOwn(inner.inputs ?? {}, each));
    names.set(source, name);
    const given = shapes.get(from.node)?.outputs.find((each) => each.name === from.output)?.type ?? ANY;
    const taken = shapes.get(to.node)?.inputs.find((each) => each.name === to.input)?.type ?? ANY;
    inner.inputs[name] = { type: given === ANY ? taken : given, to: [end] };
    node.inputs = { ...node.inputs, [name]: { $link: source } };
    moveReroutes(graph, end, `${id}.${name}`);
  }
}

function giveLinksOut(graph: GraphDoc, inner: GraphDoc, id: string, chosen: ReadonlySet<string>): void {
  const nameOf = (reference: string): string => {
    inner.outputs ??= {};
    const before = Object.entries(inner.outputs).find(([, each]) => each.from === reference);
    if (before !== undefined) return before[0];
    const wanted = nameFrom(splitReference(reference).name);
    const name = uniqueName(wanted, (each) => Object.hasOwn(inner.outputs ?? {}, each));
    inner.outputs[name] = { from: reference };
    return name;
  };
  for (const { from, to } of linksOf(graph)) {
    const reader = graph.nodes[to.node];
    if (!chosen.has(from.node) || chosen.has(to.node) || reader?.inputs === undefined) continue;
    reader.inputs[to.input] = { $link: `${id}.${nameOf(`${from.node}.${from.output}`)}` };
  }
  for (const declared of Object.values(graph.outputs ?? {})) {
    if (chosen.has(splitReference(declared.from).node)) declared.from = `${id}.${nameOf(declared.from)}`;
  }
}

function moveInside(graph: GraphDoc, inner: GraphDoc, all: ReadonlySet<string>, chosen: ReadonlySet<string>): void {
  const ui = uiOf(inner);
  for (const id of chosen) {
    inner.nodes[id] = graph.nodes[id] as NodeDoc;
    delete graph.nodes[id];
    const look = graph.ui?.nodes?.[id];
    if (look === undefined) continue;
    ui.nodes = { ...ui.nodes, [id]: look };
    delete graph.ui?.nodes?.[id];
  }
  for (const [end, points] of Object.entries(graph.ui?.reroutes ?? {})) {
    if (!chosen.has(splitReference(end).node)) continue;
    ui.reroutes = { ...ui.reroutes, [end]: points };
    delete graph.ui?.reroutes?.[end];
  }
  const outer = uiOf(graph);
  for (const kind of ["groups", "notes"] as const) {
    const inside = outer[kind]?.filter((each) => all.has(each.id)) ?? [];
    if (inside.length === 0) continue;
    Object.assign(ui, { [kind]: inside });
    Object.assign(outer, { [kind]: outer[kind]?.filter((each) => !all.has(each.id)) });
  }
}

function moveReroutes(graph: GraphDoc, from: string, to: string): void {
  const reroutes = graph.ui?.reroutes;
  if (reroutes?.[from] === undefined) return;
  reroutes[to] = reroutes[from];
  delete reroutes[from];
}

function cornerOf(looks: readonly (NodeLook | undefined)[]): Point {
  const corners = looks.map((look): Point => look?.pos ?? [0, 0]);
  return [Math.min(...corners.map(([x]) => x)), Math.min(...corners.map(([, y]) => y))];
}
