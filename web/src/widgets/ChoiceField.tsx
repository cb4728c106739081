import { troubleWith } from "../graph/literals";
import { t } from "../i18n";
import { Combo } from "./Combo";
import { textOf } from "./texts";
import type { WidgetProps } from "./types";

/** One of an input's choices; one that a file has and the definition hasn't is kept and marked. */
export function ChoiceField({ id, input, value, disabled, onChange }: WidgetProps) {
  const choices = input.choices ?? [];
  return (
    <Combo
      id={id}
      options={choices.map((choice) => ({ value: choice, label: String(choice) }))}
      shown={textOf(value)}
      selected={(choice) => choice === value}
      disabled={disabled}
      placeholder={t(input.required ? "widgets.needed" : "widgets.unset")}
      trouble={troubleWith(input, value)}
      none={t("widgets.noChoices")}
      onPick={onChange}
    />
  );
}
