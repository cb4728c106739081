import { describe, expect, test } from "vitest";
import { canConnect, compatibleKinds, connect, disconnect, fittingSockets, spliceInto } from "./connect";
import { change, definitions, link, node, textToImage, workflow } from "./testing/world";

const document = textToImage();
const judge = (from: string, to: string, graph = document) => {
  const [source, output] = from.split(".") as [string, string];
  const [target, input] = to.split(".") as [string, string];
  return canConnect(graph, { node: source, output }, { node: target, input }, definitions, graph);
};

describe("canConnect", () => {
  test("types that fit", () => {
    expect(judge("checkpoint.model", "sampler.model")).toEqual({ ok: true });
  });
  test("a mismatch is said in words, with the node that converts", () => {
    const graph = workflow({ image: node("LoadImage"), mask: node("ImageToMask"), other: node("Switch") });
    const two = workflow({ ...graph.nodes, sampler: node("KSampler"), latent: node("EmptyLatent") });
    expect(judge("checkpoint.clip", "sampler.model")).toEqual({
      ok: false,
      reason: "It gives a CLIP; this takes a MODEL.",
    });
    expect(judge("latent.latent", "mask.image", two)).toEqual({
      ok: false,
      reason: "It gives a LATENT; this takes an IMAGE.",
      converter: { type: "VAEDecode", input: "samples", output: "image" },
    });
  });
  test("a circle is named", () => {
    const graph = workflow({
      a: node("ImageScale"),
      b: node("ImageScale", { image: link("a.image") }),
      c: node("ImageScale", { image: link("b.image") }),
    });
    expect(judge("c.image", "a.image", graph)).toEqual({
      ok: false,
      reason: "That would be a circle: a → b → c → a.",
    });
    expect(judge("a.image", "a.image", graph)).toEqual({ ok: false, reason: "A node can't feed itself." });
  });
  test("what isn't there is named", () => {
    expect(judge("nobody.image", "save.images")).toMatchObject({ reason: "There is no node nobody." });
    expect(judge("decode.image", "nobody.images")).toMatchObject({ reason: "There is no node nobody." });
    expect(judge("decode.pixels", "save.images")).toMatchObject({
      reason: "decode (VAEDecode) has no output pixels.",
    });
    expect(judge("decode.image", "save.pixels")).toMatchObject({ reason: "save (SaveImage) has no input pixels." });
  });
  test("what shares a type variable must be of one type, but for the input itself", () => {
    const graph = workflow({
      image: node("LoadImage"),
      checkpoint: node("LoadCheckpoint"),
      switch: node("Switch", { if_true: link("image.image") }),
      whole: node("Round"),
      number: node("Calculate"),
      numbers: node("Switch", { if_true: link("whole.whole") }),
    });
    expect(judge("checkpoint.model", "switch.if_false", graph).ok).toBe(false);
    expect(judge("checkpoint.model", "switch.if_true", graph).ok).toBe(true);
    expect(judge("image.mask", "switch.if_false", graph).ok).toBe(false);
    expect(judge("number.number", "numbers.if_false", graph).ok).toBe(true);
  });
  test("a variable takes what it may stand for only", () => {
    const graph = workflow({ image: node("LoadImage"), train: node("TrainLoop"), checkpoint: node("LoadCheckpoint") });
    expect(judge("image.image", "train.model", graph).ok).toBe(false);
    expect(judge("checkpoint.vae", "train.model", graph).ok).toBe(true);
  });
  test("a list maps, one value is wrapped", () => {
    const graph = workflow({
      image: node("LoadImage"),
      list: node("ImageToList", { images: link("image.image") }),
      scale: node("ImageScale"),
      pick: node("SelectItem"),
    });
    expect(judge("list.images", "scale.image", graph)).toEqual({ ok: true, mapped: true });
    expect(judge("image.image", "pick.items", graph)).toEqual({ ok: true, wrapped: true });
  });
});

test("all sockets that a wire fits are found at once", () => {
  const fitting = fittingSockets(document, { node: "decode", name: "image", side: "output" }, definitions, document);
  expect([...fitting]).toEqual(["save.images"]);
  const into = fittingSockets(document, { node: "sampler", name: "positive", side: "input" }, definitions, document);
  expect([...into].sort()).toEqual(["negative.conditioning", "positive.conditioning"]);
});

test("kinds for a wire: those made for its type come first", () => {
  const readers = compatibleKinds(definitions, { type: "IMAGE", direction: "output" });
  const ids = readers.map(({ kind }) => kind.id);
  expect(readers.find(({ kind }) => kind.id === "SaveImage")?.socket).toBe("images");
  expect(ids).not.toContain("VAEDecode");
  expect(ids.indexOf("SaveImage")).toBeLessThan(ids.indexOf("Switch"));
  const sources = compatibleKinds(definitions, { type: "MODEL", direction: "input" });
  expect(sources[0]?.kind.id).toBe("LoadCheckpoint");
  expect(sources.map(({ kind }) => kind.id)).toContain("TrainLoop");
});

test("linking replaces what was there, and a declared input that led there lets go", () => {
  const start = {
    ...textToImage(),
    inputs: { prompt: { type: "STRING", default: "x", to: ["positive.text"] } },
    ui: { reroutes: { "save.images": [[1, 2]] as [number, number][] } },
  };
  const next = change(start, (draft) => {
    connect(draft, { node: "scale", output: "image" }, { node: "save", input: "images" });
    connect(draft, { node: "text", output: "text" }, { node: "positive", input: "text" });
    connect(draft, { node: "a", output: "b" }, { node: "nobody", input: "text" });
  });
  expect(next.nodes["save"]?.inputs).toEqual({ images: link("scale.image") });
  expect(next.ui.reroutes).toEqual({});
  expect(next.inputs.prompt.to).toEqual([]);
});

test("cutting a link leaves values alone", () => {
  const next = change(document, (draft) => {
    disconnect(draft, { node: "save", input: "images" });
    disconnect(draft, { node: "positive", input: "text" });
  });
  expect(next.nodes["save"]?.inputs).toEqual({});
  expect(next.nodes["positive"]).toBe(document.nodes["positive"]);
});

test("a node dropped on a wire goes between", () => {
  const start = workflow({ ...document.nodes, scale: node("ImageScale"), lonely: node("CLIPEncode") });
  const next = change(start, (draft) => {
    expect(spliceInto(draft, "scale", { node: "save", input: "images" }, definitions, draft)).toBe(true);
    expect(spliceInto(draft, "lonely", { node: "decode", input: "vae" }, definitions, draft)).toBe(false);
    expect(spliceInto(draft, "lonely", { node: "positive", input: "text" }, definitions, draft)).toBe(false);
  });
  expect(next.nodes["scale"]?.inputs).toEqual({ image: link("decode.image") });
  expect(next.nodes["save"]?.inputs).toEqual({ images: link("scale.image") });
});
