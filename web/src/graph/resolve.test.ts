import { expect, test } from "vitest";
import type { WorkflowDoc } from "./document";
import { moveNodes, setInput } from "./edits";
import { shapeOf, shapesOf, sourcesFirst } from "./resolve";
import { change, definitions, link, node, textToImage, workflow } from "./testing/world";

function types(document: WorkflowDoc, id: string) {
  const shape = shapeOf(document, id, definitions, document);
  const of = (each: { name: string; type: string }) => [each.name, each.type];
  return {
    inputs: Object.fromEntries(shape.inputs.map(of)),
    outputs: Object.fromEntries(shape.outputs.map(of)),
  };
}

test("a kind's sockets are its definition's", () => {
  const document = textToImage();
  const shape = shapeOf(document, "decode", definitions, document);
  expect(shape.definition).toBe(definitions.get("VAEDecode"));
  expect(shape.missing).toBe(false);
  expect(types(document, "decode").outputs).toEqual({ image: "IMAGE" });
});

test("a type variable stands for what is linked", () => {
  /** image ──▶ switch: both choices and the value are pictures then. */
  const document = workflow({
    image: node("LoadImage"),
    switch: node("Switch", { if_true: link("image.image") }),
    free: node("Switch"),
    train: node("TrainLoop"),
  });
  expect(types(document, "switch").outputs).toEqual({ value: "IMAGE" });
  expect(types(document, "switch").inputs["if_false"]).toBe("IMAGE");
  expect(types(document, "free").outputs).toEqual({ value: "*" });
  expect(types(document, "train").inputs["model"]).toBe("MODEL|VAE|CLIP");
});

test("a node that is fed a list runs once per item and gives lists", () => {
  const document = workflow({
    image: node("LoadImage"),
    list: node("ImageToList", { images: link("image.image") }),
    scale: node("ImageScale", { image: link("list.images") }),
    pick: node("SelectItem", { items: link("scale.image") }),
  });
  expect(types(document, "scale").outputs).toEqual({ image: "[IMAGE]" });
  expect(shapeOf(document, "scale", definitions, document).mapped).toEqual(new Set(["image"]));
  expect(types(document, "pick").outputs).toEqual({ item: "IMAGE" });
});

test("INT and FLOAT at one variable make it FLOAT", () => {
  const document = workflow({
    whole: node("Round"),
    number: node("Calculate"),
    switch: node("Switch", { if_true: link("whole.whole"), if_false: link("number.number") }),
  });
  expect(types(document, "switch").outputs).toEqual({ value: "FLOAT" });
});

const halves = {
  meta: { description: "Half of it." },
  inputs: {
    image: { type: "IMAGE", to: ["scale.image"] },
    width: { type: "INT", default: 32, to: ["scale.width"] },
  },
  outputs: { half: { from: "scale.image", doc: "Smaller." } },
  nodes: { scale: node("ImageScale", { height: 32 }) },
};

test("a sub-graph's node has its declared sockets, with limits and help of what they lead to", () => {
  const document = workflow({ small: node("subgraph:halves") }, { subgraphs: { halves } });
  const shape = shapeOf(document, "small", definitions, document);
  expect(shape).toMatchObject({ label: "halves", doc: "Half of it.", subgraph: "halves", missing: false });
  expect(shape.outputs).toEqual([{ name: "half", type: "IMAGE", doc: "Smaller." }]);
  const target = definitions.get("ImageScale")?.inputs.find((input) => input.name === "width");
  expect(shape.inputs[0]).toMatchObject({ name: "image", type: "IMAGE", required: true });
  expect(shape.inputs[1]).toMatchObject({ default: 32, required: false, maximum: target?.maximum, doc: target?.doc });
});

test("a loop takes over its body's sockets but for those it supplies or reads", () => {
  const body = {
    inputs: { item: { type: "IMAGE", to: ["scale.image"] }, width: { type: "INT", to: ["scale.width"] } },
    outputs: { half: { from: "scale.image" } },
    nodes: { scale: node("ImageScale") },
  };
  const document = workflow({ each: node("ForEach", { body: { $subgraph: "body" } }) }, { subgraphs: { body } });
  expect(types(document, "each").outputs).toEqual({ half: "[IMAGE]" });
  expect(Object.keys(types(document, "each").inputs)).toEqual(["items", "body", "on_error", "width"]);
  expect(shapeOf(document, "each", definitions, document).subgraph).toBe("body");
});

test("declared inputs bind variables inside a sub-graph", () => {
  const inner = {
    inputs: { a: { type: "MODEL", to: ["switch.if_true"] } },
    outputs: { value: { from: "switch.value" } },
    nodes: { switch: node("Switch") },
  };
  const document = workflow({ outer: node("subgraph:inner") }, { subgraphs: { inner } });
  expect(types(document, "outer").outputs).toEqual({ value: "MODEL" });
  expect(shapeOf(document.subgraphs?.["inner"] as typeof inner, "switch", definitions, document).outputs[0]?.type).toBe(
    "MODEL",
  );
});

test("a sub-graph in itself ends", () => {
  const inner = { outputs: { value: { from: "again.value" } }, nodes: { again: node("subgraph:inner") } };
  const document = workflow({ outer: node("subgraph:inner") }, { subgraphs: { inner } });
  expect(types(document, "outer").outputs).toEqual({ value: "*" });
});

test("an unknown kind is a placeholder with all that the file mentions", () => {
  const document = workflow(
    {
      image: node("LoadImage"),
      blur: node("mypack.Blur", { image: link("image.image"), radius: 2.5, big: 2n ** 64n, name: "x", on: true }),
      save: node("SaveImage", { images: link("blur.blurred") }),
      file: node("file:other.json", { a: { $subgraph: "x" } }),
      gone: node("subgraph:gone"),
    },
    { inputs: { r: { type: "FLOAT", to: ["blur.sigma"] } }, outputs: { edge: { from: "blur.edges" } } },
  );
  const shape = shapeOf(document, "blur", definitions, document);
  expect(shape).toMatchObject({ missing: true, pack: "mypack", label: "mypack.Blur" });
  expect(types(document, "blur")).toEqual({
    inputs: { image: "*", radius: "FLOAT", big: "INT", name: "STRING", on: "BOOLEAN", sigma: "*" },
    outputs: { blurred: "*", edges: "*" },
  });
  expect(shapeOf(document, "file", definitions, document)).toMatchObject({ missing: false });
  expect(types(document, "file").inputs).toEqual({ a: "SUBGRAPH" });
  expect(shapeOf(document, "gone", definitions, document)).toMatchObject({ missing: true, label: "gone", pack: "" });
  expect(shapeOf(document, "nobody", definitions, document).missing).toBe(true);
});

test("shapes stay the same objects while nothing about them changes", () => {
  const document = textToImage();
  const before = shapesOf(document, definitions, document);
  const moved = change(document, (draft) => moveNodes(draft, [["save", [1, 2]]]));
  expect(shapesOf(moved, definitions, moved)).toBe(before);
  const typed = change(document, (draft) => setInput(draft, "positive", "text", "a cat"));
  const after = shapesOf(typed, definitions, typed);
  expect(after).toBe(before);
  const linked = change(document, (draft) => setInput(draft, "positive", "text", link("nobody.text")));
  const other = shapesOf(linked, definitions, linked);
  expect(other).not.toBe(before);
  for (const [id, shape] of before) expect(other.get(id)).toBe(shape);
});

test("a placeholder follows the values of its node", () => {
  const document = workflow({ blur: node("mypack.Blur", { radius: 2 }) });
  const typed = change(document, (draft) => setInput(draft, "blur", "radius", 3));
  expect(shapesOf(typed, definitions, typed)).toBe(shapesOf(document, definitions, document));
  const text = change(document, (draft) => setInput(draft, "blur", "radius", "3"));
  expect(types(text, "blur").inputs).toEqual({ radius: "STRING" });
  const more = change(document, (draft) => setInput(draft, "blur", "more", 1));
  expect(types(more, "blur").inputs).toEqual({ radius: "INT", more: "INT" });
});

test("sources come first, however long the chain", () => {
  const nodes = Object.fromEntries(
    Array.from({ length: 5000 }, (_, place) => [
      `n${place}`,
      node("ImageScale", place < 4999 ? { image: link(`n${place + 1}.image`) } : {}),
    ]),
  );
  const order = sourcesFirst(workflow(nodes));
  expect(order).toHaveLength(5000);
  expect(order[0]).toBe("n4999");
});
