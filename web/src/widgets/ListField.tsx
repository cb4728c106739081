import { t } from "../i18n";
import { DraftField } from "./DraftField";
import { isTextList, listText, readList } from "./lists";
import type { WidgetProps } from "./types";

/** A list of plain values: `1, 2, 3`, or texts one below the other. */
export function ListField(props: WidgetProps) {
  const { input } = props;
  const isTexts = isTextList(input);
  return (
    <DraftField
      {...props}
      text={listText(input, props.value)}
      read={(text) => {
        const reading = readList(input, text);
        if (reading.values === null) return { trouble: reading.trouble };
        const isUnset = text === "" && !input.required && input.default === null;
        return { value: isUnset ? null : reading.values, trouble: null };
      }}
      multiline={isTexts}
      placeholder={t(isTexts ? "widgets.onePerLine" : "widgets.withCommas")}
    />
  );
}
