import { useRef } from "react";
import { troubleWith } from "../graph/literals";
import { t } from "../i18n";
import { Trouble } from "./Trouble";
import { textOf } from "./texts";
import type { WidgetProps } from "./types";
import { useTyping } from "./useTyping";

/** One line of text. */
export function TextField(props: WidgetProps) {
  const { id, input, value, disabled } = props;
  const box = useRef<HTMLDivElement>(null);
  const typing = useTyping(props);
  const trouble = troubleWith(input, value);
  const mayBeUnset = !input.required && input.default === null;
  return (
    <div ref={box} className="w nokey" data-invalid={trouble !== null || undefined}>
      <input
        id={id}
        type="text"
        autoComplete="off"
        spellCheck={false}
        disabled={disabled}
        value={textOf(value)}
        placeholder={value === null ? t(input.required ? "widgets.needed" : "widgets.unset") : ""}
        aria-invalid={trouble !== null}
        aria-describedby={trouble === null ? undefined : `${id}-trouble`}
        onFocus={typing.begin}
        onBlur={typing.end}
        onChange={(event) => typing.type(event.target.value === "" && mayBeUnset ? null : event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter") typing.end();
          else if (event.key === "Escape" && typing.restore()) event.stopPropagation();
        }}
      />
      <Trouble id={`${id}-trouble`} anchor={box} text={trouble} />
    </div>
  );
}
