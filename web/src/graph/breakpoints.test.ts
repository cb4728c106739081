import { describe, expect, test } from "vitest";
import { stopOf } from "./breakpoints";
import type { GraphDoc, WorkflowDoc } from "./document";
import { renameNode, toggleLook } from "./edits";
import { change, link, node, textToImage, workflow } from "./testing/world";

/** checkpoint → positive, negative, latent → sampler → decode → save, stopping before these. */
function stopping(...ids: string[]): WorkflowDoc {
  return change(textToImage(), (draft) => toggleLook(draft as GraphDoc, ids, "breakpoint"));
}

/** A node `a` before the sub-graph's node `s`, with `first` and `second` in it, and `z` after it. */
function nested(recipe: (inner: GraphDoc, outer: WorkflowDoc) => void): WorkflowDoc {
  const inner: GraphDoc = {
    inputs: { given: { type: "IMAGE", to: ["first.image"] } },
    outputs: { made: { from: "second.image" } },
    nodes: { first: node("Blur"), second: node("Blur", { image: link("first.image") }) },
  };
  const nodes = {
    a: node("Paint"),
    s: node("subgraph:inner", { given: link("a.image") }),
    z: node("SaveImage", { images: link("s.made") }),
  };
  return change(workflow(nodes, { subgraphs: { inner } }), (draft) =>
    recipe(draft.subgraphs?.["inner"] as GraphDoc, draft),
  );
}

test("without breakpoints a run comes to its end", () => {
  expect(stopOf(textToImage(), null)).toBeNull();
});

test("a run stops before a node and is for what feeds it", () => {
  const stop = stopOf(stopping("sampler"), null);
  expect(stop?.before).toEqual(["sampler"]);
  expect(new Set(stop?.targets)).toEqual(new Set(["checkpoint", "positive", "negative", "latent"]));
});

test("of two in a row it stops before the first, then before the second", () => {
  const document = stopping("sampler", "save");
  expect(stopOf(document, null)?.before).toEqual(["sampler"]);
  expect(stopOf(document, null)?.targets).not.toContain("decode");
  expect(stopOf(document, null, new Set(["sampler"]))).toEqual({ before: ["save"], targets: ["decode"] });
  expect(stopOf(document, null, new Set(["sampler", "save"]))).toBeNull();
});

test("a run for something else doesn't stop", () => {
  const document = stopping("decode");
  expect(stopOf(document, ["sampler"])).toBeNull();
  expect(stopOf(document, ["save"])).toEqual({ before: ["decode"], targets: ["sampler", "checkpoint"] });
  expect(stopOf(document, ["decode"])?.before).toEqual(["decode"]);
});

test("before a node that nothing feeds there is nothing to run", () => {
  expect(stopOf(stopping("checkpoint"), null)).toEqual({ before: ["checkpoint"], targets: [] });
});

test("what is off neither stops a run nor is run; what is bypassed is looked through", () => {
  const muted = change(stopping("save"), (draft) => {
    (draft.nodes["save"] as { mode?: string }).mode = "muted";
  });
  expect(stopOf(muted, null)).toBeNull();
  const bypassed = change(stopping("save"), (draft) => {
    (draft.nodes["decode"] as { mode?: string }).mode = "bypassed";
  });
  expect(stopOf(bypassed, null)?.targets).toEqual(["sampler", "checkpoint"]);
});

describe("sub-graphs", () => {
  test("a breakpoint inside stops before that node, wherever it is fed from", () => {
    const second = nested((inner) => toggleLook(inner, ["second"], "breakpoint"));
    expect(stopOf(second, null)).toEqual({ before: ["s/second"], targets: ["s/first"] });
    expect(stopOf(second, ["s"])?.before).toEqual(["s/second"]);
    const first = nested((inner) => toggleLook(inner, ["first"], "breakpoint"));
    expect(stopOf(first, null)).toEqual({ before: ["s/first"], targets: ["a"] });
  });

  test("one on the sub-graph's node stops before all of it, and one behind it at its inner end", () => {
    const whole = nested((_inner, outer) => toggleLook(outer, ["s", "z"], "breakpoint"));
    expect(stopOf(whole, null)).toEqual({ before: ["s"], targets: ["a"] });
    expect(stopOf(whole, null, new Set(["s"]))).toEqual({ before: ["z"], targets: ["s/second"] });
    expect(stopOf(whole, ["s/second"])?.before).toEqual(["s"]);
  });

  test("a sub-graph inside of itself is no endless way", () => {
    const endless = nested((inner) => {
      inner.nodes["again"] = node("subgraph:inner");
      toggleLook(inner, ["second"], "breakpoint");
    });
    expect(stopOf(endless, null)?.before).toEqual(["s/second"]);
  });
});

test("a cycle, which can't run, is no endless way either", () => {
  const nodes = { a: node("Blur", { image: link("b.image") }), b: node("Blur", { image: link("a.image") }) };
  const document = change(workflow(nodes), (draft) => toggleLook(draft as GraphDoc, ["a"], "breakpoint"));
  expect(stopOf(document, null)?.before).toEqual(["a"]);
});

test("it belongs to the node: it goes with it, and is taken off if all have one", () => {
  const renamed = change(stopping("sampler"), (draft) => renameNode(draft as GraphDoc, "sampler", "denoise"));
  expect(stopOf(renamed, null)?.before).toEqual(["denoise"]);
  const both = change(stopping("sampler"), (draft) => toggleLook(draft as GraphDoc, ["sampler", "save"], "breakpoint"));
  expect(both.ui?.nodes?.["save"]?.breakpoint).toBe(true);
  const none = change(both, (draft) => toggleLook(draft as GraphDoc, ["sampler", "save"], "breakpoint"));
  expect(stopOf(none, null)).toBeNull();
});
