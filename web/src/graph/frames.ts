/** Groups, notes and reroutes: what a graph shows and never runs. To be changed on a draft within `edit(…)`. */
import type { GraphDoc, Group, NodeLook, Note, Ui } from "./document";
import { uniqueName } from "./names";

type Point = [number, number];

export function uiOf(graph: GraphDoc): Ui {
  graph.ui ??= {};
  return graph.ui;
}

/** Give how a node is shown, to be changed. */
export function lookOf(graph: GraphDoc, node: string): NodeLook {
  const ui = uiOf(graph);
  ui.nodes ??= {};
  ui.nodes[node] ??= {};
  return ui.nodes[node];
}

/** Tell whether runs may stop anywhere in a graph, or in a sub-graph of it. */
export function hasBreakpoints(graph: GraphDoc): boolean {
  const looks = Object.values(graph.ui?.nodes ?? {});
  return looks.some((look) => look.breakpoint) || Object.values(graph.subgraphs ?? {}).some(hasBreakpoints);
}

/** Add a frame; gives its id. */
export function addGroup(graph: GraphDoc, group: Omit<Group, "id">): string {
  const ui = uiOf(graph);
  ui.groups ??= [];
  const id = freeId(graph, "group");
  ui.groups.push({ ...group, id });
  return id;
}

export function changeGroup(graph: GraphDoc, id: string, change: Partial<Omit<Group, "id">>): void {
  const group = graph.ui?.groups?.find((each) => each.id === id);
  if (group !== undefined) Object.assign(group, change);
}

/** Add a text; gives its id. */
export function addNote(graph: GraphDoc, note: Omit<Note, "id">): string {
  const ui = uiOf(graph);
  ui.notes ??= [];
  const id = freeId(graph, "note");
  ui.notes.push({ ...note, id });
  return id;
}

export function changeNote(graph: GraphDoc, id: string, change: Partial<Omit<Note, "id">>): void {
  const note = graph.ui?.notes?.find((each) => each.id === id);
  if (note !== undefined) Object.assign(note, change);
}

/** A selection holds nodes, groups and notes, so their ids must differ. */
function freeId(graph: GraphDoc, wanted: string): string {
  return uniqueName(wanted, (id) => isTaken(graph, id));
}

/** Tell whether a node, a group or a note has this id. */
export function isTaken(graph: GraphDoc, id: string): boolean {
  const { groups = [], notes = [] } = graph.ui ?? {};
  return Object.hasOwn(graph.nodes, id) || [...groups, ...notes].some((each) => each.id === id);
}

/** Add a point to the link that ends at `end` (`node.input`), before the point at `index`. */
export function addReroute(graph: GraphDoc, end: string, index: number, point: Point): void {
  const ui = uiOf(graph);
  ui.reroutes ??= {};
  ui.reroutes[end] ??= [];
  ui.reroutes[end].splice(index, 0, point);
}

export function moveReroute(graph: GraphDoc, end: string, index: number, point: Point): void {
  const points = graph.ui?.reroutes?.[end];
  if (points?.[index] !== undefined) points[index] = point;
}

export function removeReroute(graph: GraphDoc, end: string, index: number): void {
  const reroutes = graph.ui?.reroutes;
  const points = reroutes?.[end];
  if (reroutes === undefined || points === undefined) return;
  points.splice(index, 1);
  if (points.length === 0) delete reroutes[end];
}
