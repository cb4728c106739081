import { useRef } from "react";
import { troubleWith } from "../graph/literals";
import { t } from "../i18n";
import { Trouble } from "./Trouble";
import { textOf } from "./texts";
import type { WidgetProps } from "./types";
import { useTyping } from "./useTyping";

const HEX = /^#([0-9a-f]{3}|[0-9a-f]{6})$/i;

/** A colour: the browser's picker, and its `#rrggbb` as text. */
export function ColourField(props: WidgetProps) {
  const { id, input, value, disabled } = props;
  const box = useRef<HTMLDivElement>(null);
  const typing = useTyping(props);
  const text = textOf(value);
  const trouble = text === "" || HEX.test(text) ? troubleWith(input, value) : t("widgets.notColour", { text });
  return (
    <div ref={box} className="w w-colour nokey" data-invalid={trouble !== null || undefined}>
      <input
        type="color"
        aria-label={t("widgets.pickColour")}
        disabled={disabled}
        value={sixDigits(text)}
        onFocus={typing.begin}
        onBlur={typing.end}
        onChange={(event) => typing.type(event.target.value)}
      />
      <input
        id={id}
        type="text"
        autoComplete="off"
        spellCheck={false}
        disabled={disabled}
        value={text}
        placeholder="#rrggbb"
        aria-invalid={trouble !== null}
        aria-describedby={trouble === null ? undefined : `${id}-trouble`}
        onFocus={typing.begin}
        onBlur={typing.end}
        onChange={(event) => typing.type(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter") typing.end();
          else if (event.key === "Escape" && typing.restore()) event.stopPropagation();
        }}
      />
      <Trouble id={`${id}-trouble`} anchor={box} text={trouble} />
    </div>
  );
}

/** The browser's picker takes six digits only. */
function sixDigits(text: string): string {
  if (!HEX.test(text)) return "#000000";
  return text.length === 7
    ? text.toLowerCase()
    : `#${[...text.slice(1).toLowerCase()].map((digit) => digit + digit).join("")}`;
}
