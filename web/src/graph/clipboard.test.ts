import { expect, test } from "vitest";
import { copySelection, isClipboardText, pasteSelection } from "./clipboard";
import { DocumentError, emptyWorkflow, type GraphDoc } from "./document";
import { addGroup, addNote, addReroute, declareInput } from "./edits";
import { change, definitions, link, node, textToImage, workflow } from "./testing/world";

const start = change(textToImage() as GraphDoc, (draft) => {
  addGroup(draft, { title: "Out", pos: [1600, 0], size: [800, 400] });
  addNote(draft, { text: "# Hello", pos: [1700, 300], size: [200, 80] });
  addReroute(draft, "save.images", 0, [1800, 60]);
  addReroute(draft, "decode.vae", 0, [1500, 60]);
});

test("a paste keeps the inner wires, with their points, and goes where it is asked to", () => {
  const text = copySelection(start, ["decode", "save", "group", "note"], start);
  expect(isClipboardText(text)).toBe(true);
  const next = change(start, (draft) => {
    expect(pasteSelection(draft, text, [0, 1000], draft)).toEqual(["decode_2", "save_2", "group_2", "note_2"]);
  });
  expect(next.nodes["decode_2"]).toEqual({ type: "VAEDecode", type_version: 1 });
  expect(next.nodes["save_2"]?.inputs).toEqual({ images: link("decode_2.image") });
  expect(next.ui?.nodes?.["decode_2"]?.pos).toEqual([0, 1040]);
  expect(next.ui?.reroutes?.["save_2.images"]).toEqual([[200, 1060]]);
  expect(next.ui?.groups?.[1]).toMatchObject({ id: "group_2", pos: [0, 1000] });
  expect(next.ui?.notes?.[1]).toMatchObject({ id: "note_2", pos: [100, 1300] });
});

test("outer wires are kept if asked for, to nodes of the same kind", () => {
  const text = copySelection(start, ["decode"], start, { outerLinks: true });
  const here = change(start, (draft) => void pasteSelection(draft, text, null, draft));
  expect(here.nodes["decode_2"]?.inputs).toEqual(start.nodes["decode"]?.inputs);
  expect(here.ui?.nodes?.["decode_2"]?.pos).toEqual([1640, 80]);
  const elsewhere = workflow({ sampler: node("LoadImage"), checkpoint: node("LoadCheckpoint") });
  const there = change(elsewhere, (draft) => void pasteSelection(draft, text, [0, 0], draft));
  expect(there.nodes["decode"]?.inputs).toEqual({ vae: link("checkpoint.vae") });
});

test("what a declared input gave a node, its copy has as its own", () => {
  const seed = definitions.get("KSampler")?.inputs.find(({ name }) => name === "seed");
  if (seed === undefined) throw new Error("the fixture has no seed");
  const declared = change(start, (draft) => void declareInput(draft, "seed", { node: "sampler", input: "seed" }, seed));
  const text = copySelection(declared, ["sampler"], declared);
  const next = change(emptyWorkflow() as GraphDoc, (draft) => void pasteSelection(draft, text, [5, 5], draft));
  expect(next.nodes["sampler"]?.inputs).toEqual({ seed: 18446744073709551615n });
});

test("sub-graphs come along; another of the same name stays what it is", () => {
  const inner = { nodes: { x: node("LoadImage") }, outputs: { image: { from: "x.image" } } };
  const outer = { nodes: { y: node("subgraph:inner") }, outputs: { image: { from: "y.image" } } };
  const source = workflow(
    { a: node("subgraph:outer"), b: node("ForEach", { body: { $subgraph: "inner" } }) },
    { subgraphs: { inner, outer } },
  );
  const text = copySelection(source, ["a", "b"], source);
  const empty = change(emptyWorkflow(), (draft) => void pasteSelection(draft, text, null, draft));
  expect(empty.subgraphs).toEqual({ outer, inner });
  expect(Object.keys(empty.nodes)).toEqual(["a", "b"]);
  const same = change(source, (draft) => void pasteSelection(draft, text, null, draft));
  expect(Object.keys(same.subgraphs ?? {})).toEqual(["inner", "outer"]);
  const other = workflow({}, { subgraphs: { inner: { nodes: {} } } });
  const renamed = change(other, (draft) => void pasteSelection(draft, text, null, draft));
  expect(renamed.subgraphs?.["inner"]).toEqual({ nodes: {} });
  expect(renamed.subgraphs?.["inner_2"]).toEqual(inner);
  expect(renamed.nodes["b"]?.inputs).toEqual({ body: { $subgraph: "inner_2" } });
  expect(renamed.subgraphs?.["outer"]?.nodes["y"]?.type).toBe("subgraph:inner_2");
});

test.each([
  "hello",
  "{}",
  '{"format": "graphengine-selection"}',
  '{"format": "graphengine-selection", "nodes": {"a": 1}}',
  '{"format": "graphengine-selection", "nodes": {"a b": {"type": "X"}}}',
])("foreign text is refused: %s", (text) => {
  expect(() => pasteSelection(emptyWorkflow(), text, null, emptyWorkflow())).toThrow(DocumentError);
});
