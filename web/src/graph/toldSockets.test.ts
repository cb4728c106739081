import { expect, test } from "vitest";
import { readDefinitions } from "./definitions";
import { setInput } from "./edits";
import { shapeOf } from "./resolve";
import { change, link, node, workflow } from "./testing/world";
import { type Choice, untold, withTold } from "./toldSockets";

const definitions = readDefinitions({
  nodes: {
    Form: { inputs: [{ name: "form", type: "STRING", required: false, default: "sum" }], sockets_from: ["form"] },
    Show: { inputs: [{ name: "value", type: "*" }], output_node: true },
  },
});
const SUM = { inputs: [{ name: "first", type: "FLOAT" }], outputs: [{ name: "sum", type: "FLOAT" }], doc: "Adds." };

/** form ──▶ out */
const document = workflow({ form: node("Form", { first: 1 }), out: node("Show", { value: link("form.sum") }) });

function names(of: readonly { name: string }[]): string[] {
  return of.map((each) => each.name);
}

test("until a choice is told of, its node keeps what the graph mentions", () => {
  const shape = shapeOf(document, "form", definitions, document);
  expect(names(shape.inputs)).toEqual(["form", "first"]);
  expect(shape.outputs).toEqual([{ name: "sum", type: "*" }]);
});

test("a choice is asked for once, in sub-graphs too, and its node has what was told", () => {
  const inner = { ...workflow({ again: node("Form"), other: node("Form", { form: "text" }) }) };
  const asked = untold({ ...document, subgraphs: { inner } }, definitions);
  expect(asked.map((each) => each.inputs)).toEqual([{ form: "sum" }, { form: "text" }]);
  const told = withTold(definitions, asked[0] as Choice, SUM);
  const shape = shapeOf(document, "form", told, document);
  expect(shape.inputs.map((each) => [each.name, each.required])).toEqual([
    ["form", false],
    ["first", true],
  ]);
  expect(shape.outputs).toEqual(SUM.outputs);
  expect(shape.doc).toBe("Adds.");
  expect(untold(document, told)).toEqual([]);
  expect(names(told.get("Form")?.inputs ?? [])).toEqual(["form"]);
});

test("another choice has other sockets, and a linked one none", () => {
  const told = withTold(definitions, untold(document, definitions)[0] as Choice, SUM);
  shapeOf(document, "form", told, document);
  const other = change(document, (draft) => setInput(draft, "form", "form", "text"));
  expect(shapeOf(other, "form", told, other).outputs).toEqual([{ name: "sum", type: "*" }]);
  expect(untold(other, told)).toHaveLength(1);
  const linked = workflow({ form: node("Form", { form: link("out.value") }) });
  expect(untold(linked, told)).toEqual([]);
});
