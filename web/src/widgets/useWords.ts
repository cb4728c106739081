import { useEffect, useMemo, useState } from "react";
import type { InputDefinition } from "../graph/definitions";
import { t } from "../i18n";
import { useUi } from "../stores/uiStore";
import { keyOf, modelsOf, NO_WORDS, useModelWords } from "./modelWords";
import { complete, offeredWords, usedWords, wordBefore } from "./words";

/** The word that is being written, and what it may become. */
export interface WordOffer {
  words: readonly string[];
  /** The one that Enter takes; -1 while none was chosen, so that Enter is a new line. */
  active: number;
  start: number;
  end: number;
}

interface Begun {
  prefix: string;
  start: number;
  end: number;
  active: number;
}

/** Offer words while somebody writes: those that were used before, that the input's kind names, that its model knows. */
export function useWords(node: string, input: InputDefinition) {
  const [begun, setBegun] = useState<Begun | null>(null);
  const [models, setModels] = useState("");
  const known = useModelWords((state) => state.words[models]) ?? NO_WORDS;
  const prefix = begun?.prefix ?? null;
  const words = useMemo(
    () => (prefix === null ? NO_WORDS : complete(prefix, usedWords(), [...offeredWords(input), ...known])),
    [prefix, input, known],
  );
  const count = words.length;
  const isOffered = count > 0;
  // biome-ignore lint/correctness/useExhaustiveDependencies: it is said once, and not whenever fewer are left
  useEffect(() => {
    if (isOffered) useUi.getState().announce(t("widgets.wordsOffered", { count }));
  }, [isOffered]);

  return {
    offer: begun !== null && isOffered ? { ...begun, words } : null,
    /** Get ready: the models before the node may be others than the last time. */
    begin() {
      const before = modelsOf(node);
      useModelWords.getState().need(before);
      setModels(keyOf(before));
    },
    write(text: string, caret: number) {
      const word = wordBefore(text, caret);
      setBegun(word === null ? null : { ...word, end: caret, active: -1 });
    },
    /** Choose the next word or the one before; after the last one, none. */
    move(by: number) {
      if (begun === null) return;
      setBegun({ ...begun, active: ((begun.active + 1 + by + count + 1) % (count + 1)) - 1 });
    },
    leave: () => setBegun(null),
  };
}
