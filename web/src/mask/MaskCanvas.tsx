import { type KeyboardEvent, type PointerEvent, useEffect, useLayoutEffect, useRef, useState } from "react";
import { t } from "../i18n";
import { Icon } from "../widgets/icons";
import { fitView, type Place, type StrokePoint, toFrame, toPicture, type View, zoomAt } from "./geometry";
import { LARGEST_BRUSH, type Settings } from "./MaskTools";
import type { Painting } from "./Painting";

/** A mouse has no pressure: browsers say 0.5 then, which would be half a brush. */
const FULL = 1;
const ZOOM_STEP = 1.25;

interface MaskCanvasProps {
  painting: Painting;
  /** Counts what was changed from outside. */
  changes: number;
  settings: Settings;
  onSettings(settings: Settings): void;
  onChange(what: (painting: Painting) => void): void;
  onSave(): void;
}

type Gesture = { kind: "stroke"; points: StrokePoint[] } | { kind: "pan"; from: Place; view: View };

/** The picture to paint on. Wheel zooms; middle button or space pans; the arrow keys move the brush, space paints. */
export function MaskCanvas({ painting, changes, settings, onSettings, onChange, onSave }: MaskCanvasProps) {
  const frame = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  const [view, setView] = useState<View | null>(null);
  const [cursor, setCursor] = useState<Place | null>(null);
  const [isPanning, setPanning] = useState(false);
  const gesture = useRef<Gesture | null>(null);
  const touches = useRef(new Map<number, Place>());
  const last = useRef<StrokePoint | null>(null);
  const [redrawn, setRedrawn] = useState(0);

  useLayoutEffect(() => {
    const element = frame.current;
    if (element === null) return;
    const watcher = new ResizeObserver(() => setSize({ width: element.clientWidth, height: element.clientHeight }));
    watcher.observe(element);
    return () => watcher.disconnect();
  }, []);
  useEffect(() => {
    if (size.width > 0) setView((now) => now ?? fitView(painting.size, size));
  }, [size, painting]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `changes` and `redrawn` count what the painting holds
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (context == null || view === null) return;
    const request = requestAnimationFrame(() => {
      const tint = getComputedStyle(context.canvas).getPropertyValue("color");
      painting.draw(context, view, devicePixelRatio, tint);
    });
    return () => cancelAnimationFrame(request);
  }, [painting, view, size, changes, redrawn]);
  // React's wheel listeners are passive: the page would scroll along
  useEffect(() => {
    const element = frame.current;
    if (element === null) return;
    const onWheel = (event: WheelEvent) => {
      event.preventDefault();
      const at = placeIn(element, event);
      setView((now) => (now === null ? now : zoomAt(now, Math.exp(-event.deltaY * 0.0015), at)));
    };
    element.addEventListener("wheel", onWheel, { passive: false });
    return () => element.removeEventListener("wheel", onWheel);
  }, []);

  function pointOf(event: PointerEvent, now: View): StrokePoint {
    const [x, y] = toPicture(now, placeIn(event.currentTarget as HTMLElement, event));
    return [x, y, event.pointerType === "pen" ? event.pressure : FULL];
  }

  function brushFor(event: PointerEvent): Settings {
    return { ...settings, hasPressure: settings.hasPressure && event.pointerType === "pen" };
  }

  function onPointerDown(event: PointerEvent<HTMLElement>): void {
    if (view === null) return;
    const place = placeIn(event.currentTarget, event);
    event.currentTarget.setPointerCapture(event.pointerId);
    if (event.pointerType === "touch") {
      touches.current.set(event.pointerId, place);
      if (touches.current.size > 1) {
        // a second finger: this was no stroke
        if (gesture.current?.kind === "stroke") painting.cancelStroke();
        gesture.current = null;
        setRedrawn((count) => count + 1);
        return;
      }
    }
    if (event.button === 1 || isPanning) gesture.current = { kind: "pan", from: place, view };
    else if (event.button === 0) {
      const point = pointOf(event, view);
      const points = event.shiftKey && last.current !== null ? [last.current, point] : [point];
      gesture.current = { kind: "stroke", points };
      painting.stroke(points, brushFor(event), settings.tool, false);
      setRedrawn((count) => count + 1);
    }
  }

  function onPointerMove(event: PointerEvent<HTMLElement>): void {
    if (view === null) return;
    const place = placeIn(event.currentTarget, event);
    setCursor(toPicture(view, place));
    if (touches.current.size > 1) {
      pinch(event.pointerId, place);
      return;
    }
    const now = gesture.current;
    if (now?.kind === "pan") {
      setView({ ...now.view, x: now.view.x + place[0] - now.from[0], y: now.view.y + place[1] - now.from[1] });
    } else if (now?.kind === "stroke") {
      now.points.push(pointOf(event, view));
      painting.stroke(now.points, brushFor(event), settings.tool, false);
      setRedrawn((count) => count + 1);
    }
  }

  function onPointerEnd(event: PointerEvent<HTMLElement>): void {
    touches.current.delete(event.pointerId);
    const now = gesture.current;
    gesture.current = null;
    if (now?.kind !== "stroke") return;
    last.current = now.points.at(-1) ?? null;
    onChange((mask) => mask.stroke(now.points, brushFor(event), settings.tool, true));
  }

  /** Two fingers zoom about their middle, and pan with it. */
  function pinch(id: number, place: Place): void {
    const other = [...touches.current].find(([each]) => each !== id)?.[1];
    const before = touches.current.get(id);
    touches.current.set(id, place);
    if (other === undefined || before === undefined || view === null) return;
    const factor = distance(place, other) / Math.max(1, distance(before, other));
    const zoomed = zoomAt(view, factor, other);
    setView(zoomed);
  }

  function zoom(factor: number): void {
    if (view !== null) setView(zoomAt(view, factor, [size.width / 2, size.height / 2]));
  }

  function resize(by: number): void {
    const next = Math.round(settings.size * by);
    onSettings({ ...settings, size: Math.max(1, Math.min(LARGEST_BRUSH, next === settings.size ? next + 1 : next)) });
  }

  /** Move the brush by keys; shift paints along. */
  function moveCursor([dx, dy]: Place, isPainting: boolean): void {
    const from = cursor ?? [painting.size.width / 2, painting.size.height / 2];
    const by = Math.max(1, settings.size / 4);
    const to: Place = [
      Math.max(0, Math.min(painting.size.width, from[0] + dx * by)),
      Math.max(0, Math.min(painting.size.height, from[1] + dy * by)),
    ];
    setCursor(to);
    if (isPainting) paintAt([from, to]);
  }

  function paintAt(places: readonly Place[]): void {
    const points = places.map(([x, y]): StrokePoint => [x, y, FULL]);
    onChange((mask) => mask.stroke(points, { ...settings, hasPressure: false }, settings.tool, true));
  }

  function onKeyDown(event: KeyboardEvent): void {
    const arrows: Record<string, Place> = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    };
    const arrow = arrows[event.key];
    const isCommand = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    let isOurs = true;
    if (arrow !== undefined) moveCursor(arrow, event.shiftKey);
    else if (isCommand && key === "z") onChange((mask) => (event.shiftKey ? mask.redo() : mask.undo()));
    else if (isCommand && key === "y") onChange((mask) => mask.redo());
    else if (isCommand && key === "s") onSave();
    else if (isCommand) isOurs = false;
    else if (key === "b") onSettings({ ...settings, tool: "brush" });
    else if (key === "e") onSettings({ ...settings, tool: "eraser" });
    else if (key === "i") onChange((mask) => mask.invert());
    else if (key === "[") resize(0.85);
    else if (key === "]") resize(1.18);
    else if (key === "+" || key === "=") zoom(ZOOM_STEP);
    else if (key === "-") zoom(1 / ZOOM_STEP);
    else if (key === "0") setView(fitView(painting.size, size));
    else if (key === "enter") paintAt([cursor ?? [painting.size.width / 2, painting.size.height / 2]]);
    else if (key === " ") setPanning(true);
    else isOurs = false;
    if (isOurs) event.preventDefault();
  }

  const brush = view === null || cursor === null ? null : toFrame(view, cursor);
  return (
    <div ref={frame} className="mask-frame">
      <div
        className="mask-surface"
        data-autofocus
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it is painted on, by keys too
        tabIndex={0}
        role="application"
        aria-label={t("mask.surface")}
        data-panning={isPanning || undefined}
        onPointerDown={onPointerDown}
        onPointerMove={onPointerMove}
        onPointerUp={onPointerEnd}
        onPointerCancel={onPointerEnd}
        onPointerLeave={() => gesture.current === null && setCursor(null)}
        onKeyDown={onKeyDown}
        onKeyUp={(event) => event.key === " " && setPanning(false)}
      >
        <canvas
          ref={canvas}
          width={Math.round(size.width * devicePixelRatio)}
          height={Math.round(size.height * devicePixelRatio)}
        />
        {brush !== null && view !== null && !isPanning && (
          <span
            className="mask-brush"
            style={{
              left: brush[0],
              top: brush[1],
              width: settings.size * view.zoom,
              height: settings.size * view.zoom,
            }}
          />
        )}
      </div>
      <p className="mask-keys">{t("mask.keys")}</p>
      <div className="mask-zoom">
        <button type="button" className="w-button" aria-label={t("mask.zoomOut")} onClick={() => zoom(1 / ZOOM_STEP)}>
          <Icon name="minus" />
        </button>
        <output>{view === null ? "" : `${Math.round(view.zoom * 100)} %`}</output>
        <button type="button" className="w-button" aria-label={t("mask.zoomIn")} onClick={() => zoom(ZOOM_STEP)}>
          <Icon name="plus" />
        </button>
        <button
          type="button"
          className="w-button"
          aria-label={t("mask.fit")}
          title={t("mask.fit")}
          onClick={() => setView(fitView(painting.size, size))}
        >
          <Icon name="fit" />
        </button>
      </div>
    </div>
  );
}

function placeIn(element: HTMLElement, event: { clientX: number; clientY: number }): Place {
  const box = element.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

function distance(one: Place, other: Place): number {
  return Math.hypot(one[0] - other[0], one[1] - other[1]);
}
