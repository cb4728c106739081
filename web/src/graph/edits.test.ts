import { describe, expect, test } from "vitest";
import { DocumentError, type GraphDoc } from "./document";
import * as edits from "./edits";
import { snakeCase } from "./names";
import { change, definitions, link, node, textToImage, workflow } from "./testing/world";

const sampler = definitions.get("KSampler");
if (sampler === undefined) throw new Error("the fixture has no KSampler");

describe("adding", () => {
  test("ids are readable, and unique among nodes, groups and notes", () => {
    const next = change(workflow({}) as GraphDoc, (draft) => {
      expect(edits.addNode(draft, sampler, [1, 2])).toBe("ksampler");
      expect(edits.addNode(draft, sampler, [3, 4], { seed: 1 })).toBe("ksampler_2");
      expect(edits.addNode(draft, "mypack.BlurMore", [5, 6])).toBe("blur_more");
      expect(edits.addGroup(draft, { title: "A", pos: [0, 0], size: [9, 9] })).toBe("group");
      expect(edits.addNote(draft, { text: "B", pos: [0, 0], size: [9, 9] })).toBe("note");
      expect(edits.addNode(draft, "Note", [5, 6])).toBe("note_2");
    });
    expect(next.nodes["ksampler_2"]).toEqual({ type: "KSampler", type_version: 1, inputs: { seed: 1 } });
    expect(next.ui?.nodes?.["ksampler"]).toEqual({ pos: [1, 2] });
  });
  test.each([
    ["VAEDecode", "vae_decode"],
    ["KSampler", "ksampler"],
    ["ImageToMask", "image_to_mask"],
    ["NewUNet2D", "new_unet2d"],
    ["subgraph:hi-res", "hi_res"],
    ["file:a/b.json", "json"],
    ["…", "node"],
  ])("%s is called %s", (kind, id) => expect(snakeCase(kind)).toBe(id));
});

test("removing a node takes every mention of it along", () => {
  const start = {
    ...textToImage(),
    inputs: {
      seed: { type: "INT", to: ["sampler.seed"] },
      text: { type: "STRING", to: ["positive.text", "sampler.seed"] },
    },
    outputs: { image: { from: "decode.image" }, latent: { from: "sampler.latent" } },
    ui: {
      nodes: { sampler: { pos: [0, 0] as [number, number] } },
      groups: [{ id: "group", title: "", pos: [0, 0] as [number, number], size: [1, 1] as [number, number] }],
      notes: [{ id: "note", text: "", pos: [0, 0] as [number, number], size: [1, 1] as [number, number] }],
      reroutes: {
        "sampler.model": [[1, 1]] as [number, number][],
        "decode.samples": [[2, 2]] as [number, number][],
        "save.images": [[3, 3]] as [number, number][],
      },
    },
  };
  const next = change(start as GraphDoc, (draft) => edits.removeNodes(draft, ["sampler", "group", "note"]));
  expect(next.nodes["sampler"]).toBeUndefined();
  expect(next.nodes["decode"]?.inputs).toEqual({ vae: link("checkpoint.vae") });
  expect(next.inputs).toEqual({ text: { type: "STRING", to: ["positive.text"] } });
  expect(next.outputs).toEqual({ image: { from: "decode.image" } });
  expect(next.ui).toEqual({ nodes: {}, groups: [], notes: [], reroutes: { "save.images": [[3, 3]] } });
});

test("a node can be renamed, and keeps its place and wires", () => {
  const start = {
    ...textToImage(),
    inputs: { seed: { type: "INT", to: ["sampler.seed"] }, size: { type: "INT" } },
    outputs: { latent: { from: "sampler.latent" } },
  };
  const withPoint = change(start as GraphDoc, (draft) => edits.addReroute(draft, "sampler.model", 0, [5, 5]));
  const next = change(withPoint, (draft) => edits.renameNode(draft, "sampler", "main"));
  expect(Object.keys(next.nodes)[4]).toBe("main");
  expect(next.nodes["decode"]?.inputs?.["samples"]).toEqual(link("main.latent"));
  expect(next.inputs?.["seed"]?.to).toEqual(["main.seed"]);
  expect(next.outputs?.["latent"]?.from).toBe("main.latent");
  expect(next.ui?.nodes?.["main"]).toEqual(start.ui?.nodes?.["sampler"]);
  expect(next.ui?.reroutes).toEqual({ "main.model": [[5, 5]] });
  expect(() => edits.renameNode(next, "main", "a b")).toThrow(DocumentError);
  expect(() => edits.renameNode(next, "main", "save")).toThrow("There is something called save already.");
  expect(change(next, (draft) => edits.renameNode(draft, "main", "main"))).toBe(next);
});

test("values are set and reset; a value replaces a link", () => {
  const next = change(textToImage() as GraphDoc, (draft) => {
    edits.setInput(draft, "save", "images", "x");
    edits.setInput(draft, "save", "filename_prefix", "a");
    edits.setInput(draft, "nobody", "a", 1);
    edits.resetInput(draft, "sampler", "seed");
    edits.resetInput(draft, "decode", "samples");
    edits.setInput(draft, "bare", "a", 1);
  });
  expect(next.nodes["save"]?.inputs).toEqual({ images: "x", filename_prefix: "a" });
  expect(next.nodes["sampler"]?.inputs).not.toHaveProperty("seed");
  expect(next.nodes["decode"]?.inputs).not.toHaveProperty("samples");
});

test("titles, modes, colours and looks", () => {
  const framed = change(textToImage() as GraphDoc, (draft) => {
    edits.addGroup(draft, { title: "A", pos: [0, 0], size: [9, 9] });
    edits.addNote(draft, { text: "B", pos: [0, 0], size: [9, 9] });
  });
  const next = change(framed, (draft) => {
    edits.setTitle(draft, "save", " Keep ");
    edits.setTitle(draft, "nobody", "x");
    edits.setMode(draft, ["save", "nobody"], "muted");
    edits.setColor(draft, ["save", "group", "note"], "#123456");
    edits.toggleLook(draft, ["save", "decode"], "collapsed");
    edits.toggleSocket(draft, "sampler", "seed");
    edits.toggleSocket(draft, "sampler", "steps");
    edits.toggleSocket(draft, "nobody", "steps");
    edits.resizeNode(draft, "save", [300, 100]);
    edits.moveNodes(draft, [
      ["group", [7, 7]],
      ["note", [8, 8]],
      ["nobody", [1, 1]],
    ]);
    edits.changeGroup(draft, "group", { title: "C" });
    edits.changeGroup(draft, "nobody", { title: "C" });
    edits.changeNote(draft, "note", { text: "D" });
  });
  expect(next.nodes["save"]).toMatchObject({ title: "Keep", mode: "muted" });
  expect(next.ui?.nodes?.["save"]).toMatchObject({ color: "#123456", collapsed: true, size: [300, 100] });
  expect(next.ui?.nodes?.["sampler"]?.sockets).toEqual(["seed", "steps"]);
  expect(next.ui?.groups).toEqual([{ id: "group", title: "C", pos: [7, 7], size: [9, 9], color: "#123456" }]);
  expect(next.ui?.notes).toEqual([{ id: "note", text: "D", pos: [8, 8], size: [9, 9], color: "#123456" }]);
  const back = change(next, (draft) => {
    edits.setTitle(draft, "save", " ");
    edits.setMode(draft, ["save"], "normal");
    edits.setColor(draft, ["save", "group", "note"], null);
    edits.toggleLook(draft, ["save", "decode"], "collapsed");
    edits.toggleSocket(draft, "sampler", "seed");
    edits.toggleSocket(draft, "sampler", "steps");
    edits.changeNote(draft, "nobody", { text: "D" });
  });
  expect(back.nodes).toEqual(framed.nodes);
  expect(back.ui?.nodes?.["sampler"]).toEqual(framed.ui?.nodes?.["sampler"]);
  expect(back.ui?.groups?.[0]).not.toHaveProperty("color");
});

test("wires go through points", () => {
  const next = change(textToImage() as GraphDoc, (draft) => {
    edits.addReroute(draft, "save.images", 0, [1, 1]);
    edits.addReroute(draft, "save.images", 1, [3, 3]);
    edits.addReroute(draft, "save.images", 1, [2, 2]);
    edits.moveReroute(draft, "save.images", 2, [4, 4]);
    edits.moveReroute(draft, "save.images", 9, [4, 4]);
    edits.removeReroute(draft, "save.images", 0);
    edits.removeReroute(draft, "nobody.images", 0);
  });
  expect(next.ui?.reroutes).toEqual({
    "save.images": [
      [2, 2],
      [4, 4],
    ],
  });
  const none = change(next, (draft) => {
    edits.removeReroute(draft, "save.images", 0);
    edits.removeReroute(draft, "save.images", 0);
  });
  expect(none.ui?.reroutes).toEqual({});
});

describe("arranging", () => {
  const boxes = [
    { id: "a", x: 0, y: 0, width: 100, height: 50 },
    { id: "b", x: 30, y: 200, width: 50, height: 50 },
    { id: "c", x: 300, y: 90, width: 100, height: 30 },
  ];
  test.each([
    ["left", "b", [0, 200]],
    ["right", "a", [300, 0]],
    ["top", "b", [30, 0]],
    ["bottom", "a", [0, 200]],
    ["centre", "a", [150, 0]],
    ["middle", "a", [0, 100]],
  ] as const)("align %s", (edge, id, corner) => expect(edits.align(boxes, edge).get(id)).toEqual(corner));
  test("equal gaps, the ends stay", () => {
    expect([...edits.distribute(boxes, "x")]).toEqual([
      ["a", [0, 0]],
      ["b", [175, 200]],
      ["c", [300, 90]],
    ]);
    expect(edits.distribute(boxes, "y").get("c")).toEqual([300, 110]);
    expect(edits.distribute([], "y").size).toBe(0);
  });
});

test("a copy keeps the wires among nodes and into them", () => {
  const next = change(textToImage() as GraphDoc, (draft) => {
    expect(edits.duplicate(draft, ["decode", "save"])).toEqual(["decode_2", "save_2"]);
  });
  expect(next.nodes["save_2"]?.inputs).toEqual({ images: link("decode_2.image") });
  expect(next.nodes["decode_2"]?.inputs).toEqual({ samples: link("sampler.latent"), vae: link("checkpoint.vae") });
  expect(next.ui?.nodes?.["save_2"]?.pos).toEqual([6 * 320 + 40, 80]);
});

test("a node without inputs can be copied", () => {
  const next = change(workflow({ a: { type: "LoadImage" }, b: node("LoadImage") }) as GraphDoc, (draft) => {
    edits.duplicate(draft, ["a"]);
  });
  expect(next.nodes["a_2"]).toEqual({ type: "LoadImage" });
});
