/** Dragging on the canvas: things move on the screen, and once in the document when they are dropped. */
import type { NodeChange } from "@xyflow/react";
import { useRef, useState } from "react";
import type { Rectangle } from "../graph/arrange";
import { linksOf } from "../graph/links";
import { useEditor } from "../stores/editorStore";
import { fitsInto, moveTo, splice } from "./actions";
import { current } from "./actions/current";
import { boxesOf } from "./boxes";
import { useCanvas } from "./canvasStore";
import type { FlowNode } from "./flow";

type Places = ReadonlyMap<string, readonly [number, number]>;

const NOWHERE: Places = new Map();
/** Points of a link that are looked at to see whether it runs below a node. */
const SAMPLES = 16;
/** With more links in view than these, none is looked for while dragging. */
const MOST_LINKS = 250;

export function useDragging() {
  const [moving, setMoving] = useState<Places>(NOWHERE);
  const inFrames = useRef<Map<string, Rectangle[]>>(new Map());

  return {
    moving,
    start(nodes: readonly FlowNode[]) {
      inFrames.current = contentsOf(nodes.filter((node) => node.type === "frame").map((node) => node.id));
    },
    /** Take the positions that React Flow tells while things are dragged. */
    move(changes: readonly NodeChange<FlowNode>[]) {
      const next = new Map(moving);
      for (const change of changes) {
        if (change.type !== "position" || change.position === undefined || !change.dragging) continue;
        next.set(change.id, [change.position.x, change.position.y]);
        for (const [id, place] of carried(change.id, change.position, inFrames.current)) next.set(id, place);
      }
      if (next.size > 0) setMoving(next);
      if (next.size === 1) markSplice([...next.keys()][0] ?? "", next);
    },
    drop() {
      const end = useCanvas.getState().spliceEnd;
      const [first] = moving;
      if (end !== null && first !== undefined && moving.size === 1) splice(first[0], end, first[1]);
      else moveTo(moving);
      useCanvas.getState().set({ spliceEnd: null });
      setMoving(NOWHERE);
    },
  };
}

/** Give what lies in frames, with the frame's own rectangle first. */
export function contentsOf(frames: readonly string[]): Map<string, Rectangle[]> {
  const now = current();
  const contents = new Map<string, Rectangle[]>();
  if (now === null || frames.length === 0) return contents;
  const boxes = boxesOf(now);
  for (const id of frames) {
    const frame = boxes.find((box) => box.id === id);
    if (frame === undefined) continue;
    const inside = boxes.filter((box) => box.id !== id && !now.tab.selection.has(box.id) && isInside(box, frame));
    contents.set(id, [frame, ...inside]);
  }
  return contents;
}

function isInside(box: Rectangle, frame: Rectangle): boolean {
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  return x > frame.x && x < frame.x + frame.width && y > frame.y && y < frame.y + frame.height;
}

function carried(id: string, to: { x: number; y: number }, contents: Map<string, Rectangle[]>): Places {
  const [frame, ...inside] = contents.get(id) ?? [];
  if (frame === undefined) return NOWHERE;
  const [dx, dy] = [to.x - frame.x, to.y - frame.y];
  return new Map(inside.map((box) => [box.id, [box.x + dx, box.y + dy] as const]));
}

/** Note the link that the dragged node lies on, if it fits into it and has no links yet. */
function markSplice(id: string, places: Places): void {
  const now = current();
  const isLoose = now !== null && linksOf(now.graph).every((link) => link.from.node !== id && link.to.node !== id);
  const box = now === null || !isLoose ? undefined : boxesOf(now).find((each) => each.id === id);
  const place = places.get(id);
  let end: string | null = null;
  if (box !== undefined && place !== undefined && now?.graph.nodes[id] !== undefined) {
    end = linkBelow({ ...box, x: place[0], y: place[1] }, (each) => fitsInto(id, each));
  }
  if (useCanvas.getState().spliceEnd !== end) useCanvas.getState().set({ spliceEnd: end });
}

function linkBelow(box: Rectangle, isWanted: (end: string) => boolean): string | null {
  const edges = [...document.querySelectorAll<SVGGElement>(".canvas .react-flow__edge")];
  if (edges.length > MOST_LINKS) return null;
  for (const edge of edges) {
    const path = edge.querySelector<SVGPathElement>(".react-flow__edge-path");
    const end = edge.dataset["id"];
    if (path === null || end === undefined) continue;
    const length = path.getTotalLength();
    for (let sample = 1; sample < SAMPLES; sample += 1) {
      const { x, y } = path.getPointAtLength((length * sample) / SAMPLES);
      const below = x > box.x && x < box.x + box.width && y > box.y && y < box.y + box.height;
      if (below && isWanted(end)) return end;
    }
  }
  return null;
}

/** Take React Flow's selecting and unselecting. */
export function applySelection(changes: readonly NodeChange<FlowNode>[]): void {
  const selects = changes.filter((change) => change.type === "select");
  if (selects.length === 0) return;
  const selection = new Set(current()?.tab.selection);
  for (const change of selects) {
    if (change.selected) selection.add(change.id);
    else selection.delete(change.id);
  }
  useEditor.getState().select(selection);
}

/** Take the sizes that the browser found. */
export function applySizes(changes: readonly NodeChange<FlowNode>[]): void {
  const found = changes.filter((change) => change.type === "dimensions");
  if (found.length === 0) return;
  const sizes = new Map(useCanvas.getState().sizes);
  for (const change of found) {
    if (change.dimensions !== undefined) sizes.set(change.id, change.dimensions);
  }
  useCanvas.getState().set({ sizes });
}
