/** How large nodes are, where their sockets sit, and laying them out. The canvas draws by the same figures. */
import { columnsOf, layOutInColumns } from "./columns";
import type { InputDefinition } from "./definitions";
import type { NodeLook } from "./document";
import type { Shape } from "./resolve";
import { type WidgetKind, widgetKind } from "./widgetKind";

export const NODE_WIDTH = 280;
export const NARROWEST = NODE_WIDTH / 2;
export const HEADER_HEIGHT = 32;
export const OUTPUT_HEIGHT = 24;
/** An input's row, and the first line of a higher one, where its socket sits. */
export const ROW_HEIGHT = 30;
export const TEXT_HEIGHT = 96;
export const IMAGE_HEIGHT = 160;
/** The line that opens and closes the advanced inputs. */
export const MORE_HEIGHT = 26;
/** Below the last row. */
export const PADDING = 6;

const TALL: { readonly [kind in WidgetKind]?: number } = {
  prompt: TEXT_HEIGHT,
  json: TEXT_HEIGHT,
  image: IMAGE_HEIGHT,
  curve: IMAGE_HEIGHT,
};
const NONE: ReadonlySet<string> = new Set();

export interface Size {
  width: number;
  height: number;
}

/** A row of a node: where it begins below the node's top, how high it is, and where its socket sits. */
export interface Row {
  side: "output" | "input";
  name: string;
  y: number;
  height: number;
  socketY: number;
}

/** A shape without the advanced inputs that its card leaves out. */
export interface CardShape extends Shape {
  /** How many it leaves out, or would if it weren't told to show all. */
  advanced: number;
}

/**
 * Leave out the advanced inputs, unless they are asked for.
 *
 * @param used Names of inputs that are set, linked or otherwise in use: they always show.
 */
export function cardShape(shape: Shape, look: NodeLook | undefined, used: ReadonlySet<string>): CardShape {
  const isLeftOut = (input: InputDefinition) => input.widget?.hints?.["advanced"] === true && !used.has(input.name);
  const advanced = shape.inputs.filter(isLeftOut).length;
  const inputs = advanced === 0 || look?.advanced ? shape.inputs : shape.inputs.filter((input) => !isLeftOut(input));
  return { ...shape, inputs, advanced };
}

/** Tell how high an input's row is, with its widget or without. */
export function rowHeight(input: InputDefinition, showsWidget: boolean): number {
  const kind = showsWidget ? widgetKind(input) : null;
  if (kind === null) return ROW_HEIGHT;
  // texts stand one below the other, numbers beside each other
  return kind === "list" && input.type === "[STRING]" ? TEXT_HEIGHT : (TALL[kind] ?? ROW_HEIGHT);
}

/**
 * Give a node's rows from top to bottom: its outputs, then its inputs. Of a collapsed one all sockets sit in its header.
 *
 * @param linked Names of linked inputs: they show no widget.
 */
export function rowsOf(shape: Shape, look: NodeLook | undefined, linked: ReadonlySet<string> = NONE): Row[] {
  const sockets = new Set(look?.sockets);
  const heights = [
    ...shape.outputs.map(({ name }) => ({ side: "output" as const, name, height: OUTPUT_HEIGHT })),
    ...shape.inputs.map((input) => {
      const showsWidget = !linked.has(input.name) && !sockets.has(input.name);
      return { side: "input" as const, name: input.name, height: rowHeight(input, showsWidget) };
    }),
  ];
  let next = HEADER_HEIGHT;
  return heights.map((row) => {
    if (look?.collapsed) return { ...row, y: 0, height: 0, socketY: HEADER_HEIGHT / 2 };
    const y = next;
    next += row.height;
    return { ...row, y, socketY: y + Math.min(row.height, ROW_HEIGHT) / 2 };
  });
}

/** Give a node's size as the canvas draws it; only its width can be chosen. */
export function sizeOf(shape: Shape | CardShape, look?: NodeLook, linked: ReadonlySet<string> = NONE): Size {
  const width = widthOf(look);
  if (look?.collapsed) return { width, height: HEADER_HEIGHT };
  const last = rowsOf(shape, look, linked).at(-1);
  const more = "advanced" in shape && shape.advanced > 0 ? MORE_HEIGHT : 0;
  return { width, height: (last === undefined ? HEADER_HEIGHT : last.y + last.height) + more + PADDING };
}

/** Tell how wide a node is: as wide as it was made, but never so narrow that nothing can be read. */
export function widthOf(look: NodeLook | undefined): number {
  return Math.max(look?.size?.[0] ?? NODE_WIDTH, NARROWEST);
}

/** With more nodes than these, counting those that long links are cut into, dagre would take seconds. */
const MOST_FOR_DAGRE = 1200;

/** Lay nodes out from left to right along their links; gives their corners, the leftmost and topmost at `origin`. */
export async function layOut(
  nodes: readonly ({ id: string } & Size)[],
  links: readonly { from: string; to: string }[],
  origin: readonly [number, number] = [0, 0],
): Promise<Map<string, [number, number]>> {
  const ids = nodes.map((node) => node.id);
  const columns = columnsOf(ids, links);
  const span = ({ from, to }: { from: string; to: string }) => (columns.get(to) ?? 0) - (columns.get(from) ?? 0);
  const parts = links.reduce((sum, link) => sum + Math.max(0, span(link) - 1), nodes.length);
  const corners = parts > MOST_FOR_DAGRE ? layOutInColumns(nodes, links) : await layOutByDagre(nodes, links);
  const left = Math.min(...[...corners.values()].map(([x]) => x));
  const top = Math.min(...[...corners.values()].map(([, y]) => y));
  return new Map(
    [...corners].map(([id, [x, y]]) => [id, [Math.round(x - left + origin[0]), Math.round(y - top + origin[1])]]),
  );
}

async function layOutByDagre(
  nodes: readonly ({ id: string } & Size)[],
  links: readonly { from: string; to: string }[],
): Promise<Map<string, [number, number]>> {
  const { Graph, layout } = await import("@dagrejs/dagre");
  const graph = new Graph();
  graph.setGraph({ rankdir: "LR", nodesep: 32, ranksep: 80 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { id, width, height } of nodes) graph.setNode(id, { width, height });
  for (const { from, to } of links) if (graph.hasNode(from) && graph.hasNode(to)) graph.setEdge(from, to);
  layout(graph);
  return new Map(
    nodes.map(({ id, width, height }) => {
      const { x, y } = graph.node(id);
      return [id, [(x ?? 0) - width / 2, (y ?? 0) - height / 2]];
    }),
  );
}
