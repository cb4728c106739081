import { describe, expect, it } from "vitest";
import type { Definitions, InputDefinition, NodeDefinition } from "./definitions";
import type { GraphDoc } from "./document";
import { modelsBefore } from "./models";

const input = (name: string, files: string | null, usual: string | null = null): InputDefinition => ({
  name,
  type: "STRING",
  required: false,
  default: usual,
  files,
});
const kind = (id: string, inputs: InputDefinition[]): [string, NodeDefinition] => [
  id,
  { id, version: 1, pack: "", category: "", doc: "", inputs, outputs: [], variables: {}, output_node: false },
];
const KINDS: Definitions = new Map([
  kind("Load", [input("file", "checkpoints", "usual")]),
  kind("Adapt", [input("file", "loras"), input("clip", null)]),
  kind("Read", [input("text", null), input("clip", null)]),
]);
const link = (to: string) => ({ $link: to });

describe("the models that a node's values are made with", () => {
  const graph: GraphDoc = {
    nodes: {
      a: { type: "Load", inputs: { file: "one" } },
      b: { type: "Load", inputs: { file: "two" } },
      adapted: { type: "Adapt", inputs: { file: "pets", clip: link("a.clip") } },
      prompt: { type: "Read", inputs: { clip: link("adapted.clip") } },
      own: { type: "Read", inputs: { clip: link("plain.clip") } },
      plain: { type: "Load" },
    },
  };

  it("are those that lie before it, adapters too", () => {
    expect(modelsBefore(graph, "prompt", KINDS, graph)).toEqual(["checkpoints/one", "loras/pets"]);
  });

  it("are the usual ones where nothing is set", () => {
    expect(modelsBefore(graph, "own", KINDS, graph)).toEqual(["checkpoints/usual"]);
  });

  it("are all that the workflow names where they come from another graph", () => {
    const inner: GraphDoc = { nodes: { prompt: { type: "Read" }, load: { type: "Load", inputs: { file: "deep" } } } };
    const outer: GraphDoc = { nodes: { a: { type: "Load", inputs: { file: "one" } } }, subgraphs: { inner } };
    expect(modelsBefore(inner, "prompt", KINDS, outer)).toEqual(["checkpoints/deep", "checkpoints/one"]);
  });

  it("are none of an unknown node in an empty graph, and circles end", () => {
    const round: GraphDoc = {
      nodes: { x: { type: "Odd", inputs: { a: link("y.a") } }, y: { type: "Odd", inputs: { a: link("x.a") } } },
    };
    expect(modelsBefore(round, "x", KINDS, round)).toEqual([]);
    expect(modelsBefore(round, "nobody", KINDS, round)).toEqual([]);
  });
});
