import { type KeyboardEvent, type PointerEvent, type ReactNode, useLayoutEffect, useRef } from "react";

interface DialogProps {
  label: string;
  className: string;
  /** What is entered in it isn't given up by a press beside it. */
  hasEntries?: boolean;
  children: ReactNode;
  onClose(): void;
  onKeyDown?(event: KeyboardEvent): void;
}

/** A modal dialog: in the top layer, the browser keeps the focus in it, and what is done in it reaches nothing behind. */
export function Dialog({ label, className, hasEntries = false, children, onClose, onKeyDown }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const element = dialog.current;
    const before = document.activeElement;
    element?.showModal();
    element?.querySelector<HTMLElement>("[cmdk-input], [data-autofocus]")?.focus();
    return () => {
      element?.close();
      if (before instanceof HTMLElement) before.focus({ preventScroll: true });
    };
  }, []);
  // not a click: one that begins in a field and ends beside the dialog has marked a text
  const pressBeside = (event: PointerEvent) => {
    if (event.target === dialog.current && isBeside(event, dialog.current)) onClose();
  };
  return (
    <dialog
      ref={dialog}
      className={`dialog nokey nodrag nowheel nopan ${className}`}
      aria-label={label}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onPointerDown={hasEntries ? undefined : pressBeside}
      onKeyDown={(event) => {
        event.stopPropagation();
        onKeyDown?.(event);
      }}
      onPaste={(event) => event.stopPropagation()}
      onDrop={(event) => event.stopPropagation()}
    >
      {children}
    </dialog>
  );
}

/** A press on the backdrop is one on the dialog itself, but outside of its box. */
function isBeside(event: PointerEvent, dialog: HTMLDialogElement): boolean {
  const { left, right, top, bottom } = dialog.getBoundingClientRect();
  return event.clientX < left || event.clientX > right || event.clientY < top || event.clientY > bottom;
}
