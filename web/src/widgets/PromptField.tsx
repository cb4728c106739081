import { type KeyboardEvent, useLayoutEffect, useRef } from "react";
import { troubleWith } from "../graph/literals";
import { t } from "../i18n";
import { Popup } from "./Popup";
import { Trouble } from "./Trouble";
import { textOf } from "./texts";
import type { WidgetProps } from "./types";
import { useTyping } from "./useTyping";
import { useWords, type WordOffer } from "./useWords";
import { learnWords } from "./words";

/** They leave the word that is being written. */
const CARET_KEYS = new Set(["ArrowLeft", "ArrowRight", "Home", "End", "PageUp", "PageDown"]);

/** Several lines of text; words used before, and those that its model knows, are offered while typing. */
export function PromptField(props: WidgetProps) {
  const { id, node, input, value, disabled } = props;
  const area = useRef<HTMLTextAreaElement>(null);
  const caret = useRef<number | null>(null);
  const typing = useTyping(props);
  const { offer, begin, write, move, leave } = useWords(node, input);
  const trouble = troubleWith(input, value);
  const text = textOf(value);

  // React puts the caret at the end when a value changes under it
  useLayoutEffect(() => {
    if (caret.current === null) return;
    area.current?.setSelectionRange(caret.current, caret.current);
    caret.current = null;
  });

  function take(word: string | undefined): void {
    if (offer === null || word === undefined) return;
    caret.current = offer.start + word.length;
    typing.type(text.slice(0, offer.start) + word + text.slice(offer.end));
    leave();
  }

  function onKeyDown(event: KeyboardEvent<HTMLTextAreaElement>): void {
    if (event.key === "Escape") {
      if (offer === null ? typing.restore() : true) event.stopPropagation();
      leave();
      return;
    }
    if (offer === null || event.ctrlKey || event.metaKey) return;
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by !== undefined) {
      event.preventDefault();
      move(by);
    } else if ((event.key === "Enter" || event.key === "Tab") && offer.active >= 0) {
      event.preventDefault();
      take(offer.words[offer.active]);
    } else if (CARET_KEYS.has(event.key)) leave();
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
        onFocus={() => {
          begin();
          typing.begin();
        }}
        onClick={leave}
        onBlur={() => {
          if (typing.end()) learnWords(text);
          leave();
        }}
        onChange={(event) => {
          typing.type(event.target.value);
          write(event.target.value, event.target.selectionStart);
        }}
        onKeyDown={onKeyDown}
      />
      {offer !== null && (
        <Popup anchor={area} className="w-list w-words" onLeave={leave}>
          <WordList id={id} offer={offer} onTake={take} />
        </Popup>
      )}
      <Trouble id={`${id}-trouble`} anchor={area} text={trouble} />
    </div>
  );
}

function WordList({ id, offer, onTake }: { id: string; offer: WordOffer; onTake(word: string): void }) {
  return (
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
          onClick={() => onTake(word)}
        >
          {word}
        </div>
      ))}
    </div>
  );
}
