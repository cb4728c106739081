import { dumpJson } from "../graph/document";
import { t } from "../i18n";
import { Combo } from "./Combo";
import type { WidgetProps } from "./types";

/** One of an input's choices; one that a file has and the definition hasn't is kept and marked. */
export function ChoiceField({ id, input, value, disabled, onChange }: WidgetProps) {
  const choices = input.choices ?? [];
  const isKnown = value === null || choices.some((choice) => choice === value);
  const shown = value === null ? "" : typeof value === "string" ? value : dumpJson(value);
  return (
    <Combo
      id={id}
      options={choices.map((choice) => ({ value: choice, label: String(choice) }))}
      shown={shown}
      selected={(choice) => choice === value}
      disabled={disabled}
      placeholder={t(input.required ? "widgets.needed" : "widgets.unset")}
      trouble={isKnown ? null : t("widgets.notChoice", { value: shown })}
      none={t("widgets.noChoices")}
      onPick={onChange}
    />
  );
}
