/**
 * Pointing in the picture of a large graph, where no node is an element of its own.
 *
 * Events are taken on their way down to React Flow's pane, and kept from it where they are about a node: the rest,
 * such as panning, zooming and drawing a box, stays the pane's.
 */
import type { Rectangle } from "../../graph/arrange";
import { useEditor } from "../../stores/editorStore";
import { moveTo } from "../actions";
import { current } from "../actions/current";
import { boxesOf } from "../boxes";
import { useCanvas } from "../canvasStore";
import { contentsOf } from "../dragging";
import { snapped } from "../grid";
import { fitView, focusCanvas } from "../view";
import type { Offset } from "./paint";

export interface Pointing {
  over: string | null;
  offset: Offset | null;
}

interface Press {
  pointer: number;
  /** What was pressed on; null for nothing. */
  id: string | null;
  x: number;
  y: number;
  /** Add to the selection. */
  more: boolean;
  moved: boolean;
}

/** Less is a click with a hand that isn't quite still. */
const STILL = { mouse: 3, touch: 8 };
/** The part of a frame that it is held by, at least so many pixels. */
const FRAME_HEAD = 36;
const LEAST_HEAD = 10;

/**
 * Listen to what is pointed at in a pane, until the returned function is called.
 *
 * @param pointing Is changed in place; `redraw` is called whenever it was.
 * @param openMenu Open the menu of a node, note or frame.
 */
export function listenToPointer(
  pane: HTMLElement,
  pointing: Pointing,
  redraw: () => void,
  openMenu: (event: MouseEvent, id: string) => void,
): () => void {
  let press: Press | null = null;
  let released: Press | null = null;
  const setOver = (over: string | null) => {
    if (pointing.over === over) return;
    pointing.over = over;
    pane.toggleAttribute("data-over", over !== null);
    redraw();
  };
  const end = () => {
    pointing.offset = null;
    press = null;
    released = null;
    redraw();
  };
  const down = (event: PointerEvent) => {
    if (press !== null && event.pointerId !== press.pointer) end(); // a second finger: it pinches
    if (event.button !== 0 || !event.isPrimary || !isPane(event.target)) return;
    const id = thingAt(event);
    const more = event.shiftKey || event.ctrlKey || event.metaKey || useCanvas.getState().choosing;
    press = { pointer: event.pointerId, id, x: event.clientX, y: event.clientY, more, moved: false };
    if (id === null || event.shiftKey) return; // the pane pans, or draws a box
    event.preventDefault(); // else the mouse's own events follow, and pan
    event.stopPropagation();
    pane.setPointerCapture(event.pointerId);
  };
  const move = (event: PointerEvent) => {
    if (press === null) {
      if (event.pointerType !== "touch") setOver(isPane(event.target) ? thingAt(event) : null);
      return;
    }
    if (press.pointer !== event.pointerId) return;
    const still = event.pointerType === "touch" ? STILL.touch : STILL.mouse;
    press.moved ||= Math.hypot(event.clientX - press.x, event.clientY - press.y) > still;
    if (!press.moved || press.id === null || event.shiftKey) return;
    pointing.offset ??= { ids: grabbed(press.id, press.more), dx: 0, dy: 0 };
    const zoom = useCanvas.getState().flow?.getZoom() ?? 1;
    pointing.offset.dx = (event.clientX - press.x) / zoom;
    pointing.offset.dy = (event.clientY - press.y) / zoom;
    redraw();
  };
  const up = (event: PointerEvent) => {
    if (press?.pointer !== event.pointerId) return;
    const { offset } = pointing;
    const pressed = press;
    end();
    released = pressed;
    if (offset !== null) drop(offset);
  };
  const click = (event: MouseEvent) => {
    if (released === null || !isPane(event.target)) return;
    if (!released.moved) choose(released.id, released.more);
    if (released.id !== null) event.stopPropagation(); // the pane would clear the selection
    released = null;
    focusCanvas();
  };
  const doubleClick = (event: MouseEvent) => {
    const id = isPane(event.target) ? thingAt(event) : null;
    if (id === null) return;
    event.stopPropagation();
    fitView([id]);
  };
  const menu = (event: MouseEvent) => {
    const id = isPane(event.target) ? thingAt(event) : null;
    end();
    if (id !== null) openMenu(event, id);
  };
  const touch = (event: TouchEvent) => {
    if (press?.id != null && event.touches.length === 1) event.stopPropagation(); // it drags, and doesn't pan
  };
  const leave = () => setOver(null);
  const taken = { capture: true };
  const listening = new AbortController();
  const { signal } = listening;
  pane.addEventListener("pointerdown", down, { ...taken, signal });
  pane.addEventListener("pointermove", move, { ...taken, signal });
  pane.addEventListener("pointerup", up, { ...taken, signal });
  pane.addEventListener("pointercancel", end, { ...taken, signal });
  pane.addEventListener("pointerleave", leave, { signal });
  pane.addEventListener("touchstart", touch, { ...taken, passive: true, signal });
  pane.addEventListener("click", click, { ...taken, signal });
  pane.addEventListener("dblclick", doubleClick, { ...taken, signal });
  pane.addEventListener("contextmenu", menu, { ...taken, signal });
  return () => {
    listening.abort();
    leave();
  };
}

/** Select what lies in a box that is drawn, as far as it reaches into it. */
export function selectWithin(box: Omit<Rectangle, "id">): void {
  const now = current();
  if (now === null) return;
  const ids = boxesOf(now)
    .filter((each) => each.x < box.x + box.width && box.x < each.x + each.width)
    .filter((each) => each.y < box.y + box.height && box.y < each.y + each.height)
    .map((each) => each.id);
  useEditor.getState().select(ids);
}

/** Panels and buttons lie on the pane, and are none of it. */
function isPane(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("button, .react-flow__panel") === null;
}

/** Give what is at a point of the window: a node, else a note, else a frame by its head. */
function thingAt({ clientX, clientY }: MouseEvent): string | null {
  const now = current();
  const flow = useCanvas.getState().flow;
  if (now === null || flow === null) return null;
  const at = flow.screenToFlowPosition({ x: clientX, y: clientY }, { snapToGrid: false });
  const head = Math.max(FRAME_HEAD, LEAST_HEAD / flow.getZoom());
  const frames = new Set(now.graph.ui?.groups?.map((group) => group.id));
  const isAt = ({ id, x, y, width, height }: Rectangle) =>
    at.x >= x && at.x <= x + width && at.y >= y && at.y <= y + (frames.has(id) ? Math.min(head, height) : height);
  const found = boxesOf(now).filter(isAt);
  return (found.findLast((box) => !frames.has(box.id)) ?? found.at(-1))?.id ?? null;
}

/** Select on a click: this alone, or as well; or nothing. */
function choose(id: string | null, more: boolean): void {
  const selection = new Set(more ? current()?.tab.selection : []);
  if (id !== null && !selection.delete(id)) selection.add(id);
  useEditor.getState().select(selection);
}

/** Give what is dragged along: all that is selected, and what lies in its frames. */
function grabbed(id: string, more: boolean): ReadonlySet<string> {
  const selected = current()?.tab.selection ?? new Set();
  if (!selected.has(id)) useEditor.getState().select(more ? [...selected, id] : [id]);
  const ids = new Set(current()?.tab.selection);
  const frames = (current()?.graph.ui?.groups ?? []).filter((group) => ids.has(group.id));
  for (const [, ...inside] of contentsOf(frames.map((frame) => frame.id)).values()) {
    for (const box of inside) ids.add(box.id);
  }
  return ids;
}

function drop({ ids, dx, dy }: Offset): void {
  const now = current();
  if (now === null) return;
  const moved = boxesOf(now).filter((box) => ids.has(box.id));
  moveTo(new Map(moved.map((box) => [box.id, [snapped(box.x + dx), snapped(box.y + dy)]])));
}
