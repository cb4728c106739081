/** A sub-graph's nodes out of it, in the place of the node that stood for it. */
import { t } from "../i18n";
import { DocumentError, type GraphDoc, isLink, type NodeDoc, splitReference } from "./document";
import { isTaken, lookOf, uiOf } from "./frames";
import { endOf, linksOf } from "./links";
import { uniqueName } from "./names";
import { findSubgraph, scopesOf, settled, subgraphOf } from "./scopes";
import { renameUses, usesOf } from "./uses";

type Point = [number, number];
type Rename = (reference: string) => string;

/** Put a sub-graph's nodes in the place of the node that stands for it; gives their ids. */
export function unpackSubgraph(graph: GraphDoc, node: string, document: GraphDoc): string[] {
  const outer = graph.nodes[node];
  const name = outer === undefined ? null : subgraphOf(outer.type);
  const found = name === null ? null : findSubgraph(name, scopesOf(graph, document));
  if (outer === undefined || name === null || found === null) throw new DocumentError(t("graph.noSubgraph", { node }));
  // a copy of its own: the draft's parts may stand in one place only
  const inner = structuredClone(settled(found.subgraph));
  bringInner(graph, inner, scopesOf(graph, document));
  const ids = new Map<string, string>();
  for (const id of Object.keys(inner.nodes)) {
    const given = new Set(ids.values());
    ids.set(
      id,
      uniqueName(id, (each) => given.has(each) || (each !== node && isTaken(graph, each))),
    );
  }
  const renamed = (reference: string) => {
    const { node: id, name: socket } = splitReference(reference);
    return `${ids.get(id) ?? id}.${socket}`;
  };
  for (const each of Object.values(inner.nodes)) {
    for (const value of Object.values(each.inputs ?? {})) if (isLink(value)) value.$link = renamed(value.$link);
    if (outer.mode !== undefined) each.mode = outer.mode;
  }
  giveInputs(graph, inner, node, outer, renamed);
  readBehind(graph, inner, node, renamed);

  const shift = shiftTo(graph.ui?.nodes?.[node]?.pos ?? [0, 0], inner);
  delete graph.nodes[node];
  delete graph.ui?.nodes?.[node];
  for (const [id, each] of Object.entries(inner.nodes)) {
    const next = ids.get(id) as string;
    graph.nodes[next] = each;
    const look = inner.ui?.nodes?.[id] ?? {};
    Object.assign(lookOf(graph, next), { ...look, pos: shift(look.pos ?? [0, 0]) });
  }
  bringFrames(graph, inner, shift, renamed);
  if (graph.subgraphs?.[name] === found.subgraph) deleteIfUnused(graph, name);
  return [...ids.values()];
}

/** Bring along sub-graphs that lay within; one whose name is taken gets a new one. */
function bringInner(graph: GraphDoc, inner: GraphDoc, scopes: readonly GraphDoc[]): void {
  for (const [name, subgraph] of Object.entries(inner.subgraphs ?? {})) {
    const free = uniqueName(name, (each) => findSubgraph(each, scopes) !== null);
    if (free !== name) renameUses(inner, name, free);
    graph.subgraphs ??= {};
    graph.subgraphs[free] = subgraph;
  }
}

/** Give the nodes inside what the node that stood for them was given. */
function giveInputs(graph: GraphDoc, inner: GraphDoc, node: string, outer: NodeDoc, renamed: Rename): void {
  for (const [name, declared] of Object.entries(inner.inputs ?? {})) {
    const ends = declared.to ?? [];
    const end = endOf({ node, input: name });
    const led = Object.values(graph.inputs ?? {}).find((each) => each.to?.includes(end));
    if (led?.to !== undefined) led.to = led.to.flatMap((each) => (each === end ? ends.map(renamed) : [each]));
    const value = outer.inputs?.[name] ?? declared.default ?? null;
    for (const { node: id, name: input } of led !== undefined || value === null ? [] : ends.map(splitReference)) {
      const target = inner.nodes[id];
      if (target !== undefined) target.inputs = { ...target.inputs, [input]: isLink(value) ? { ...value } : value };
    }
    const points = graph.ui?.reroutes?.[end];
    if (points === undefined) continue;
    if (ends[0] !== undefined) uiOf(graph).reroutes = { ...graph.ui?.reroutes, [renamed(ends[0])]: points };
    delete graph.ui?.reroutes?.[end];
  }
}

/** Let what read the node read the nodes behind its declared outputs. */
function readBehind(graph: GraphDoc, inner: GraphDoc, node: string, renamed: Rename): void {
  const behind = (name: string) => {
    const from = inner.outputs?.[name]?.from;
    return from === undefined ? null : renamed(from);
  };
  for (const { from, to } of linksOf(graph)) {
    const reader = graph.nodes[to.node];
    if (from.node !== node || reader?.inputs === undefined) continue;
    const reference = behind(from.output);
    if (reference === null) delete reader.inputs[to.input];
    else reader.inputs[to.input] = { $link: reference };
  }
  for (const [name, declared] of Object.entries(graph.outputs ?? {})) {
    const { node: source, name: output } = splitReference(declared.from);
    if (source !== node) continue;
    const reference = behind(output);
    if (reference === null) delete graph.outputs?.[name];
    else declared.from = reference;
  }
}

function shiftTo(corner: Point, inner: GraphDoc): (at: Point) => Point {
  const corners = Object.keys(inner.nodes).map((id): Point => inner.ui?.nodes?.[id]?.pos ?? [0, 0]);
  const left = corners.length > 0 ? Math.min(...corners.map(([x]) => x)) : 0;
  const top = corners.length > 0 ? Math.min(...corners.map(([, y]) => y)) : 0;
  return ([x, y]) => [x - left + corner[0], y - top + corner[1]];
}

function bringFrames(graph: GraphDoc, inner: GraphDoc, shift: (at: Point) => Point, renamed: Rename): void {
  const ui = uiOf(graph);
  for (const [end, points] of Object.entries(inner.ui?.reroutes ?? {})) {
    ui.reroutes = { ...ui.reroutes, [renamed(end)]: points.map(shift) };
  }
  for (const group of inner.ui?.groups ?? []) {
    const id = uniqueName(group.id, (each) => isTaken(graph, each));
    ui.groups = [...(ui.groups ?? []), { ...group, id, pos: shift(group.pos) }];
  }
  for (const note of inner.ui?.notes ?? []) {
    const id = uniqueName(note.id, (each) => isTaken(graph, each));
    ui.notes = [...(ui.notes ?? []), { ...note, id, pos: shift(note.pos) }];
  }
}

/** Its nodes are here now; without another use nobody would find it again. */
function deleteIfUnused(graph: GraphDoc, name: string): void {
  if (usesOf(graph, name).length > 0 || graph.subgraphs === undefined) return;
  delete graph.subgraphs[name];
  if (Object.keys(graph.subgraphs).length === 0) delete graph.subgraphs;
}
