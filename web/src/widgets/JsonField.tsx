import { dumpJson, parseJson } from "../graph/document";
import { t } from "../i18n";
import { DraftField } from "./DraftField";
import type { WidgetProps } from "./types";

/** Any value, as JSON. */
export function JsonField(props: WidgetProps) {
  const { value, input } = props;
  return (
    <DraftField
      {...props}
      text={value === null ? "" : dumpJson(value)}
      read={(text) => {
        if (text.trim() === "" && !input.required) return { value: null, trouble: null };
        try {
          return { value: parseJson(text), trouble: null };
        } catch (error) {
          return { trouble: t("widgets.notJson", { why: error instanceof Error ? error.message : String(error) }) };
        }
      }}
      multiline
      placeholder={t("widgets.json")}
    />
  );
}
