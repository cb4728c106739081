import { useRef } from "react";
import type { Json } from "../graph/document";
import type { WidgetProps } from "./types";

/** Text that is taken as it is typed: one gesture from focus to leaving; Escape brings back what was there before. */
export function useTyping({ value, onChange, onGestureEnd }: Pick<WidgetProps, "value" | "onChange" | "onGestureEnd">) {
  const before = useRef<Json>(value);
  const changed = useRef(false);
  return {
    begin(): void {
      before.current = value;
      changed.current = false;
    },
    type(next: Json): void {
      changed.current = true;
      onChange(next, true);
    },
    /** Tells whether anything was typed. */
    end(): boolean {
      const typed = changed.current;
      if (typed) onGestureEnd();
      before.current = value;
      changed.current = false;
      return typed;
    },
    /** Tells whether there was anything to bring back. */
    restore(): boolean {
      if (!changed.current) return false;
      onChange(before.current, true);
      onGestureEnd();
      changed.current = false;
      return true;
    },
  };
}
