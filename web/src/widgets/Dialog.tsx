import { type ReactNode, useEffect, useRef } from "react";

interface DialogProps {
  label: string;
  className: string;
  children: ReactNode;
  onClose(): void;
}

/** A modal dialog of a widget: in the top layer, and what is done in it reaches nothing behind. */
export function Dialog({ label, className, children, onClose }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const element = dialog.current;
    const before = document.activeElement;
    element?.showModal();
    return () => {
      element?.close();
      if (before instanceof HTMLElement) before.focus({ preventScroll: true });
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      className={`w-dialog nokey nodrag nowheel nopan ${className}`}
      aria-label={label}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === dialog.current && onClose()}
      onKeyDown={(event) => event.stopPropagation()}
      onPaste={(event) => event.stopPropagation()}
      onDrop={(event) => event.stopPropagation()}
    >
      {children}
    </dialog>
  );
}
