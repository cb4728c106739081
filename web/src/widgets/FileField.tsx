import { useEffect } from "react";
import { t } from "../i18n";
import { Combo } from "./Combo";
import { useFileNames } from "./fileNames";
import { fileOption, wouldBeListed } from "./options";
import { textOf } from "./texts";
import type { WidgetProps } from "./types";

/** A file on the server; one that isn't there (any more) stays set and is called missing. */
export function FileField({ id, input, value, disabled, onChange }: WidgetProps) {
  const kind = input.files ?? "";
  const names = useFileNames((state) => state.names[kind]);
  const trouble = useFileNames((state) => state.troubles[kind]);
  const { need, refresh } = useFileNames.getState();
  useEffect(() => need(kind), [kind, need]);
  const uploaded = t("widgets.uploaded");
  const isMissing = typeof value === "string" && names !== undefined && wouldBeListed(value) && !names.includes(value);
  const options = (names ?? []).map((name) => fileOption(name, uploaded));
  const mayBeUnset = !input.required && input.default === null;
  return (
    <Combo<string | null>
      id={id}
      options={mayBeUnset ? [{ value: null, label: t("widgets.unset") }, ...options] : options}
      shown={value === null ? "" : fileOption(textOf(value), uploaded).label}
      selected={(name) => name === value}
      disabled={disabled}
      placeholder={t(input.required ? "widgets.needed" : "widgets.unset")}
      trouble={isMissing ? t("widgets.missing", { name: textOf(value) }) : null}
      none={trouble ?? t("widgets.noFiles", { kind })}
      asTyped={(text) => (wouldBeListed(text) ? null : { value: text, label: text, hint: t("widgets.asTyped") })}
      onPick={onChange}
      onOpen={() => void refresh(kind)}
    />
  );
}
