/** From a graph to what React Flow draws. What didn't change keeps its identity, so that it isn't drawn again. */
import { type Edge, type Node, type NodeHandle, Position } from "@xyflow/react";
import type { Definitions } from "../graph/definitions";
import type { GraphDoc, Group, Json, NodeDoc, NodeLook, Note } from "../graph/document";
import { type CardShape, cardShape, rowsOf, type Size, sizeOf, widthOf } from "../graph/layout";
import { linksInto, linksOf } from "../graph/links";
import { type Shape, shapesOf } from "../graph/resolve";
import { t } from "../i18n";
import { fullId, type Tab } from "../stores/editorStore";
import { socketColor } from "./socketLooks";

/** A declared input of the graph that feeds an inner one, and the value it has now. */
export interface Promotion {
  name: string;
  value: Json;
}

export interface CardData extends Record<string, unknown> {
  tab: string;
  fullId: string;
  node: NodeDoc;
  look: NodeLook;
  shape: Shape;
  /** What of it shows. */
  shown: CardShape;
  /** What its kind is called. */
  name: string;
  /** Outputs that feed something. */
  linked: ReadonlySet<string>;
  /** Inputs that are shown as sockets though they have a widget. */
  sockets: ReadonlySet<string>;
  promoted: ReadonlyMap<string, Promotion>;
}

export type CardNode = Node<CardData, "card">;
export type FrameNode = Node<{ group: Group }, "frame">;
export type NoteNode = Node<{ note: Note }, "note">;
export type FlowNode = CardNode | FrameNode | NoteNode;

/** `end` is the input that it feeds, as `node.input`; `points` are its reroutes. */
export interface LinkData extends Record<string, unknown> {
  end: string;
  color: string;
  points: readonly [number, number][];
}
export type FlowEdge = Edge<LinkData, "link">;

/** What is known on the canvas only: sizes that were measured, and where things are while they are dragged. */
export interface Placement {
  sizes: ReadonlyMap<string, Size>;
  moving: ReadonlyMap<string, readonly [number, number]>;
}

export interface Flow {
  nodes: FlowNode[];
  edges: FlowEdge[];
}

type Point = readonly [number, number];

/** A card, what it was made from besides its place, and where it is when it isn't dragged. */
interface Made {
  node: FlowNode;
  /** While all are the same objects, so is the card. */
  from: readonly unknown[];
  rest: Point;
}

/** A flow, what it was made from besides what is dragged, and where in it each id is. */
interface Last {
  flow: Flow;
  from: readonly unknown[];
  moving: Placement["moving"];
  places: ReadonlyMap<string, number>;
}

const NO_LOOK: NodeLook = {};
const NO_NAMES: ReadonlySet<string> = new Set();
const NO_PROMOTIONS: ReadonlyMap<string, Promotion> = new Map();
const NO_POINTS: readonly [number, number][] = [];
const CORNER: Point = [0, 0];
const SOCKET = 12;

/** Make the flows of one shown graph; each remembers what it made last. */
export class FlowBuilder {
  #made = new Map<string, Made>();
  #last: Last | null = null;
  #edges = new Map<string, FlowEdge>();
  #edgeList: { from: readonly unknown[]; edges: FlowEdge[] } | null = null;
  #promotions: { inputs: unknown; nodes: unknown; byNode: Map<string, Map<string, Promotion>> } | null = null;
  #linked: { nodes: unknown; byNode: Map<string, Set<string>> } | null = null;

  build(
    tab: Tab,
    graph: GraphDoc,
    definitions: Definitions,
    placement: Placement,
    selectedLinks: ReadonlySet<string>,
  ): Flow {
    const { sizes, moving } = placement;
    const from = [tab, graph, definitions, sizes, selectedLinks];
    if (this.#last !== null && isSame(this.#last.from, from)) return this.#drag(this.#last, moving);
    const shapes = shapesOf(graph, definitions, tab.history.present);
    const nodes = this.#nodes(tab, graph, shapes, placement);
    const flow = { nodes, edges: this.#links(graph, shapes, selectedLinks) };
    this.#last = { flow, from, moving, places: new Map(nodes.map((node, place) => [node.id, place])) };
    return flow;
  }

  /** Move what is dragged and put back what no longer is; of a large graph, that is one node among thousands. */
  #drag(last: Last, moving: Placement["moving"]): Flow {
    const nodes = last.flow.nodes.slice();
    for (const id of new Set([...last.moving.keys(), ...moving.keys()])) {
      const [made, place] = [this.#made.get(id), last.places.get(id)];
      if (made === undefined || place === undefined) continue;
      const node = placed(made.node, moving.get(id) ?? made.rest);
      this.#made.set(id, { ...made, node });
      nodes[place] = node;
    }
    const flow = { nodes, edges: last.flow.edges };
    this.#last = { ...last, flow, moving };
    return flow;
  }

  #nodes(tab: Tab, graph: GraphDoc, shapes: ReadonlyMap<string, Shape>, placement: Placement): FlowNode[] {
    const promotions = this.#promotionsOf(graph);
    const linked = this.#linkedOutputs(graph);
    const made = new Map<string, Made>();
    const keep = (id: string, rest: Point, from: readonly unknown[], make: (at: Point) => FlowNode) => {
      const before = this.#made.get(id);
      const at = placement.moving.get(id) ?? rest;
      const node = before !== undefined && isSame(before.from, from) ? placed(before.node, at) : make(at);
      made.set(id, { node, from, rest });
    };
    for (const group of graph.ui?.groups ?? []) {
      const selected = tab.selection.has(group.id);
      keep(group.id, group.pos, [group, selected], (at) => frameNode(group, at, selected));
    }
    for (const note of graph.ui?.notes ?? []) {
      const selected = tab.selection.has(note.id);
      keep(note.id, note.pos, [note, selected], (at) => noteNode(note, at, selected));
    }
    for (const [id, node] of Object.entries(graph.nodes)) {
      const shape = shapes.get(id);
      if (shape === undefined) continue;
      const look = graph.ui?.nodes?.[id] ?? NO_LOOK;
      const selected = tab.selection.has(id);
      const size = placement.sizes.get(id);
      const promoted = promotions.get(id) ?? NO_PROMOTIONS;
      const outputs = linked.get(id) ?? NO_NAMES;
      keep(id, look.pos ?? CORNER, [node, look, shape, selected, size, promoted, outputs], (at) =>
        cardNode({ id, tab, node, look, shape, at, selected, size, promoted, outputs }),
      );
    }
    this.#made = made;
    return [...made.values()].map((each) => each.node);
  }

  #links(graph: GraphDoc, shapes: ReadonlyMap<string, Shape>, selectedLinks: ReadonlySet<string>): FlowEdge[] {
    const madeFrom = [graph.nodes, graph.ui?.reroutes, shapes, selectedLinks];
    if (this.#edgeList !== null && isSame(this.#edgeList.from, madeFrom)) return this.#edgeList.edges;
    const edges = new Map<string, FlowEdge>();
    for (const { end, from, to } of linksOf(graph)) {
      const output = shapes.get(from.node)?.outputs.find((each) => each.name === from.output);
      const input = shapes.get(to.node)?.inputs.find((each) => each.name === to.input);
      if (output === undefined || input === undefined) continue;
      const off = graph.nodes[from.node]?.mode === "muted" || graph.nodes[to.node]?.mode === "muted";
      const edge: FlowEdge = {
        id: end,
        type: "link",
        source: from.node,
        sourceHandle: from.output,
        target: to.node,
        targetHandle: to.input,
        selected: selectedLinks.has(end),
        className: off ? "off" : "",
        ariaLabel: t("editor.linkLabel", { from: `${from.node}.${from.output}`, to: end }),
        data: { end, color: socketColor(output.type), points: graph.ui?.reroutes?.[end] ?? NO_POINTS },
      };
      const before = this.#edges.get(end);
      edges.set(end, before !== undefined && sameEdge(before, edge) ? before : edge);
    }
    this.#edges = edges;
    this.#edgeList = { from: madeFrom, edges: [...edges.values()] };
    return this.#edgeList.edges;
  }

  #promotionsOf(graph: GraphDoc): Map<string, Map<string, Promotion>> {
    if (this.#promotions?.inputs === graph.inputs && this.#promotions?.nodes === graph.nodes) {
      return this.#promotions.byNode;
    }
    const byNode = new Map<string, Map<string, Promotion>>();
    for (const [name, declared] of Object.entries(graph.inputs ?? {})) {
      for (const end of declared.to ?? []) {
        const dot = end.indexOf(".");
        const [node, input] = [end.slice(0, dot), end.slice(dot + 1)];
        const value = declared.default ?? graph.nodes[node]?.inputs?.[input] ?? null;
        const inner = byNode.get(node) ?? new Map<string, Promotion>();
        byNode.set(node, inner.set(input, { name, value }));
      }
    }
    for (const [node, inner] of byNode) {
      const before = this.#promotions?.byNode.get(node);
      if (before !== undefined && samePromotions(before, inner)) byNode.set(node, before);
    }
    this.#promotions = { inputs: graph.inputs, nodes: graph.nodes, byNode };
    return byNode;
  }

  #linkedOutputs(graph: GraphDoc): Map<string, Set<string>> {
    if (this.#linked?.nodes === graph.nodes) return this.#linked.byNode;
    const byNode = new Map<string, Set<string>>();
    for (const { from } of linksOf(graph)) {
      byNode.set(from.node, (byNode.get(from.node) ?? new Set()).add(from.output));
    }
    for (const [node, outputs] of byNode) {
      const before = this.#linked?.byNode.get(node);
      if (before?.size === outputs.size && [...outputs].every((name) => before.has(name))) byNode.set(node, before);
    }
    this.#linked = { nodes: graph.nodes, byNode };
    return byNode;
  }
}

interface CardParts {
  id: string;
  tab: Tab;
  node: NodeDoc;
  look: NodeLook;
  shape: Shape;
  at: Point;
  selected: boolean;
  size: Size | undefined;
  promoted: ReadonlyMap<string, Promotion>;
  outputs: ReadonlySet<string>;
}

/** Until a card was measured, its size and sockets are computed: so far-away ones can be linked and fitted unseen. */
function cardNode({ id, tab, node, look, shape, at: [x, y], selected, size, promoted, outputs }: CardParts): CardNode {
  const unwidgeted = withoutWidget(id, node, look);
  const shown = cardShape(shape, look, inUse(node, unwidgeted, promoted.keys()));
  const width = widthOf(look);
  const { height } = size ?? sizeOf(shown, look, unwidgeted);
  const card: CardNode = {
    id,
    type: "card",
    position: { x, y },
    selected,
    width,
    measured: { width, height },
    ariaLabel: t("editor.nodeLabel", { title: node.title ?? shape.label, id }),
    data: {
      tab: tab.id,
      fullId: fullId(tab, id),
      node,
      look,
      shape,
      shown,
      name: shape.label,
      linked: outputs,
      sockets: new Set(look.sockets),
      promoted,
    },
  };
  if (size === undefined) card.handles = handlesOf(shown, look, unwidgeted, width);
  return card;
}

/** Give the inputs whose rows show no widget. */
export function withoutWidget(id: string, node: NodeDoc, look: NodeLook): ReadonlySet<string> {
  return new Set([...linksInto(id, node).map((link) => link.to.input), ...(look.sockets ?? [])]);
}

/** Give the inputs that always show. */
export function inUse(node: NodeDoc, unwidgeted: ReadonlySet<string>, promoted: Iterable<string>): ReadonlySet<string> {
  return new Set([...Object.keys(node.inputs ?? {}), ...unwidgeted, ...promoted]);
}

function handlesOf(shape: Shape, look: NodeLook, unwidgeted: ReadonlySet<string>, width: number): NodeHandle[] {
  return rowsOf(shape, look, unwidgeted).map((row) => ({
    id: row.name,
    type: row.side === "input" ? "target" : "source",
    position: row.side === "input" ? Position.Left : Position.Right,
    x: (row.side === "input" ? 0 : width) - SOCKET / 2,
    y: row.socketY - SOCKET / 2,
    width: SOCKET,
    height: SOCKET,
  }));
}

function frameNode(group: Group, [x, y]: Point, selected: boolean): FrameNode {
  const [width, height] = group.size;
  return {
    id: group.id,
    type: "frame",
    position: { x, y },
    width,
    height,
    measured: { width, height },
    zIndex: -1001,
    selected,
    dragHandle: ".frame-head",
    ariaLabel: t("editor.frameLabel", { title: group.title }),
    data: { group },
  };
}

function noteNode(note: Note, [x, y]: Point, selected: boolean): NoteNode {
  const [width, height] = note.size;
  return {
    id: note.id,
    type: "note",
    position: { x, y },
    width,
    height,
    measured: { width, height },
    selected,
    ariaLabel: t("editor.noteLabel", { text: note.text.slice(0, 80) }),
    data: { note },
  };
}

function placed(node: FlowNode, [x, y]: Point): FlowNode {
  return node.position.x === x && node.position.y === y ? node : { ...node, position: { x, y } };
}

function isSame(one: readonly unknown[], other: readonly unknown[]): boolean {
  return one.every((part, place) => part === other[place]);
}

function sameEdge(one: FlowEdge, other: FlowEdge): boolean {
  return (
    one.source === other.source &&
    one.sourceHandle === other.sourceHandle &&
    one.selected === other.selected &&
    one.className === other.className &&
    one.data?.color === other.data?.color &&
    one.data?.points === other.data?.points
  );
}

function samePromotions(one: Map<string, Promotion>, other: Map<string, Promotion>): boolean {
  if (one.size !== other.size) return false;
  return [...other].every(([input, { name, value }]) => {
    const before = one.get(input);
    return before?.name === name && before.value === value;
  });
}
