/** What is typed between asking for a dialog and its being there goes into its field: no letter is lost. */
import { useLayoutEffect, useState } from "react";

let typed = "";

/** Stands for a dialog that is being loaded, and takes the keys meanwhile. */
export function TypedAhead({ onEscape }: { onEscape(): void }) {
  useLayoutEffect(() => {
    typed = "";
    const hold = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      if (event.key === "Escape") onEscape();
      else if (event.key === "Backspace") typed = typed.slice(0, -1);
      else if (event.key.length === 1) typed += event.key;
    };
    window.addEventListener("keydown", hold, true);
    return () => window.removeEventListener("keydown", hold, true);
  }, [onEscape]);
  return null;
}

/** The text of a dialog's search field, which begins with what was typed before it was there. */
export function useQuery(): [string, (query: string) => void] {
  const [query, setQuery] = useState("");
  useLayoutEffect(() => {
    if (typed !== "") setQuery(typed);
    typed = "";
  }, []);
  return [query, setQuery];
}
