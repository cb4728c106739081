import { expect, test } from "vitest";
import type { GraphDoc } from "./document";
import { addGroup, addNote, setTitle } from "./edits";
import { searchGraph, searchKinds } from "./search";
import { change, definitions, textToImage } from "./testing/world";

const found = (...given: Parameters<typeof searchKinds>) => searchKinds(...given).map(({ kind }) => kind.id);

test("kinds are found by parts of their names, with a typo, and by their help", () => {
  expect(found(definitions, "vae")[0]).toBe("VAEDecode");
  expect(found(definitions, "ksam")[0]).toBe("KSampler");
  expect(found(definitions, "decde")).toContain("VAEDecode");
  expect(found(definitions, "denoise")).toContain("KSampler");
  expect(found(definitions, "xyzzy")).toEqual([]);
});

test("with nothing asked for, all are there in order", () => {
  expect(found(definitions, " ")).toHaveLength(definitions.size);
  expect(found(definitions, "")[0]).toBe("CLIPEncode");
});

test("a wire leaves only kinds that fit it, with the socket", () => {
  const wire = { type: "LATENT", direction: "output" } as const;
  expect(searchKinds(definitions, "decode", wire)).toMatchObject([{ kind: { id: "VAEDecode" }, socket: "samples" }]);
  expect(found(definitions, "load", wire)).toEqual([]);
  expect(found(definitions, "", wire)).toContain("KSampler");
});

test("the canvas is searched by titles, ids, kinds, values, groups and notes", () => {
  const graph = change(textToImage() as GraphDoc, (draft) => {
    setTitle(draft, "save", "Keep the circle");
    addGroup(draft, { title: "Circle group", pos: [0, 0], size: [1, 1] });
    addNote(draft, { text: "A circle\nis round", pos: [0, 0], size: [1, 1] });
  });
  expect(searchGraph(graph, "circle").map(({ node, field }) => [node, field])).toEqual([
    ["save", "title"],
    ["group", "group"],
    ["positive", "value"],
    ["note", "note"],
  ]);
  expect(searchGraph(graph, "NEGATIVE")[0]).toMatchObject({ node: "negative", field: "id" });
  expect(searchGraph(graph, "vaedecode")[0]).toMatchObject({ node: "decode", field: "type" });
  expect(searchGraph(graph, "18446744073709551615")[0]).toMatchObject({ text: "seed: 18446744073709551615" });
  expect(searchGraph(graph, "red circle")).toHaveLength(1);
  expect(searchGraph(graph, "  ")).toEqual([]);
});

test("what a declared input says is found at the nodes that it feeds, instead of what stands there", () => {
  const graph = change(textToImage() as GraphDoc, (draft) => {
    draft.inputs = {
      words: { type: "STRING", default: "a blue square", to: ["positive.text"] },
      open: { type: "INT" },
    };
  });
  expect(searchGraph(graph, "blue square")).toMatchObject([{ node: "positive", text: "words: a blue square" }]);
  expect(searchGraph(graph, "circle")).toEqual([]);
});
