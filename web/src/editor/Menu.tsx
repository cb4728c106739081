import { type KeyboardEvent, useEffect, useLayoutEffect, useRef } from "react";
import { useCanvas } from "./canvasStore";

export type MenuEntry =
  | "line"
  | { label: string; keys?: string; disabled?: boolean; checked?: boolean; danger?: boolean; run(): void };

const MARGIN = 8;

function close(): void {
  useCanvas.getState().set({ menu: null });
}

/** The context menu that was asked for, if one was. */
export function ContextMenu() {
  const request = useCanvas((state) => state.menu);
  const list = useRef<HTMLDivElement>(null);

  useLayoutEffect(() => {
    const element = list.current;
    if (element === null || request === null) return;
    const { width, height } = element.getBoundingClientRect();
    element.style.left = `${Math.max(MARGIN, Math.min(request.x, window.innerWidth - width - MARGIN))}px`;
    element.style.top = `${Math.max(MARGIN, Math.min(request.y, window.innerHeight - height - MARGIN))}px`;
    const before = document.activeElement;
    itemsOf(element)[0]?.focus();
    return () => {
      if (before instanceof HTMLElement && document.activeElement === document.body) before.focus();
    };
  }, [request]);
  useEffect(() => {
    if (request === null) return;
    const outside = (event: Event) => {
      if (!list.current?.contains(event.target as Node)) close();
    };
    // the focus may have been lost to a touch that ended on the menu's edge
    const onEscape = (event: globalThis.KeyboardEvent) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      close();
    };
    window.addEventListener("keydown", onEscape, true);
    window.addEventListener("pointerdown", outside, true);
    window.addEventListener("wheel", outside, true);
    return () => {
      window.removeEventListener("keydown", onEscape, true);
      window.removeEventListener("pointerdown", outside, true);
      window.removeEventListener("wheel", outside, true);
    };
  }, [request]);
  if (request === null) return null;

  return (
    <div ref={list} className="menu" role="menu" aria-label={request.label} onKeyDown={(event) => move(event)}>
      {request.entries.map((entry, place) =>
        entry === "line" ? (
          // biome-ignore lint/suspicious/noArrayIndexKey: a menu's entries never move
          <hr key={place} />
        ) : (
          // biome-ignore lint/a11y/useAriaPropsSupportedByRole: with `checked` it is a checkbox
          <button
            key={entry.label}
            type="button"
            tabIndex={-1}
            role={entry.checked === undefined ? "menuitem" : "menuitemcheckbox"}
            aria-checked={entry.checked}
            className={entry.danger ? "danger" : undefined}
            disabled={entry.disabled}
            onClick={() => {
              close();
              entry.run();
            }}
          >
            <span>{entry.label}</span>
            {entry.checked && <span aria-hidden="true">✓</span>}
            {entry.keys !== undefined && <kbd>{entry.keys}</kbd>}
          </button>
        ),
      )}
    </div>
  );
}

function itemsOf(list: HTMLElement): HTMLButtonElement[] {
  return [...list.querySelectorAll<HTMLButtonElement>("button:not(:disabled)")];
}

function move(event: KeyboardEvent<HTMLDivElement>): void {
  const items = itemsOf(event.currentTarget);
  const at = items.indexOf(document.activeElement as HTMLButtonElement);
  const goTo = (place: number) => items[(place + items.length) % items.length]?.focus();
  if (event.key === "ArrowDown") goTo(at + 1);
  else if (event.key === "ArrowUp") goTo(at - 1);
  else if (event.key === "Home") goTo(0);
  else if (event.key === "End") goTo(-1);
  else if (event.key === "Tab") close();
  else if (/^\S$/.test(event.key) && !event.ctrlKey && !event.metaKey) {
    const letter = event.key.toLowerCase();
    const following = [...items.slice(at + 1), ...items.slice(0, at + 1)];
    following.find((item) => item.textContent?.toLowerCase().startsWith(letter))?.focus();
  } else return;
  event.preventDefault();
  event.stopPropagation();
}
