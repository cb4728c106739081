import { useStoreApi } from "@xyflow/react";
import { useEffect, useRef } from "react";
import { useEditor } from "../../stores/editorStore";
import { useRun } from "../../stores/runStore";
import { useUi } from "../../stores/uiStore";
import { current } from "../actions/current";
import type { FlowNode } from "../flow";
import { useHeat } from "../heatStore";
import { openNodeMenu } from "../menus";
import { listenToPointer, type Pointing, selectWithin } from "./gestures";
import { type Colors, colorsOf, paint } from "./paint";

/** Large graphs from far away: all nodes and links as one picture, which pans and drags as fast as it is drawn. */
export function Overview({ nodes }: { nodes: readonly FlowNode[] }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const store = useStoreApi();
  const shown = useRef(nodes);
  shown.current = nodes;

  useEffect(() => {
    const picture = canvas.current;
    const pane = picture?.parentElement;
    if (picture === null || pane == null) return;
    const pointing: Pointing = { over: null, offset: null };
    let colors: Colors | null = null;
    let frame = 0;
    const draw = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        const now = current();
        colors ??= colorsOf(picture);
        if (now !== null) paint(picture, now, store.getState().transform, { colors, ...pointing });
      });
    };
    const recolor = () => {
      colors = null;
      draw();
    };
    draw();
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", recolor);
    const openMenu = (event: MouseEvent, id: string) => {
      openNodeMenu(event, shown.current.find((node) => node.id === id) ?? null);
    };
    const ends = [
      store.subscribe(draw),
      followBox(store),
      useEditor.subscribe(draw),
      useRun.subscribe(draw),
      useHeat.subscribe(draw),
      useUi.subscribe((state, before) => state.theme !== before.theme && recolor()),
      listenToPointer(pane, pointing, draw, openMenu),
    ];
    return () => {
      cancelAnimationFrame(frame);
      dark.removeEventListener("change", recolor);
      for (const end of ends) end();
    };
  }, [store]);

  return <canvas ref={canvas} className="overview" />;
}

/** Select by the box that is drawn on React Flow's pane, which knows of no nodes now. */
function followBox(store: ReturnType<typeof useStoreApi>): () => void {
  return store.subscribe(({ userSelectionActive, userSelectionRect: box, transform: [x, y, zoom] }, before) => {
    if (!userSelectionActive || box === null || box === before.userSelectionRect) return;
    selectWithin({
      x: (box.x - x) / zoom,
      y: (box.y - y) / zoom,
      width: box.width / zoom,
      height: box.height / zoom,
    });
  });
}
