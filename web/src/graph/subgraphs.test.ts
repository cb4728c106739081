import { describe, expect, test } from "vitest";
import { DocumentError, type GraphDoc } from "./document";
import { addGroup, addNote, addReroute } from "./edits";
import * as subgraphs from "./subgraphs";
import { change, definitions, link, node, textToImage, workflow } from "./testing/world";
import { unusedSubgraphs, usesOf } from "./uses";

const make = (graph: GraphDoc, ids: string[], name = "Hi res") =>
  subgraphs.makeSubgraph(graph, ids, name, definitions, graph);

describe("making", () => {
  test("wires across the border become declared inputs and outputs", () => {
    const start = change(textToImage() as GraphDoc, (draft) => {
      draft.inputs = { steps: { type: "INT", default: 8, to: ["sampler.steps"] } };
      draft.outputs = { picture: { from: "decode.image" } };
      addGroup(draft, { title: "A", pos: [0, 0], size: [9, 9] });
      addNote(draft, { text: "B", pos: [0, 0], size: [9, 9] });
      addReroute(draft, "sampler.model", 0, [7, 7]);
      addReroute(draft, "decode.samples", 0, [8, 8]);
    });
    const next = change(start, (draft) => {
      expect(make(draft, ["sampler", "decode", "latent", "group", "note"])).toBe("hi_res");
    });
    expect(next.nodes["hi_res"]).toEqual({
      type: "subgraph:Hi_res",
      type_version: 1,
      inputs: {
        model: link("checkpoint.model"),
        positive: link("positive.conditioning"),
        negative: link("negative.conditioning"),
        vae: link("checkpoint.vae"),
      },
    });
    const inner = next.subgraphs?.["Hi_res"];
    expect(inner?.inputs?.["model"]).toEqual({ type: "MODEL", to: ["latent.model", "sampler.model"] });
    expect(inner?.inputs?.["steps"]).toEqual({ type: "INT", default: 8, to: ["sampler.steps"] });
    expect(next.inputs?.["steps"]?.to).toEqual(["hi_res.steps"]);
    expect(inner?.outputs).toEqual({ image: { from: "decode.image" } });
    expect(next.outputs).toEqual({ picture: { from: "hi_res.image" } });
    expect(next.nodes["save"]?.inputs).toEqual({ images: link("hi_res.image") });
    expect(inner?.nodes["decode"]?.inputs).toEqual({ samples: link("sampler.latent") });
    expect(inner?.ui?.reroutes).toEqual({ "sampler.model": [[7, 7]], "decode.samples": [[8, 8]] });
    expect(inner?.ui?.groups).toHaveLength(1);
    expect(next.ui?.notes).toEqual([]);
    expect(next.ui?.nodes?.["hi_res"]).toEqual({ pos: [3 * 320, 40] });
  });
  test("refused with nothing, or with a node left out between", () => {
    expect(() => make(textToImage(), ["nobody"])).toThrow(DocumentError);
    expect(() => make(textToImage(), ["sampler", "save"])).toThrow("decode lies between the selected nodes");
  });
});

describe("unpacking", () => {
  test("is the way back", () => {
    const start = textToImage() as GraphDoc;
    const made = change(start, (draft) => void make(draft, ["sampler", "decode"]));
    const back = change(made, (draft) => {
      expect(subgraphs.unpackSubgraph(draft, "hi_res", draft)).toEqual(["sampler", "decode"]);
    });
    expect(back.nodes).toEqual(start.nodes);
    expect(back.ui?.nodes).toEqual(start.ui?.nodes);
    expect(back.subgraphs).toBeUndefined();
  });
  test("gives values, defaults and declared inputs to the nodes, and keeps other uses", () => {
    const inner: GraphDoc = {
      inputs: {
        width: { type: "INT", default: 32, to: ["scale.width"] },
        height: { type: "INT", default: 32, to: ["scale.height"] },
        method: { type: "STRING", to: ["scale.upscale_method"] },
        led: { type: "STRING", to: ["scale.crop"] },
      },
      outputs: { image: { from: "scale.image" } },
      nodes: { scale: node("ImageScale", { image: link("load.image") }), load: node("subgraph:deep") },
      subgraphs: { deep: { nodes: { x: node("LoadImage") }, outputs: { image: { from: "x.image" } } } },
      ui: {
        reroutes: { "scale.image": [[1, 1]] },
        groups: [{ id: "group", title: "", pos: [0, 0], size: [1, 1] }],
        notes: [{ id: "note", text: "", pos: [0, 0], size: [1, 1] }],
      },
    };
    const start: GraphDoc = workflow(
      {
        scale: node("subgraph:inner", { width: 8, method: link("t.texts") }),
        second: node("subgraph:inner"),
        t: node("TextList"),
        save: node("SaveImage", { images: link("scale.image"), filename_prefix: link("scale.gone") }),
      },
      {
        inputs: { crop: { type: "STRING", to: ["scale.led"] } },
        outputs: { a: { from: "scale.image" }, b: { from: "scale.gone" } },
        subgraphs: { inner, deep: { nodes: {} } },
        ui: { nodes: { scale: { pos: [100, 200] } }, reroutes: { "scale.method": [[5, 5]] } },
      },
    );
    (start.nodes["scale"] as { mode?: string }).mode = "muted";
    const next = change(start, (draft) => {
      expect(subgraphs.unpackSubgraph(draft, "scale", draft)).toEqual(["scale", "load"]);
    });
    expect(next.nodes["scale"]).toEqual({
      type: "ImageScale",
      type_version: 1,
      mode: "muted",
      inputs: { image: link("load.image"), width: 8, height: 32, upscale_method: link("t.texts") },
    });
    expect(next.nodes["load"]?.type).toBe("subgraph:deep_2");
    expect(next.nodes["save"]?.inputs).toEqual({ images: link("scale.image") });
    expect(next.inputs?.["crop"]?.to).toEqual(["scale.crop"]);
    expect(next.outputs).toEqual({ a: { from: "scale.image" } });
    expect(next.ui?.reroutes).toEqual({ "scale.upscale_method": [[5, 5]], "scale.image": [[101, 201]] });
    expect(next.ui?.groups?.[0]?.pos).toEqual([100, 200]);
    expect(Object.keys(next.subgraphs ?? {})).toEqual(["inner", "deep", "deep_2"]);
  });
  test("only what stands for a sub-graph", () => {
    const start = textToImage();
    expect(() => subgraphs.unpackSubgraph(start, "save", start)).toThrow(DocumentError);
  });
});

const nested = () =>
  workflow(
    { a: node("subgraph:one"), b: node("While", { body: { $subgraph: "two" } }) },
    {
      subgraphs: {
        one: { nodes: { x: node("subgraph:two") } },
        two: { nodes: {} },
        unused: { nodes: { y: node("subgraph:two") } },
        shadow: { nodes: { z: node("subgraph:two") }, subgraphs: { two: { nodes: {} } } },
      },
    },
  ) as GraphDoc;

test("uses are found within other sub-graphs too, but not where the name means another", () => {
  expect(usesOf(nested(), "two")).toEqual([
    { path: [], node: "b" },
    { path: ["one"], node: "x" },
    { path: ["unused"], node: "y" },
  ]);
});

test("renaming follows every use", () => {
  const next = change(nested(), (draft) => subgraphs.renameSubgraph(draft, "two", "three"));
  expect(Object.keys(next.subgraphs ?? {})).toEqual(["one", "three", "unused", "shadow"]);
  expect(next.nodes["b"]?.inputs).toEqual({ body: { $subgraph: "three" } });
  expect(next.subgraphs?.["one"]?.nodes["x"]?.type).toBe("subgraph:three");
  expect(next.subgraphs?.["shadow"]?.nodes["z"]?.type).toBe("subgraph:two");
  expect(() => subgraphs.renameSubgraph(nested(), "two", "one")).toThrow(DocumentError);
  expect(() => subgraphs.renameSubgraph(nested(), "one", "2 x")).toThrow(DocumentError);
  const start = nested();
  subgraphs.renameSubgraph(start, "nobody", "x");
  expect(start).toEqual(nested());
});

test("what nothing uses can be deleted", () => {
  expect(unusedSubgraphs(nested())).toEqual(["unused", "shadow"]);
  const next = change(nested(), (draft) => subgraphs.deleteUnusedSubgraphs(draft));
  expect(Object.keys(next.subgraphs ?? {})).toEqual(["one", "two"]);
  const none = change(workflow({}, { subgraphs: { x: { nodes: {} } } }), (draft) => {
    subgraphs.deleteUnusedSubgraphs(draft);
  });
  expect(none).not.toHaveProperty("subgraphs");
});

test("an inner input can be made one of the sub-graph", () => {
  const next = change(nested(), (draft) => {
    const inner = draft.subgraphs?.["two"] as GraphDoc;
    inner.nodes["scale"] = node("ImageScale", { width: 8 });
    expect(subgraphs.promoteInput(inner, "scale", "width", definitions, draft)).toBe("width");
    expect(subgraphs.promoteInput(inner, "scale", "image", definitions, draft, "picture")).toBe("picture");
    expect(() => subgraphs.promoteInput(inner, "scale", "nothing", definitions, draft)).toThrow(DocumentError);
  });
  expect(next.subgraphs?.["two"]?.inputs).toMatchObject({
    width: { type: "INT", default: 8, to: ["scale.width"] },
    picture: { type: "IMAGE", to: ["scale.image"] },
  });
});
