/** For tests: a widget with a value that it can change, as the canvas and the form give it one. */
import { render } from "@testing-library/react";
import { useState } from "react";
import type { InputDefinition } from "../graph/definitions";
import type { Json } from "../graph/document";
import { widgetFor } from "./registry";

export interface Seen {
  /** Each value that was set, and whether it was part of a gesture. */
  changes: { value: Json; gesture: boolean }[];
  /** How many gestures have ended. */
  ended: number;
  value: Json;
}

export function inputOf(type: string, more: Partial<InputDefinition> = {}): InputDefinition {
  return { name: "x", type, required: false, default: null, ...more };
}

/** Show an input's widget under the label "Field". */
export function show(input: InputDefinition, start: Json, disabled = false): Seen {
  const seen: Seen = { changes: [], ended: 0, value: start };
  render(<Held input={input} start={start} disabled={disabled} seen={seen} />);
  return seen;
}

function Held({
  input,
  start,
  disabled,
  seen,
}: {
  input: InputDefinition;
  start: Json;
  disabled: boolean;
  seen: Seen;
}) {
  const [value, setValue] = useState(start);
  const Widget = widgetFor(input);
  if (Widget === null) throw new Error(`${input.type} has no widget`);
  return (
    <>
      <label htmlFor="field">Field</label>
      <Widget
        id="field"
        node="sample"
        nodeType="KSampler"
        input={input}
        value={value}
        disabled={disabled}
        onChange={(next, gesture = false) => {
          seen.changes.push({ value: next, gesture });
          seen.value = next;
          setValue(next);
        }}
        onGestureEnd={() => {
          seen.ended += 1;
        }}
      />
    </>
  );
}
