import { useStoreApi } from "@xyflow/react";
import { type PointerEvent, useEffect, useRef, useState } from "react";
import type { Rectangle } from "../graph/arrange";
import { shareOf } from "../graph/heat";
import { linksOf } from "../graph/links";
import { useEditor } from "../stores/editorStore";
import { moveTo } from "./actions";
import { current } from "./actions/current";
import { boxesOf } from "./boxes";
import { useCanvas } from "./canvasStore";
import { snapped } from "./grid";
import { useHeat } from "./heatStore";
import { goToNode } from "./view";

interface Drag {
  ids: ReadonlySet<string>;
  from: { x: number; y: number };
  dx: number;
  dy: number;
}

/** Large graphs from far away: all nodes and links as one picture, which pans and drags as fast as it is drawn. */
export function Overview() {
  const canvas = useRef<HTMLCanvasElement>(null);
  const store = useStoreApi();
  const drag = useRef<Drag | null>(null);
  const [over, setOver] = useState(false);

  useEffect(() => {
    let frame = 0;
    const draw = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        if (canvas.current !== null) paint(canvas.current, store.getState().transform, drag.current);
      });
    };
    draw();
    const ends = [store.subscribe(draw), useEditor.subscribe(draw), useHeat.subscribe(draw)];
    const parent = canvas.current?.parentElement;
    const follow = (event: MouseEvent) => {
      if (drag.current === null) setOver(boxAt(event.clientX, event.clientY) !== null);
    };
    parent?.addEventListener("mousemove", follow);
    return () => {
      cancelAnimationFrame(frame);
      parent?.removeEventListener("mousemove", follow);
      for (const end of ends) end();
    };
  }, [store]);

  const press = (event: PointerEvent<HTMLCanvasElement>) => {
    const box = boxAt(event.clientX, event.clientY);
    const tab = current()?.tab;
    if (box === null || tab === undefined || event.button !== 0) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    const more = event.shiftKey || event.ctrlKey || event.metaKey;
    if (!tab.selection.has(box.id)) useEditor.getState().select(more ? [...tab.selection, box.id] : [box.id]);
    const ids = new Set(current()?.tab.selection);
    drag.current = { ids, from: { x: event.clientX, y: event.clientY }, dx: 0, dy: 0 };
  };
  const move = (event: PointerEvent<HTMLCanvasElement>) => {
    const dragged = drag.current;
    if (dragged === null || canvas.current === null) return;
    const zoom = store.getState().transform[2];
    dragged.dx = (event.clientX - dragged.from.x) / zoom;
    dragged.dy = (event.clientY - dragged.from.y) / zoom;
    paint(canvas.current, store.getState().transform, dragged);
  };
  const release = () => {
    const dragged = drag.current;
    const now = current();
    drag.current = null;
    if (dragged === null || now === null || (dragged.dx === 0 && dragged.dy === 0)) return;
    const moved = boxesOf(now).filter((box) => dragged.ids.has(box.id));
    moveTo(new Map(moved.map((box) => [box.id, [snapped(box.x + dragged.dx), snapped(box.y + dragged.dy)]])));
  };
  return (
    <canvas
      ref={canvas}
      className={over ? "overview grab nopan" : "overview"}
      onPointerDown={press}
      onPointerMove={move}
      onPointerUp={release}
      onDoubleClick={(event) => {
        const box = boxAt(event.clientX, event.clientY);
        if (box !== null) goToNode(box.id);
      }}
    />
  );
}

function boxAt(clientX: number, clientY: number): Rectangle | null {
  const now = current();
  const at = useCanvas.getState().flow?.screenToFlowPosition({ x: clientX, y: clientY }, { snapToGrid: false });
  if (now === null || at === undefined) return null;
  const isAt = (box: Rectangle) =>
    at.x >= box.x && at.x <= box.x + box.width && at.y >= box.y && at.y <= box.y + box.height;
  return boxesOf(now).find((box) => now.graph.nodes[box.id] !== undefined && isAt(box)) ?? null;
}

function paint(canvas: HTMLCanvasElement, [x, y, zoom]: readonly [number, number, number], drag: Drag | null): void {
  const now = current();
  const context = canvas.getContext("2d");
  if (now === null || context === null) return;
  const ratio = window.devicePixelRatio;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== width * ratio || canvas.height !== height * ratio) {
    canvas.width = width * ratio;
    canvas.height = height * ratio;
  }
  const color = (name: string) => {
    // Variables hold a light and a dark colour; the element's own colour comes out as the one that counts.
    canvas.style.color = `var(${name})`;
    return getComputedStyle(canvas).color;
  };
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.setTransform(ratio * zoom, 0, 0, ratio * zoom, ratio * x, ratio * y);

  const boxes = new Map<string, Rectangle>();
  for (const box of boxesOf(now)) {
    const moved = drag?.ids.has(box.id) ? { ...box, x: box.x + drag.dx, y: box.y + drag.dy } : box;
    boxes.set(box.id, moved);
  }
  context.lineWidth = 1 / zoom;
  context.strokeStyle = color("--muted");
  context.globalAlpha = 0.6;
  context.beginPath();
  for (const { from, to } of linksOf(now.graph)) {
    const [source, target] = [boxes.get(from.node), boxes.get(to.node)];
    if (source === undefined || target === undefined) continue;
    context.moveTo(source.x + source.width, source.y + 40);
    context.lineTo(target.x, target.y + 40);
  }
  context.stroke();
  context.globalAlpha = 1;
  const [surface, line, accent, hot] = [color("--surface"), color("--line"), color("--accent"), color("--hot")];
  const { heat } = useHeat.getState();
  for (const box of boxes.values()) {
    const isNode = now.graph.nodes[box.id] !== undefined;
    const selected = now.tab.selection.has(box.id);
    context.fillStyle = isNode ? (now.graph.ui?.nodes?.[box.id]?.color ?? surface) : "transparent";
    context.strokeStyle = selected ? accent : line;
    context.lineWidth = (selected ? 3 : 1) / zoom;
    context.fillRect(box.x, box.y, box.width, box.height);
    const share = shareOf(heat, box.id);
    if (share !== null) {
      context.globalAlpha = 0.08 + 0.72 * share;
      context.fillStyle = hot;
      context.fillRect(box.x, box.y, box.width, box.height);
      context.globalAlpha = 1;
    }
    context.strokeRect(box.x, box.y, box.width, box.height);
  }
}
