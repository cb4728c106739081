/** Which view shows what. */
import type { Viewport } from "@xyflow/react";
import type { Rectangle } from "../graph/arrange";

export const MIN_ZOOM = 0.01;
export const MAX_ZOOM = 2.5;
/** From further away than this, a large graph is one picture. */
export const OVERVIEW_ZOOM = 0.2;
const MARGIN = 48;
const LARGEST_FIT = 1;
/** Workflows that would open smaller than this open close-up, at their beginning. */
const SMALLEST_OPENING = 0.45;

interface Area {
  width: number;
  height: number;
}

/** Give the view that shows all these rectangles. */
export function viewOf(boxes: readonly Rectangle[], area: Area): Viewport {
  if (boxes.length === 0) return { x: area.width / 2 - 200, y: area.height / 2 - 150, zoom: 1 };
  const left = Math.min(...boxes.map((box) => box.x));
  const top = Math.min(...boxes.map((box) => box.y));
  const width = Math.max(...boxes.map((box) => box.x + box.width)) - left;
  const height = Math.max(...boxes.map((box) => box.y + box.height)) - top;
  const fitting = Math.min((area.width - 2 * MARGIN) / width, (area.height - 2 * MARGIN) / height);
  const zoom = Math.max(MIN_ZOOM, Math.min(LARGEST_FIT, fitting));
  return { x: (area.width - width * zoom) / 2 - left * zoom, y: (area.height - height * zoom) / 2 - top * zoom, zoom };
}

/** Give the view that a graph opens with. */
export function openingView(boxes: readonly Rectangle[], area: Area): Viewport {
  const fitting = viewOf(boxes, area);
  if (fitting.zoom >= SMALLEST_OPENING) return fitting;
  const first = boxes.reduce((one, other) => (other.x + other.y < one.x + one.y ? other : one));
  const zoom = 0.8;
  return { x: MARGIN - first.x * zoom, y: MARGIN - first.y * zoom, zoom };
}
