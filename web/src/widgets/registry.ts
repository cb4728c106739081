/** The widget that edits an input. */
import type { InputDefinition } from "../graph/definitions";
import "../styles/widgets.css";
import { type WidgetKind, widgetKind } from "../graph/widgetKind";
import { ChoiceField } from "./ChoiceField";
import { ColourField } from "./ColourField";
import { CurveField } from "./CurveField";
import { FileField } from "./FileField";
import { ImageField } from "./ImageField";
import { JsonField } from "./JsonField";
import { ListField } from "./ListField";
import { NumberBox } from "./NumberBox";
import { PromptField } from "./PromptField";
import { SeedField } from "./SeedField";
import { SwitchField } from "./SwitchField";
import { TextField } from "./TextField";
import type { Widget } from "./types";

const WIDGETS: Record<WidgetKind, Widget> = {
  number: NumberBox,
  seed: SeedField,
  switch: SwitchField,
  text: TextField,
  prompt: PromptField,
  choice: ChoiceField,
  file: FileField,
  image: ImageField,
  colour: ColourField,
  curve: CurveField,
  list: ListField,
  json: JsonField,
};

/** Give the widget of an input; null for one that only a link can feed. */
export function widgetFor(input: InputDefinition): Widget | null {
  const kind = widgetKind(input);
  return kind === null ? null : WIDGETS[kind];
}
