import { expect, test } from "vitest";
import * as declared from "./declared";
import { DocumentError, type GraphDoc } from "./document";
import { shapeOf } from "./resolve";
import { change, definitions, link, textToImage } from "./testing/world";

const start = textToImage() as GraphDoc;
const input = (id: string, name: string) => {
  const found = shapeOf(start, id, definitions, start).inputs.find((each) => each.name === name);
  if (found === undefined) throw new Error(`${id} has no ${name}`);
  return found;
};
const declare = (graph: GraphDoc, id: string, name: string, as = name) =>
  declared.declareInput(graph, as, { node: id, input: name }, input(id, name));

test("a declared input takes over the value and the limits", () => {
  const next = change(start, (draft) => {
    expect(declare(draft, "sampler", "seed", "the seed!")).toBe("the_seed");
    expect(declare(draft, "sampler", "seed")).toBe("the_seed");
    expect(declare(draft, "sampler", "steps", "the_seed")).toBe("the_seed_2");
  });
  expect(next.inputs?.["the_seed"]).toMatchObject({
    type: "INT",
    default: 18446744073709551615n,
    min: 0,
    max: 18446744073709551615n,
    to: ["sampler.seed"],
  });
  expect(next.inputs?.["the_seed_2"]).toMatchObject({ default: 20 });
  expect(next.nodes["sampler"]?.inputs).not.toHaveProperty("seed");
  expect(declared.declaredFor(next, { node: "sampler", input: "seed" })).toBe("the_seed");
  expect(declared.declaredFor(next, { node: "sampler", input: "cfg" })).toBeNull();

  const back = change(next, (draft) => {
    declared.undeclareInput(draft, "the_seed");
    declared.undeclareInput(draft, "nobody");
  });
  expect(back.nodes["sampler"]?.inputs?.["seed"]).toBe(18446744073709551615n);
});

test("a linked input can't be declared", () => {
  expect(() => change(start, (draft) => declare(draft, "sampler", "model"))).toThrow(DocumentError);
});

test("form fields have the widget, choices and limits of what they lead to", () => {
  const next = change(start, (draft) => {
    declare(draft, "positive", "text", "positive_prompt");
    declare(draft, "sampler", "sampler_name");
    draft.inputs = { ...draft.inputs, free: { type: "STRING" } };
  });
  const fields = declared.formFields(next, definitions, next);
  expect(fields.map(({ label }) => label)).toEqual(["Positive prompt", "Sampler name", "Free"]);
  expect(fields[0]).toMatchObject({ value: "a red circle", to: ["positive.text"] });
  expect(fields[0]?.input.widget?.kind).toBe("textarea");
  expect(fields[1]?.input.choices).toContain("euler");
  expect(fields[2]).toMatchObject({ value: null, to: [] });
  const set = change(next, (draft) => {
    declared.setField(draft, "positive_prompt", "a cat");
    declared.setField(draft, "nobody", "a cat");
  });
  expect(declared.formFields(set, definitions, set)[0]?.value).toBe("a cat");
});

test("outputs are declared once", () => {
  const next = change(start, (draft) => {
    expect(declared.declareOutput(draft, "image", { node: "decode", output: "image" })).toBe("image");
    expect(declared.declareOutput(draft, "again", { node: "decode", output: "image" })).toBe("image");
    expect(declared.declareOutput(draft, "image", { node: "sampler", output: "latent" })).toBe("image_2");
    expect(declared.declareOutput(draft, "2d", { node: "latent", output: "latent" })).toBe("_2d");
    expect(declared.declareOutput(draft, "…", { node: "checkpoint", output: "vae" })).toBe("unnamed");
    declared.undeclareOutput(draft, "image");
  });
  expect(Object.keys(next.outputs ?? {})).toEqual(["image_2", "_2d", "unnamed"]);
});

test("an undeclared input gives way to a link", () => {
  const next = change(
    { ...start, inputs: { a: { type: "LATENT", default: 1, to: ["decode.samples", "gone.x"] } } },
    (draft) => declared.undeclareInput(draft, "a"),
  );
  expect(next.nodes["decode"]?.inputs?.["samples"]).toEqual(link("sampler.latent"));
});
