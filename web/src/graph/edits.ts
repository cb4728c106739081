/** Changes of a graph, to be made on a draft within `edit(…)`. */
import { t } from "../i18n";
import { disconnect } from "./connect";
import type { NodeDefinition } from "./definitions";
import { DocumentError, type GraphDoc, isLink, type Json, type Mode, type NodeDoc, splitReference } from "./document";
import { isTaken, lookOf } from "./frames";
import { isNodeId, snakeCase, uniqueName } from "./names";

export * from "./arrange";
export { duplicate } from "./clipboard";
export * from "./declared";
export * from "./frames";

export type Point = [number, number];

/** Add a node; gives its id, made from its kind (`vae_decode`, `vae_decode_2`). */
export function addNode(
  graph: GraphDoc,
  kind: NodeDefinition | string,
  pos: Point,
  inputs: { [name: string]: Json } = {},
): string {
  const type = typeof kind === "string" ? kind : kind.id;
  const id = uniqueName(snakeCase(type), (each) => isTaken(graph, each));
  const node: NodeDoc = { type, type_version: typeof kind === "string" ? 1 : kind.version };
  if (Object.keys(inputs).length > 0) node.inputs = { ...inputs };
  graph.nodes[id] = node;
  lookOf(graph, id).pos = pos;
  return id;
}

/** Remove nodes, groups and notes, and every link and declared socket that named them. */
export function removeNodes(graph: GraphDoc, ids: Iterable<string>): void {
  const gone = new Set(ids);
  const isGone = (reference: string) => gone.has(splitReference(reference).node);
  for (const id of gone) {
    delete graph.nodes[id];
    delete graph.ui?.nodes?.[id];
  }
  for (const [id, node] of Object.entries(graph.nodes)) {
    for (const [input, value] of Object.entries(node.inputs ?? {})) {
      if (isLink(value) && isGone(value.$link)) disconnect(graph, { node: id, input });
    }
  }
  for (const [name, declared] of Object.entries(graph.inputs ?? {})) {
    if (declared.to === undefined || !declared.to.some(isGone)) continue;
    declared.to = declared.to.filter((end) => !isGone(end));
    if (declared.to.length === 0) delete graph.inputs?.[name];
  }
  for (const [name, { from }] of Object.entries(graph.outputs ?? {})) if (isGone(from)) delete graph.outputs?.[name];
  const ui = graph.ui;
  for (const end of Object.keys(ui?.reroutes ?? {})) if (isGone(end)) delete ui?.reroutes?.[end];
  if (ui?.groups?.some((each) => gone.has(each.id))) ui.groups = ui.groups.filter((each) => !gone.has(each.id));
  if (ui?.notes?.some((each) => gone.has(each.id))) ui.notes = ui.notes.filter((each) => !gone.has(each.id));
}

/** Move nodes, groups and notes. */
export function moveNodes(graph: GraphDoc, to: Iterable<readonly [string, Point]>): void {
  for (const [id, pos] of to) {
    if (Object.hasOwn(graph.nodes, id)) lookOf(graph, id).pos = pos;
    for (const each of framesOf(graph, id)) each.pos = pos;
  }
}

function framesOf(graph: GraphDoc, id: string) {
  return [...(graph.ui?.groups ?? []), ...(graph.ui?.notes ?? [])].filter((each) => each.id === id);
}

export function setInput(graph: GraphDoc, node: string, input: string, value: Json): void {
  const target = graph.nodes[node];
  if (target === undefined) return;
  disconnect(graph, { node, input });
  target.inputs ??= {};
  target.inputs[input] = value;
}

/** Back to the default. */
export function resetInput(graph: GraphDoc, node: string, input: string): void {
  disconnect(graph, { node, input });
  delete graph.nodes[node]?.inputs?.[input];
}

/** Give a node another id, wherever it is named. Throws a DocumentError if it can't be one. */
export function renameNode(graph: GraphDoc, node: string, id: string): void {
  if (id === node) return;
  if (!isNodeId(id)) throw new DocumentError(t("graph.badId", { id }));
  if (isTaken(graph, id)) throw new DocumentError(t("graph.takenId", { id }));
  const renamed = (reference: string) => {
    const { node: named, name } = splitReference(reference);
    return named === node ? `${id}.${name}` : reference;
  };
  // rebuilt rather than deleted and added: the node keeps its place
  graph.nodes = withKey(graph.nodes, node, id);
  for (const each of Object.values(graph.nodes)) {
    for (const value of Object.values(each.inputs ?? {})) {
      if (isLink(value)) value.$link = renamed(value.$link);
    }
  }
  for (const declared of Object.values(graph.inputs ?? {})) {
    if (declared.to !== undefined) declared.to = declared.to.map(renamed);
  }
  for (const declared of Object.values(graph.outputs ?? {})) declared.from = renamed(declared.from);
  if (graph.ui?.nodes?.[node] !== undefined) graph.ui.nodes = withKey(graph.ui.nodes, node, id);
  if (graph.ui?.reroutes !== undefined) {
    graph.ui.reroutes = Object.fromEntries(
      Object.entries(graph.ui.reroutes).map(([end, points]) => [renamed(end), points]),
    );
  }
}

function withKey<T>(values: { [key: string]: T }, from: string, to: string): { [key: string]: T } {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key === from ? to : key, value]));
}

/** An empty title is none. */
export function setTitle(graph: GraphDoc, node: string, title: string): void {
  const target = graph.nodes[node];
  if (target === undefined) return;
  if (title.trim() === "") delete target.title;
  else target.title = title.trim();
}

export function setMode(graph: GraphDoc, nodes: Iterable<string>, mode: Mode): void {
  for (const id of nodes) {
    const node = graph.nodes[id];
    if (node === undefined) continue;
    if (mode === "normal") delete node.mode;
    else node.mode = mode;
  }
}

/** Colour nodes, groups and notes; null takes it off. */
export function setColor(graph: GraphDoc, ids: Iterable<string>, color: string | null): void {
  for (const id of ids) {
    const looks = Object.hasOwn(graph.nodes, id) ? [lookOf(graph, id)] : framesOf(graph, id);
    for (const look of looks) {
      if (color === null) delete look.color;
      else look.color = color;
    }
  }
}

/** Collapse nodes, or set breakpoints on them; undo it if all are so already. */
export function toggleLook(
  graph: GraphDoc,
  nodes: Iterable<string>,
  what: "collapsed" | "advanced" | "breakpoint",
): void {
  const looks = [...nodes].filter((id) => Object.hasOwn(graph.nodes, id)).map((id) => lookOf(graph, id));
  const haveAll = looks.every((look) => look[what]);
  for (const look of looks) {
    if (haveAll) delete look[what];
    else look[what] = true;
  }
}

/** Show an input with a widget as a socket, or the other way round; back to a widget also cuts its link. */
export function toggleSocket(graph: GraphDoc, node: string, input: string): void {
  if (!Object.hasOwn(graph.nodes, node)) return;
  const look = lookOf(graph, node);
  const sockets = look.sockets ?? [];
  if (!sockets.includes(input)) {
    look.sockets = [...sockets, input];
    return;
  }
  look.sockets = sockets.filter((name) => name !== input);
  if (look.sockets.length === 0) delete look.sockets;
  disconnect(graph, { node, input });
}

export function resizeNode(graph: GraphDoc, node: string, size: Point): void {
  if (Object.hasOwn(graph.nodes, node)) lookOf(graph, node).size = size;
}
