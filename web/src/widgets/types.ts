import type { ComponentType } from "react";
import type { InputDefinition } from "../graph/definitions";
import type { Json } from "../graph/document";

export interface WidgetProps {
  /** For labels: unique on the page. */
  id: string;
  /** The node's full id, and its kind. */
  node: string;
  nodeType: string;
  input: InputDefinition;
  /** What is set, or else the default. */
  value: Json;
  disabled: boolean;
  /**
   * Set the value.
   *
   * @param gesture Part of one gesture, such as a drag: all until `onGestureEnd` is one entry of the history.
   */
  onChange(value: Json, gesture?: boolean): void;
  onGestureEnd(): void;
}

export type Widget = ComponentType<WidgetProps>;
