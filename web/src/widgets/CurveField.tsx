import { type KeyboardEvent, type PointerEvent, useRef, useState } from "react";
import type { Json } from "../graph/document";
import { t } from "../i18n";
import { addPoint, heightAt, movePoint, type Point, readCurve, removePoint, STRAIGHT } from "./curve";
import type { WidgetProps } from "./types";

const SAMPLES = 64;
const STEP = 0.02;
const FINE = 0.002;

/** A curve on the unit square: drag points, press between them for a new one, Delete takes one away. */
export function CurveField({ id, input, value, disabled, onChange, onGestureEnd }: WidgetProps) {
  const plot = useRef<SVGSVGElement>(null);
  const dragged = useRef<{ index: number; before: Json } | null>(null);
  const [active, setActive] = useState(0);
  const read = readCurve(value);
  const points = read ?? STRAIGHT;

  /** As the input has it: a list, or its JSON where the input takes texts. */
  function set(next: readonly Point[], gesture: boolean): void {
    const plain = next.map(([x, y]) => [x, y]);
    onChange(input.type === "STRING" ? JSON.stringify(plain) : plain, gesture);
  }

  function placeOf(event: PointerEvent): Point {
    const box = plot.current?.getBoundingClientRect();
    if (box === undefined || box.width === 0) return [0, 0];
    return [(event.clientX - box.left) / box.width, 1 - (event.clientY - box.top) / box.height];
  }

  function grab(event: PointerEvent, index: number): void {
    plot.current?.setPointerCapture?.(event.pointerId);
    dragged.current = { index, before: value };
    setActive(index);
  }

  function onPointerDown(event: PointerEvent): void {
    if (disabled || event.button !== 0) return;
    const added = addPoint(points, placeOf(event));
    if (added === null) return;
    set(added.points, true);
    grab(event, added.index);
  }

  function end(restore: boolean): void {
    const now = dragged.current;
    dragged.current = null;
    if (now === null) return;
    if (restore) onChange(now.before, true);
    onGestureEnd();
  }

  function onKeyDown(event: KeyboardEvent, index: number): void {
    const [x, y] = points[index] ?? [0, 0];
    const by = event.shiftKey ? FINE : STEP;
    const to = { ArrowLeft: [x - by, y], ArrowRight: [x + by, y], ArrowUp: [x, y + by], ArrowDown: [x, y - by] }[
      event.key
    ];
    if (to !== undefined) {
      event.preventDefault();
      set(movePoint(points, index, to as unknown as Point), true);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      set(removePoint(points, index), false);
    } else if (event.key === "Enter" || event.key === "+") {
      const next = points[index + 1] ?? points[index - 1];
      const middle = next === undefined ? x : (x + next[0]) / 2;
      const added = addPoint(points, [middle, heightAt(points, middle)]);
      if (added !== null) set(added.points, false);
    } else if (event.key === "Escape" && dragged.current !== null) {
      event.stopPropagation();
      end(true);
    }
  }

  const line = Array.from({ length: SAMPLES + 1 }, (_, at) => {
    const x = at / SAMPLES;
    return `${at === 0 ? "M" : "L"}${x * 100} ${100 - heightAt(points, x) * 100}`;
  }).join(" ");
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is no box that percentages of its height refer to
    <div id={id} role="group" className="w-curve nokey nodrag" aria-label={t("widgets.curve", { name: input.name })}>
      <svg
        ref={plot}
        viewBox="0 0 100 100"
        preserveAspectRatio="none"
        aria-hidden="true"
        onPointerDown={onPointerDown}
        onPointerMove={(event) => {
          const now = dragged.current;
          if (now !== null) set(movePoint(points, now.index, placeOf(event)), true);
        }}
        onPointerUp={() => end(false)}
        onPointerCancel={() => end(true)}
      >
        <path className="grid" d="M0 50 H100 M50 0 V100 M25 0 V100 M75 0 V100 M0 25 H100 M0 75 H100" />
        <path className="line" d={line} />
      </svg>
      {points.map(([x, y], index) => (
        <button
          // biome-ignore lint/suspicious/noArrayIndexKey: a point is its place in the row
          key={index}
          type="button"
          className="w-curve-point"
          disabled={disabled}
          style={{ left: `${x * 100}%`, top: `${100 - y * 100}%` }}
          data-active={index === active || undefined}
          aria-label={t("widgets.point", { number: index + 1, count: points.length, x, y })}
          onPointerDown={(event) => event.button === 0 && grab(event, index)}
          onFocus={() => setActive(index)}
          onKeyDown={(event) => onKeyDown(event, index)}
          onKeyUp={(event) => event.key.startsWith("Arrow") && onGestureEnd()}
        />
      ))}
      {value !== null && read === null && <p className="w-note">{t("widgets.noCurve")}</p>}
    </div>
  );
}
