/** Copying and pasting: a part of a graph as JSON of our own. */
import { t } from "../i18n";
import {
  DocumentError,
  dumpJson,
  type GraphDoc,
  type Group,
  isLink,
  isObject,
  type Link,
  type NodeDoc,
  type NodeLook,
  type Note,
  parseJson,
  splitReference,
} from "./document";
import { isTaken, lookOf, uiOf } from "./frames";
import { linksInto } from "./links";
import { uniqueName } from "./names";
import { findSubgraph, scopesOf, subgraphsUsed } from "./scopes";
import { nodeProblem } from "./structure";
import { renameUses } from "./uses";
import { isEqual } from "./values";

const FORMAT = "graphengine-selection";
const STEP = 40;

type Point = [number, number];

interface Clip {
  format: typeof FORMAT;
  version: 1;
  nodes: { [id: string]: NodeDoc };
  looks: { [id: string]: NodeLook };
  groups: Group[];
  notes: Note[];
  reroutes: { [end: string]: Point[] };
  /** Links from outside by the end that they feed, with the kind of their source: another graph may have a namesake. */
  outer: { [end: string]: Link & { type: string } };
  /** The sub-graphs that the nodes use. */
  subgraphs: { [name: string]: GraphDoc };
}

/**
 * Write a selection as JSON, with the wires among its nodes and the sub-graphs that they use.
 *
 * @param options.outerLinks Keep the wires into it too: a paste links to the same nodes, as far as they are there.
 */
export function copySelection(
  graph: GraphDoc,
  ids: Iterable<string>,
  document: GraphDoc,
  options: { outerLinks?: boolean } = {},
): string {
  const clip = cut(graph, new Set(ids), document);
  return dumpJson(options.outerLinks ? clip : { ...clip, outer: {} });
}

function cut(graph: GraphDoc, chosen: ReadonlySet<string>, document: GraphDoc): Clip {
  const clip: Clip = {
    format: FORMAT,
    version: 1,
    nodes: {},
    looks: {},
    groups: graph.ui?.groups?.filter((each) => chosen.has(each.id)) ?? [],
    notes: graph.ui?.notes?.filter((each) => chosen.has(each.id)) ?? [],
    reroutes: {},
    outer: {},
    subgraphs: {},
  };
  for (const [id, node] of Object.entries(graph.nodes)) {
    if (!chosen.has(id)) continue;
    const inputs = { ...node.inputs, ...declaredValues(graph, id) };
    for (const { end, from, to } of linksInto(id, node)) {
      const points = graph.ui?.reroutes?.[end];
      if (chosen.has(from.node)) {
        if (points !== undefined) clip.reroutes[end] = points;
        continue;
      }
      delete inputs[to.input];
      clip.outer[end] = { $link: `${from.node}.${from.output}`, type: graph.nodes[from.node]?.type ?? "" };
    }
    const { inputs: _, ...rest } = node;
    clip.nodes[id] = Object.keys(inputs).length > 0 ? { ...rest, inputs } : rest;
    clip.looks[id] = graph.ui?.nodes?.[id] ?? {};
  }
  collectSubgraphs(Object.values(clip.nodes), scopesOf(graph, document), clip.subgraphs);
  return clip;
}

/** Give what declared inputs put into a node: its copy isn't fed by them. */
function declaredValues(graph: GraphDoc, id: string): NonNullable<NodeDoc["inputs"]> {
  const values: NonNullable<NodeDoc["inputs"]> = {};
  for (const declared of Object.values(graph.inputs ?? {})) {
    for (const { node, name } of (declared.to ?? []).map(splitReference)) {
      if (node === id && (declared.default ?? null) !== null) values[name] = declared.default ?? null;
    }
  }
  return values;
}

function collectSubgraphs(nodes: NodeDoc[], scopes: readonly GraphDoc[], found: Clip["subgraphs"]): void {
  for (const name of nodes.flatMap(subgraphsUsed)) {
    const place = findSubgraph(name, scopes);
    if (place === null || Object.hasOwn(found, name)) continue;
    // one that lies in a sub-graph that is copied comes with it
    if (!Object.values(found).includes(place.scopes.at(-2) as GraphDoc)) found[name] = place.subgraph;
    collectSubgraphs(Object.values(place.subgraph.nodes), place.scopes, found);
  }
}

/** Tell cheaply whether a text may be pasted. */
export function isClipboardText(text: string): boolean {
  return text.slice(0, 200).includes(`"${FORMAT}"`);
}

function readClip(text: string): Clip {
  let clip: unknown = null;
  try {
    clip = parseJson(text);
  } catch {
    // the message below says it
  }
  if (!isObject(clip) || clip["format"] !== FORMAT || !isObject(clip["nodes"])) {
    throw new DocumentError(t("graph.noClip"));
  }
  const problem = nodeProblem(clip["nodes"]);
  if (problem !== null) throw new DocumentError(problem);
  const empty = { looks: {}, groups: [], notes: [], reroutes: {}, outer: {}, subgraphs: {} };
  return { ...empty, ...clip } as unknown as Clip;
}

/**
 * Add what was copied; gives the new ids. Throws a DocumentError for foreign text.
 *
 * @param at Where its corner goes; null is a little beside where it was.
 */
export function pasteSelection(graph: GraphDoc, text: string, at: Point | null, document: GraphDoc): string[] {
  const clip = readClip(text);
  bringSubgraphs(graph, clip, document);
  return add(graph, clip, shiftOf(clip, at));
}

/** Add copies of nodes, groups and notes, with the wires among them and into them; gives their ids. */
export function duplicate(graph: GraphDoc, ids: Iterable<string>, offset: Point = [STEP, STEP]): string[] {
  const clip = readClip(copySelection(graph, ids, graph, { outerLinks: true }));
  return add(graph, clip, offset);
}

function shiftOf(clip: Clip, at: Point | null): Point {
  if (at === null) return [STEP, STEP];
  const corners = [...Object.values(clip.looks), ...clip.groups, ...clip.notes].flatMap(({ pos }) =>
    pos ? [pos] : [],
  );
  if (corners.length === 0) return at;
  return [at[0] - Math.min(...corners.map(([x]) => x)), at[1] - Math.min(...corners.map(([, y]) => y))];
}

function add(graph: GraphDoc, clip: Clip, shift: Point): string[] {
  const ids = new Map<string, string>();
  const newId = (id: string) => {
    const given = new Set(ids.values());
    ids.set(
      id,
      uniqueName(id, (each) => given.has(each) || isTaken(graph, each)),
    );
    return ids.get(id) as string;
  };
  const moved = <T extends { pos?: Point }>(each: T): T => ({
    ...each,
    pos: [(each.pos?.[0] ?? 0) + shift[0], (each.pos?.[1] ?? 0) + shift[1]],
  });
  for (const id of Object.keys(clip.nodes)) newId(id);
  for (const [id, node] of Object.entries(clip.nodes)) {
    const inputs = { ...node.inputs };
    for (const [name, value] of Object.entries(inputs)) {
      if (!isLink(value)) continue;
      const { node: source, name: output } = splitReference(value.$link);
      inputs[name] = { $link: `${ids.get(source) ?? source}.${output}` };
    }
    for (const [end, { $link, type }] of Object.entries(clip.outer)) {
      const to = splitReference(end);
      const isHere = graph.nodes[splitReference($link).node]?.type === type;
      if (to.node === id && isHere) inputs[to.name] = { $link };
    }
    const added = ids.get(id) as string;
    graph.nodes[added] = Object.keys(inputs).length > 0 ? { ...node, inputs } : node;
    Object.assign(lookOf(graph, added), moved(clip.looks[id] ?? {}));
  }
  const ui = uiOf(graph);
  for (const [end, points] of Object.entries(clip.reroutes)) {
    const { node, name } = splitReference(end);
    ui.reroutes ??= {};
    ui.reroutes[`${ids.get(node)}.${name}`] = points.map(([x, y]) => [x + shift[0], y + shift[1]]);
  }
  if (clip.groups.length > 0)
    ui.groups = [...(ui.groups ?? []), ...clip.groups.map((each) => ({ ...moved(each), id: newId(each.id) }))];
  if (clip.notes.length > 0)
    ui.notes = [...(ui.notes ?? []), ...clip.notes.map((each) => ({ ...moved(each), id: newId(each.id) }))];
  return [...ids.values()];
}

/** Add the sub-graphs that aren't here yet; one whose name stands for something else here gets a new name. */
function bringSubgraphs(graph: GraphDoc, clip: Clip, document: GraphDoc): void {
  const scopes = scopesOf(graph, document);
  for (const [name, subgraph] of Object.entries(clip.subgraphs)) {
    const here = findSubgraph(name, scopes)?.subgraph;
    if (here !== undefined && isEqual(content(here), content(subgraph))) continue;
    const free = uniqueName(name, (each) => findSubgraph(each, scopes) !== null);
    if (free !== name) {
      renameUses(clip, name, free);
      for (const other of Object.values(clip.subgraphs)) renameUses(other, name, free);
    }
    document.subgraphs ??= {};
    document.subgraphs[free] = subgraph;
  }
}

function content({ inputs, outputs, nodes, subgraphs }: GraphDoc): unknown {
  return { inputs, outputs, nodes, subgraphs };
}
