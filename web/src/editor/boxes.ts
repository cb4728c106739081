/** Where everything on the canvas is, without asking React Flow, which knows only what was drawn. */
import type { Rectangle } from "../graph/arrange";
import type { GraphDoc } from "../graph/document";
import { cardShape, type Size, sizeOf } from "../graph/layout";
import { type Shape, shapesOf } from "../graph/resolve";
import type { Current } from "./actions/current";
import { useCanvas } from "./canvasStore";
import { inUse, withoutWidget } from "./flow";

interface Known {
  from: readonly unknown[];
  boxes: readonly Rectangle[];
}

const known = new WeakMap<GraphDoc, Known>();

/** Give the rectangles of nodes, frames and notes; the same list while nothing moved. */
export function boxesOf({ graph, document, definitions }: Omit<Current, "tab">): readonly Rectangle[] {
  const shapes = shapesOf(graph, definitions, document);
  const measured = useCanvas.getState().sizes;
  const before = known.get(graph);
  if (before?.from[0] === shapes && before.from[1] === measured) return before.boxes;
  const boxes = findBoxes(graph, shapes, measured);
  known.set(graph, { from: [shapes, measured], boxes });
  return boxes;
}

function findBoxes(
  graph: GraphDoc,
  shapes: ReadonlyMap<string, Shape>,
  measured: ReadonlyMap<string, Size>,
): Rectangle[] {
  const boxes: Rectangle[] = [];
  for (const [id, node] of Object.entries(graph.nodes)) {
    const shape = shapes.get(id);
    if (shape === undefined) continue;
    const look = graph.ui?.nodes?.[id] ?? {};
    const [x, y] = look.pos ?? [0, 0];
    const unwidgeted = withoutWidget(id, node, look);
    const computed = () => sizeOf(cardShape(shape, look, inUse(node, unwidgeted, [])), look, unwidgeted);
    boxes.push({ id, x, y, ...(measured.get(id) ?? computed()) });
  }
  for (const { id, pos, size } of [...(graph.ui?.groups ?? []), ...(graph.ui?.notes ?? [])]) {
    boxes.push({ id, x: pos[0], y: pos[1], width: size[0], height: size[1] });
  }
  return boxes;
}
