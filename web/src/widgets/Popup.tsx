import { type ReactNode, type RefObject, useEffect, useLayoutEffect, useRef } from "react";

const MARGIN = 8;
/** Browsers of before 2024 have no popovers: there it is a plain box, which the canvas may cut off. */
const POPOVER = "showPopover" in HTMLElement.prototype;

interface PopupProps {
  /** What it hangs below, or above where there is no room. */
  anchor: RefObject<HTMLElement | null>;
  className: string;
  children: ReactNode;
  /** Somebody pressed, scrolled or zoomed elsewhere. */
  onLeave(): void;
  /** At least as wide as its anchor. */
  wide?: boolean;
}

/** Hang something at a field, in the browser's top layer: neither the canvas's zoom nor a node's edge cuts it. */
export function Popup({ anchor, className, children, onLeave, wide = false }: PopupProps) {
  const box = useRef<HTMLDivElement>(null);
  const leave = useRef(onLeave);
  leave.current = onLeave;
  // each time, for what it holds may have grown
  useLayoutEffect(() => {
    const element = box.current;
    const at = anchor.current?.getBoundingClientRect();
    if (element === null || at === undefined) return;
    if (POPOVER && !element.matches(":popover-open")) element.showPopover();
    if (wide) element.style.minWidth = `${at.width}px`;
    const size = element.getBoundingClientRect();
    const below = window.innerHeight - at.bottom - MARGIN;
    const isBelow = size.height <= below || below >= at.top - MARGIN;
    const left = Math.max(MARGIN, Math.min(at.left, window.innerWidth - size.width - MARGIN));
    element.style.left = `${left}px`;
    element.style.top = isBelow ? `${at.bottom + 4}px` : `${Math.max(MARGIN, at.top - size.height - 4)}px`;
  });
  useEffect(() => {
    const elsewhere = (event: Event) => {
      const target = event.target as Node;
      if (!box.current?.contains(target) && !anchor.current?.contains(target)) leave.current();
    };
    const scrolled = (event: Event) => {
      if (!box.current?.contains(event.target as Node)) leave.current();
    };
    const gone = () => leave.current();
    window.addEventListener("pointerdown", elsewhere, true);
    window.addEventListener("wheel", scrolled, true);
    window.addEventListener("resize", gone);
    return () => {
      window.removeEventListener("pointerdown", elsewhere, true);
      window.removeEventListener("wheel", scrolled, true);
      window.removeEventListener("resize", gone);
    };
  }, [anchor]);
  return (
    <div ref={box} popover={POPOVER ? "manual" : undefined} className={`w-popup ${className}`}>
      {children}
    </div>
  );
}
