import { type RefObject, useEffect, useState } from "react";
import { Popup } from "./Popup";

interface TroubleProps {
  id: string;
  anchor: RefObject<HTMLElement | null>;
  /** What is wrong, in words; null if nothing is. */
  text: string | null;
  /** It has just come about: shown at once. What was wrong before is shown to who points at the field or is in it. */
  isNew?: boolean;
  /** It was read: something else was pressed. */
  onSeen?(): void;
}

/** Say below a field what is wrong with it. */
export function Trouble({ id, anchor, text, isNew = false, onSeen }: TroubleProps) {
  const isLookedAt = useAttention(anchor, text !== null);
  const [dismissed, setDismissed] = useState<string | null>(null);
  if (text === null) {
    if (dismissed !== null) setDismissed(null);
    return null;
  }
  if (!isLookedAt && (!isNew || dismissed === text)) {
    return (
      <span id={id} className="unseen">
        {text}
      </span>
    );
  }
  return (
    <Popup
      anchor={anchor}
      className="w-trouble"
      onLeave={() => {
        setDismissed(text);
        onSeen?.();
      }}
    >
      <span id={id} role="alert">
        {text}
      </span>
    </Popup>
  );
}

/** Tell whether somebody points at an element or is in it. */
function useAttention(anchor: RefObject<HTMLElement | null>, isWanted: boolean): boolean {
  const [isHovered, setHovered] = useState(false);
  const [isFocused, setFocused] = useState(false);
  useEffect(() => {
    const element = anchor.current;
    if (element === null || !isWanted) return;
    setFocused(element.contains(document.activeElement));
    const enter = () => setHovered(true);
    const leave = () => setHovered(false);
    const focus = () => setFocused(true);
    const blur = () => setFocused(false);
    element.addEventListener("pointerenter", enter);
    element.addEventListener("pointerleave", leave);
    element.addEventListener("focusin", focus);
    element.addEventListener("focusout", blur);
    return () => {
      element.removeEventListener("pointerenter", enter);
      element.removeEventListener("pointerleave", leave);
      element.removeEventListener("focusin", focus);
      element.removeEventListener("focusout", blur);
      setHovered(false);
      setFocused(false);
    };
  }, [anchor, isWanted]);
  return isHovered || isFocused;
}
