import { expect, test } from "vitest";
import { diffWorkflows } from "./diff";
import type { WorkflowDoc } from "./document";
import { addNode, moveNodes, removeNodes, setInput, setMode, setTitle } from "./edits";
import { change, link, node, textToImage, workflow } from "./testing/world";

const texts = (before: WorkflowDoc, after: WorkflowDoc) => diffWorkflows(before, after).map(({ text }) => text);

test("nothing differs from itself", () => {
  expect(diffWorkflows(textToImage(), textToImage())).toEqual([]);
});

test("nodes, values, links, modes, titles and the layout, in words", () => {
  const before = textToImage();
  const after = change(before, (draft) => {
    removeNodes(draft, ["save"]);
    addNode(draft, "PreviewImage", [0, 0]);
    setInput(draft, "positive", "text", "a cat");
    setInput(draft, "sampler", "steps", 8);
    setInput(draft, "sampler", "positive", link("negative.conditioning"));
    setMode(draft, ["decode"], "bypassed");
    setTitle(draft, "decode", "Look");
    moveNodes(draft, [["decode", [1, 1]]]);
  });
  expect(texts(before, after)).toEqual([
    'positive.text: "a red circle" → "a cat"',
    "sampler.positive: positive.conditioning → negative.conditioning",
    "sampler.steps: nothing → 8",
    "decode is bypassed now.",
    'decode\'s title: nothing → "Look"',
    "save (SaveImage) was removed.",
    "preview_image (PreviewImage) was added.",
    "The layout changed.",
  ]);
  expect(diffWorkflows(before, after)[1]).toMatchObject({ kind: "linked", node: "sampler", input: "positive" });
});

test("declared sockets and sub-graphs", () => {
  const before = workflow(
    { a: node("X") },
    {
      inputs: { a: { type: "INT", default: 1 }, b: { type: "INT" }, c: { type: "INT" } },
      outputs: { o: { from: "a.x" }, p: { from: "a.x" } },
      subgraphs: { s: { nodes: { n: node("X", { v: 1 }) } }, gone: { nodes: {} } },
      ui: { view: { x: 0, y: 0, zoom: 1 } },
    },
  );
  const after = workflow(
    { a: node("Y", { body: { $subgraph: "s" } }) },
    {
      inputs: { a: { type: "INT", default: 2n }, b: { type: "FLOAT" }, d: { type: "INT" } },
      outputs: { o: { from: "a.y" } },
      subgraphs: { s: { nodes: { n: node("X", { v: { $subgraph: "t" } }) } }, fresh: { nodes: {} } },
      ui: { view: { x: 9, y: 9, zoom: 2 } },
    },
  );
  expect(texts(before, after).slice(0, -1)).toEqual([
    "a (X) was removed.",
    "a (Y) was added.",
    "a: 1 → 2",
    "The declared input b changed.",
    "The input c is no longer declared.",
    "The input d was declared.",
    "The output o: a.x → a.y",
    "The output p: a.x → nothing",
    "s/n.v: 1 → t",
    "The sub-graph gone was removed.",
    "The sub-graph fresh was added.",
  ]);
});
