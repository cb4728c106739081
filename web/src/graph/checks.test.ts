import { describe, expect, test } from "vitest";
import { checkGraph } from "./checks";
import type { InputDefinition } from "./definitions";
import type { GraphDoc, Json } from "./document";
import { checkValue } from "./literals";
import { definitions, link, node, textToImage, workflow } from "./testing/world";

const codes = (graph: GraphDoc, document: GraphDoc = graph) =>
  checkGraph(graph, definitions, document).map((each) => [each.code, each.node, each.input]);

test("a sound graph has no problems", () => {
  expect(checkGraph(textToImage(), definitions, textToImage())).toEqual([]);
});

test("what is missing, wrong or unknown is named", () => {
  const graph = workflow({
    sampler: node("KSampler", {
      steps: 0,
      cfg: "x",
      colour: 1,
      model: link("nobody.model"),
      positive: { $link: "a", x: 1 },
    }),
    scale: node("ImageScale", { image: link("sampler.latent"), strange: link("sampler.latent") }),
    blur: node("mypack.Blur"),
    gone: node("subgraph:gone"),
    each: node("ForEach", { items: link("sampler.latent"), body: { $subgraph: "gone" } }),
    loose: node("LoadGone"),
    muted: { ...node("SaveImage"), mode: "muted" },
  });
  expect(codes(graph)).toEqual([
    ["value_too_small", "sampler", "steps"],
    ["wrong_type", "sampler", "cfg"],
    ["malformed_link", "sampler", "positive"],
    ["missing_input", "sampler", "negative"],
    ["missing_input", "sampler", "latent_image"],
    ["unknown_input", "sampler", "colour"],
    ["dangling_link", "sampler", "model"],
    ["unknown_input", "scale", "strange"],
    ["wrong_link_type", "scale", "image"],
    ["unknown_node", "blur", null],
    ["unknown_subgraph", "gone", null],
    ["unknown_subgraph", "each", "body"],
    ["unknown_node", "loose", null],
  ]);
});

test("declared inputs count as given, and are checked themselves", () => {
  const graph = {
    ...workflow({ clip: node("CLIPEncode"), latent: node("EmptyLatent") }),
    inputs: { w: { type: "INT", default: -1, to: ["latent.width"] }, c: { type: "CLIP", to: ["clip.clip"] } },
  };
  expect(codes(graph)).toEqual([
    ["missing_input", "clip", "clip"],
    ["value_too_small", "latent", "width"],
  ]);
  const outer = workflow({}, { subgraphs: { graph } });
  expect(codes(graph, outer)).toEqual([["value_too_small", "latent", "width"]]);
});

test("circles are found, and sub-graphs in themselves", () => {
  const graph = workflow({
    a: node("ImageScale", { image: link("c.image") }),
    b: node("ImageScale", { image: link("a.image") }),
    c: node("ImageScale", { image: link("b.image") }),
    self: node("ImageScale", { image: link("self.image") }),
  });
  const found = checkGraph(graph, definitions, graph);
  expect(found.map(({ code, node: id }) => [code, id])).toEqual([
    ["cycle", "b"],
    ["cycle", "self"],
  ]);
  expect(found[0]?.message).toContain("b → c → a → b");
  const inner: GraphDoc = { nodes: { again: node("subgraph:inner") } };
  const document = workflow({ x: node("subgraph:inner") }, { subgraphs: { inner } });
  expect(codes(inner, document)).toEqual([["recursion", "again", null]]);
});

describe("values", () => {
  const input = (more: Partial<InputDefinition>): InputDefinition => ({
    name: "x",
    type: "INT",
    required: true,
    default: null,
    ...more,
  });
  test.each<[Partial<InputDefinition>, Json, string | null]>([
    [{}, 1, null],
    [{}, 1.5, "1.5 is not a whole number."],
    [{}, 2n ** 64n, null],
    [{ maximum: 2n ** 64n - 1n }, 2n ** 64n, "18446744073709551616 is too large."],
    [{ type: "FLOAT" }, 1n, null],
    [{ type: "FLOAT", exclusive_minimum: 0 }, 0, "0 is too small."],
    [{ type: "FLOAT", exclusive_maximum: 1 }, 1, "1 is too large."],
    [{ type: "INT|STRING" }, true, "true is not a whole number or a text."],
    [{ type: "BOOLEAN" }, true, null],
    [{ type: "*" }, "x", null],
    [{ type: "MODEL" }, "x", 'It takes a link to a MODEL, not the value "x".'],
    [{ type: "SUBGRAPH" }, "x", "It takes a sub-graph."],
    [{ required: false }, null, null],
    [{ multiple_of: 8 }, 16, null],
    [{ multiple_of: 8 }, 17, "17 is not a multiple of 8."],
    [{ type: "FLOAT", multiple_of: 0.1 }, 0.3, null],
    [{ type: "STRING", choices: ["a", "b"] }, "a", null],
    [{ type: "STRING", choices: ["a", "b"] }, "c", '"c" is not one of its choices.'],
    [{ type: "STRING", min_length: 1 }, "", "The text is too short."],
    [{ type: "STRING", max_length: 1 }, "🎨", null],
    [{ type: "STRING", max_length: 1 }, "ab", "The text is too long."],
    [{ type: "STRING", pattern: "^a" }, "b", '"b" does not fit.'],
    [{ type: "STRING", pattern: "(?P<python>a)" }, "b", null],
    [{ type: "[INT]" }, [1, 2], null],
    [{ type: "[INT]" }, [1, "x"], 'item 1: "x" is not a whole number.'],
    [{ type: "[INT]" }, 1, "1 is not a list."],
    [{ type: "[$T]" }, [1, "x"], null],
  ])("%o takes %o: %s", (more, value, message) => {
    expect(checkValue(input(more), value)?.message ?? null).toBe(message);
  });
  test.each<[Partial<InputDefinition>, string]>([
    [{ minimum: 1, maximum: 5 }, "Choose a value from 1 to 5."],
    [{ minimum: 1 }, "Choose a value of at least 1."],
    [{ exclusive_minimum: 1, exclusive_maximum: 5 }, "Choose a value above 1 and below 5."],
  ])("%o: %s", (more, remedy) => expect(checkValue(input(more), -1)?.remedy).toBe(remedy));
});
