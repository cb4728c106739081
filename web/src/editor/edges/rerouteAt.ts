import type { MouseEvent } from "react";
import { addReroute } from "../actions";
import { useCanvas } from "../canvasStore";
import type { FlowEdge } from "../flow";
import { snapped } from "../grid";

/** Add a reroute to a link where it was double-clicked. */
export function rerouteAt(event: MouseEvent, edge: FlowEdge): void {
  const at = useCanvas.getState().flow?.screenToFlowPosition({ x: event.clientX, y: event.clientY });
  if (at === undefined || edge.data === undefined) return;
  addReroute(edge.data.end, placeOf(edge.data.points, at.x), [snapped(at.x), snapped(at.y)]);
}

/** Links lead from left to right, so a new point goes before the first one that is further right. */
function placeOf(points: readonly [number, number][], x: number): number {
  const place = points.findIndex((point) => point[0] > x);
  return place === -1 ? points.length : place;
}
