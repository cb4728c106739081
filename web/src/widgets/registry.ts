/** The widget that edits an input. */
import { lazily } from "../app/lazily";
import type { InputDefinition } from "../graph/definitions";
import "../styles/widgets.css";
import "../styles/texts.css";
import "../styles/pictures.css";
import "../styles/form.css";
import "../styles/mask.css";
import { type WidgetKind, widgetKind } from "../graph/widgetKind";
import { ChoiceField } from "./ChoiceField";
import { FileField } from "./FileField";
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
  image: lazily(async () => (await import("./ImageField")).ImageField),
  colour: lazily(async () => (await import("./ColourField")).ColourField),
  curve: lazily(async () => (await import("./CurveField")).CurveField),
  list: lazily(async () => (await import("./ListField")).ListField),
  json: lazily(async () => (await import("./JsonField")).JsonField),
};

/** Give the widget of an input; null for one that only a link can feed. */
export function widgetFor(input: InputDefinition): Widget | null {
  const kind = widgetKind(input);
  return kind === null ? null : WIDGETS[kind];
}
