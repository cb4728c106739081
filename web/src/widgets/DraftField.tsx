import { type KeyboardEvent, useRef, useState } from "react";
import type { Json } from "../graph/document";
import { Trouble } from "./Trouble";
import type { WidgetProps } from "./types";

interface DraftFieldProps extends WidgetProps {
  /** How the value is written. */
  text: string;
  /** Read what was typed, or say why it can't be taken. */
  read(text: string): { value: Json; trouble: null } | { trouble: string };
  multiline: boolean;
  placeholder: string;
}

/** Text that stands for a value: taken when leaving it or at Enter, if it can be read; Escape gives it up. */
export function DraftField({ id, text, read, multiline, placeholder, disabled, onChange }: DraftFieldProps) {
  const box = useRef<HTMLDivElement>(null);
  const [draft, setDraft] = useState<string | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);

  /** What can't be read stays to be mended; nothing that was typed is lost. */
  function commit(): void {
    if (draft === null) return;
    if (draft !== text) {
      const reading = read(draft);
      setTrouble(reading.trouble);
      if (reading.trouble !== null) return;
      onChange(reading.value);
    }
    setDraft(null);
  }

  const shared = {
    id,
    disabled,
    placeholder,
    spellCheck: false,
    value: draft ?? text,
    "aria-invalid": trouble !== null,
    "aria-describedby": trouble === null ? undefined : `${id}-trouble`,
    onBlur: commit,
    onChange: (event: { target: { value: string } }) => {
      setDraft(event.target.value);
      setTrouble(null);
    },
    onKeyDown: (event: KeyboardEvent) => {
      if (event.key === "Enter" && !multiline) commit();
      else if (event.key === "Escape" && draft !== null) {
        event.stopPropagation();
        setDraft(null);
        setTrouble(null);
      }
    },
  };
  return (
    <div ref={box} className={`w nokey${multiline ? " w-prompt" : ""}`} data-invalid={trouble !== null || undefined}>
      {multiline ? (
        <textarea {...shared} className="nowheel mono" rows={3} />
      ) : (
        <input type="text" autoComplete="off" {...shared} />
      )}
      <Trouble id={`${id}-trouble`} anchor={box} text={trouble} isNew />
    </div>
  );
}
