import { type CSSProperties, type KeyboardEvent, type PointerEvent, useRef, useState } from "react";
import { dumpJson, type Json } from "../graph/document";
import { troubleWith } from "../graph/literals";
import { t } from "../i18n";
import * as numbers from "./numbers";
import { Trouble } from "./Trouble";
import type { WidgetProps } from "./types";

/** So far a press is a click, in CSS pixels. */
const CLICK = 3;

interface Drag {
  x: number;
  base: numbers.Numeric;
  before: Json;
  fine: boolean;
  moved: boolean;
}

/**
 * A number: typed, dragged sideways (shift: finely), or stepped with the arrow keys; a slider where its range is small.
 *
 * A press focuses it without putting a caret, so that it can be dragged again; a click or typing puts one.
 */
export function NumberBox({ id, input, value, disabled, onChange, onGestureEnd }: WidgetProps) {
  const field = useRef<HTMLInputElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const drag = useRef<Drag | null>(null);
  const [draft, setDraft] = useState<string | null>(null);
  const [isTyping, setTyping] = useState(false);
  const [refused, setRefused] = useState<string | null>(null);
  const inGesture = useRef(false);
  const span = numbers.sliderSpan(input);
  const mayBeEmpty = !input.required && input.default === null;
  const trouble = refused ?? standingTrouble(value, input);

  function start(): numbers.Numeric {
    return numbers.isNumeric(value)
      ? value
      : numbers.snapped(input, numbers.isNumeric(input.default) ? input.default : 0);
  }

  function go(next: Json): void {
    inGesture.current = true;
    onChange(next, true);
  }

  function endGesture(): void {
    if (inGesture.current) onGestureEnd();
    inGesture.current = false;
  }

  function step(steps: number, fine: boolean): void {
    const one = numbers.stepOf(input, value);
    setDraft(null);
    setRefused(null);
    go(numbers.stepped(input, start(), steps, fine && !numbers.isWhole(input) ? one / 10 : one));
  }

  /** Take what was typed; tells whether it could be taken. */
  function commit(): boolean {
    setDraft(null);
    setTyping(false);
    if (draft === null || draft === numbers.numberText(value)) {
      setRefused(null);
      return true;
    }
    if (draft.trim() === "" && mayBeEmpty) {
      onChange(null);
      return true;
    }
    const { value: read, trouble: why } = numbers.readNumber(input, draft);
    if (read !== null) onChange(read);
    else setRefused(`${why} ${kept(value)}`.trim());
    return read !== null;
  }

  function onKeyDown(event: KeyboardEvent<HTMLInputElement>): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[event.key];
    if (steps !== undefined) {
      event.preventDefault();
      step(steps, event.shiftKey);
    } else if (event.key === "Enter") {
      if (commit()) field.current?.select();
    } else if (event.key === "Escape" && (drag.current !== null || draft !== null || isTyping)) {
      event.stopPropagation();
      if (drag.current !== null) endDrag(true);
      setDraft(null);
      setTyping(false);
      setRefused(null);
    }
  }

  function onPointerDown(event: PointerEvent<HTMLDivElement>): void {
    if (disabled || event.button !== 0 || isTyping) return;
    event.currentTarget.setPointerCapture?.(event.pointerId);
    field.current?.focus({ preventScroll: true });
    drag.current = { x: event.clientX, base: start(), before: value, fine: event.shiftKey, moved: false };
  }

  function onPointerMove(event: PointerEvent<HTMLDivElement>): void {
    const now = drag.current;
    if (now === null) return;
    if (!now.moved && Math.abs(event.clientX - now.x) < CLICK) return;
    now.moved = true;
    if (event.shiftKey !== now.fine) {
      // going on from here, or the value would jump
      Object.assign(now, { x: event.clientX, base: start(), fine: event.shiftKey });
    }
    const width = box.current?.getBoundingClientRect().width ?? 0;
    const next = dragged(input, now, event.clientX - now.x, width);
    setRefused(null);
    if (next !== value) go(next);
  }

  function endDrag(restore: boolean): void {
    const now = drag.current;
    drag.current = null;
    if (now === null) return;
    if (now.moved) {
      if (restore) go(now.before);
      endGesture();
    } else if (!restore) {
      setTyping(true);
      field.current?.select();
    }
  }

  const fill = span === null || !numbers.isNumeric(value) ? null : shareOf(span, Number(value));
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the field in it does the same by keyboard
    <div
      ref={box}
      className={`w w-number nokey${span === null ? "" : " w-slider"}${isTyping ? " typing" : ""}`}
      data-settled={draft === null || undefined}
      data-invalid={trouble !== null || undefined}
      style={fill === null ? undefined : ({ "--fill": `${fill * 100}%` } as CSSProperties)}
      onPointerDown={onPointerDown}
      onPointerMove={onPointerMove}
      onPointerUp={() => endDrag(false)}
      onPointerCancel={() => endDrag(true)}
      onMouseDown={(event) => !isTyping && event.preventDefault()}
    >
      <input
        ref={field}
        id={id}
        role="spinbutton"
        type="text"
        inputMode={numbers.isWhole(input) ? "numeric" : "decimal"}
        autoComplete="off"
        spellCheck={false}
        disabled={disabled}
        placeholder={mayBeEmpty ? t("widgets.unset") : t("widgets.needed")}
        value={draft ?? shownText(value)}
        aria-valuenow={numbers.isNumeric(value) ? Number(value) : undefined}
        aria-valuetext={numbers.isNumeric(value) ? String(value) : t("widgets.unset")}
        aria-valuemin={input.minimum == null ? undefined : Number(input.minimum)}
        aria-valuemax={input.maximum == null ? undefined : Number(input.maximum)}
        aria-invalid={trouble !== null}
        aria-describedby={trouble === null ? undefined : `${id}-trouble`}
        onChange={(event) => {
          setTyping(true);
          setRefused(null);
          setDraft(event.target.value);
        }}
        onKeyDown={onKeyDown}
        onKeyUp={(event) => /^(Arrow|Page)(Up|Down)$/.test(event.key) && endGesture()}
        onFocus={(event) => {
          setRefused(null);
          if (drag.current === null) event.target.select();
        }}
        onBlur={() => {
          commit();
          endGesture();
        }}
      />
      <Trouble
        id={`${id}-trouble`}
        anchor={box}
        text={trouble}
        isNew={refused !== null}
        onSeen={() => setRefused(null)}
      />
    </div>
  );
}

function dragged(input: WidgetProps["input"], drag: Drag, distance: number, width: number): numbers.Numeric {
  const one = numbers.stepOf(input, drag.base);
  const span = numbers.sliderSpan(input);
  if (span === null || width === 0)
    return numbers.stepped(input, drag.base, numbers.dragSteps(distance, drag.fine), one);
  const share = (distance / width) * (drag.fine ? 0.1 : 1);
  const fineness = drag.fine && !numbers.isWhole(input) ? one / 10 : one;
  const next = numbers.stepped(input, drag.base, Math.round((share * (span.high - span.low)) / fineness), fineness);
  // a slider may end before its input's limit; what was typed beyond stays until it is dragged back
  return next > span.high && next > drag.base
    ? drag.base > span.high
      ? drag.base
      : numbers.snapped(input, span.high)
    : next;
}

function shareOf(span: { low: number; high: number }, value: number): number {
  return Math.max(0, Math.min(1, (value - span.low) / (span.high - span.low)));
}

function shownText(value: Json): string {
  if (value === null || numbers.isNumeric(value)) return numbers.numberText(value);
  return typeof value === "string" ? value : dumpJson(value);
}

function standingTrouble(value: Json, input: WidgetProps["input"]): string | null {
  if (value !== null && !numbers.isNumeric(value)) return t("widgets.notNumber", { text: shownText(value) });
  return troubleWith(input, value);
}

function kept(value: Json): string {
  return numbers.isNumeric(value) ? t("widgets.kept", { value: String(value) }) : "";
}
