import { type KeyboardEvent, useLayoutEffect, useRef, useState } from "react";
import { troubleWith } from "../graph/literals";
import { t } from "../i18n";
import { Popup } from "./Popup";
import { Trouble } from "./Trouble";
import { textOf } from "./texts";
import type { WidgetProps } from "./types";
import { useTyping } from "./useTyping";
import { complete, knownWords, learnWords, wordBefore } from "./words";

interface Offer {
  start: number;
  end: number;
  words: readonly string[];
  /** The one that Enter takes; -1 while none was chosen, so that Enter is a new line. */
  active: number;
}

/** Several lines of text; words used before are offered while typing. */
export function PromptField(props: WidgetProps) {
  const { id, input, value, disabled } = props;
  const area = useRef<HTMLTextAreaElement>(null);
  const caret = useRef<number | null>(null);
  const typing = useTyping(props);
  const [offer, setOffer] = useState<Offer | null>(null);
  const trouble = troubleWith(input, value);
  const text = textOf(value);

  // React puts the caret at the end when a value changes under it
  useLayoutEffect(() => {
    if (caret.current === null) return;
    area.current?.setSelectionRange(caret.current, caret.current);
    caret.current = null;
  });

  function onType(next: string, at: number): void {
    typing.type(next);
    const word = wordBefore(next, at);
    const words = word === null ? [] : complete(word.prefix, knownWords(input));
    setOffer(word === null || words.length === 0 ? null : { start: word.start, end: at, words, active: -1 });
  }

  function take(word: string | undefined): void {
    if (offer === null || word === undefined) return;
    caret.current = offer.start + word.length;
    typing.type(text.slice(0, offer.start) + word + text.slice(offer.end));
    setOffer(null);
  }

  function onKeyDown(event: KeyboardEvent<HTMLTextAreaElement>): void {
    if (event.key === "Escape") {
      if (offer === null ? typing.restore() : true) event.stopPropagation();
      setOffer(null);
      return;
    }
    if (offer === null || event.ctrlKey || event.metaKey) return;
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by !== undefined) {
      event.preventDefault();
      const count = offer.words.length + 1;
      setOffer({ ...offer, active: ((offer.active + 1 + by + count) % count) - 1 });
    } else if ((event.key === "Enter" || event.key === "Tab") && offer.active >= 0) {
      event.preventDefault();
      take(offer.words[offer.active]);
    }
  }

  return (
    <div className="w w-prompt nokey" data-invalid={trouble !== null || undefined}>
      <textarea
        ref={area}
        id={id}
        className="nowheel"
        rows={3}
        disabled={disabled}
        value={text}
        placeholder={input.required && value === null ? t("widgets.needed") : ""}
        aria-invalid={trouble !== null}
        aria-describedby={trouble === null ? undefined : `${id}-trouble`}
        aria-autocomplete="list"
        aria-controls={offer === null ? undefined : `${id}-words`}
        aria-activedescendant={offer === null || offer.active < 0 ? undefined : `${id}-word${offer.active}`}
        onFocus={typing.begin}
        onBlur={() => {
          if (typing.end()) learnWords(text);
          setOffer(null);
        }}
        onChange={(event) => onType(event.target.value, event.target.selectionStart)}
        onKeyDown={onKeyDown}
      />
      {offer !== null && (
        <Popup anchor={area} className="w-list w-words" onLeave={() => setOffer(null)}>
          <div id={`${id}-words`} role="listbox" aria-label={t("widgets.words")}>
            {offer.words.map((word, at) => (
              // biome-ignore lint/a11y/useKeyWithClickEvents: the text's keys choose, the focus stays there
              // biome-ignore lint/a11y/useFocusableInteractive: as above
              <div
                key={word}
                id={`${id}-word${at}`}
                role="option"
                aria-selected={at === offer.active}
                data-active={at === offer.active || undefined}
                onMouseDown={(event) => event.preventDefault()}
                onClick={() => take(word)}
              >
                {word}
              </div>
            ))}
          </div>
        </Popup>
      )}
      <Trouble id={`${id}-trouble`} anchor={area} text={trouble} />
    </div>
  );
}
