/** The view of the canvas: moving it, and bringing things into it. */
import type { GraphDoc } from "../graph/document";
import { type Tab, useEditor } from "../stores/editorStore";
import { current } from "./actions/current";
import { boxesOf } from "./boxes";
import { useCanvas, usePointer } from "./canvasStore";
import { OVERVIEW_ZOOM, openingView, viewOf } from "./viewMath";

/** A node is in view if this much of its corner is. */
const SEEN = 80;

function canvasArea(): DOMRect {
  return document.querySelector(".canvas")?.getBoundingClientRect() ?? new DOMRect(0, 0, 1000, 700);
}

function duration(): number {
  return matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 200;
}

/** Show a graph that was never looked at. */
export function openAt(tab: Tab, graph: GraphDoc): void {
  const boxes = boxesOf({ graph, document: tab.history.present, definitions: useEditor.getState().definitions });
  void useCanvas.getState().flow?.setViewport(openingView(boxes, canvasArea()));
}

/** Show everything, or these. */
export function fitView(ids?: readonly string[]): void {
  const now = current();
  if (now === null) return;
  const chosen = ids === undefined ? null : new Set(ids);
  const boxes = boxesOf(now).filter((box) => chosen?.has(box.id) ?? true);
  void useCanvas.getState().flow?.setViewport(viewOf(boxes, canvasArea()), { duration: duration() });
}

export function zoomBy(factor: number): void {
  const flow = useCanvas.getState().flow;
  if (flow !== null) void flow.zoomTo(flow.getZoom() * factor, { duration: duration() });
}

export function zoomTo(zoom: number): void {
  void useCanvas.getState().flow?.zoomTo(zoom, { duration: duration() });
}

/** Give the middle of the view in the graph's coordinates. */
export function centerOfView(): { x: number; y: number } {
  const area = canvasArea();
  const center = { x: area.x + area.width / 2, y: area.y + area.height / 3 };
  return useCanvas.getState().flow?.screenToFlowPosition(center) ?? { x: 0, y: 0 };
}

/** Give where the pointer is in the graph that is shown; null while it isn't on the canvas. */
export function pointerPlace(): { x: number; y: number } | null {
  const at = usePointer.getState().at;
  return at === null ? null : (useCanvas.getState().flow?.screenToFlowPosition(at) ?? null);
}

/** Bring a node into view if it can't be seen, select it and give it the focus. */
export function goToNode(id: string, { focus = true, select = true } = {}): void {
  const now = current();
  const flow = useCanvas.getState().flow;
  if (now === null || flow === null) return;
  const box = boxesOf(now).find((each) => each.id === id);
  if (box === undefined) return;
  const area = canvasArea();
  const { x, y, zoom } = flow.getViewport();
  const [left, top] = [box.x * zoom + x, box.y * zoom + y];
  const isSeen = zoom >= OVERVIEW_ZOOM && left >= 0 && top >= 0 && left + SEEN < area.width && top + SEEN < area.height;
  if (!isSeen) {
    const close = Math.max(zoom, 0.6);
    void flow.setCenter(box.x + box.width / 2, box.y + box.height / 2, { zoom: close });
  }
  if (select) useEditor.getState().select([id]);
  if (focus) focusWhenDrawn(id);
}

/** Give the focus to the canvas itself: keys then go to what is selected. */
export function focusCanvas(): void {
  document.querySelector<HTMLElement>(".canvas")?.focus({ preventScroll: true });
}

/** A node that was out of view is drawn some frames later. */
function focusWhenDrawn(id: string, tries = 20): void {
  const element = document.querySelector<HTMLElement>(`.canvas [data-id="${CSS.escape(id)}"]`);
  if (element !== null) element.focus({ preventScroll: true });
  else if (tries > 0) requestAnimationFrame(() => focusWhenDrawn(id, tries - 1));
}
