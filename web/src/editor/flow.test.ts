import { describe, expect, it } from "vitest";
import { readDefinitions } from "../graph/definitions";
import type { WorkflowDoc } from "../graph/document";
import { edit, startHistory } from "../graph/history";
import type { Tab } from "../stores/editorStore";
import { FlowBuilder } from "./flow";
import { openingView, viewOf } from "./viewMath";

const definitions = readDefinitions({
  nodes: {
    Load: { inputs: [{ name: "file", type: "STRING", required: false }], outputs: [{ name: "image", type: "IMAGE" }] },
    Save: { inputs: [{ name: "images", type: "IMAGE" }], outputs: [] },
  },
});
const workflow: WorkflowDoc = {
  format: "graphengine",
  version: 1,
  inputs: { picture: { type: "STRING", default: "a.png", to: ["load.file"] } },
  nodes: {
    load: { type: "Load" },
    save: { type: "Save", inputs: { images: { $link: "load.image" } } },
    odd: { type: "Save", inputs: { images: { $link: "gone.image" } } },
  },
  ui: {
    nodes: { load: { pos: [0, 0] }, save: { pos: [400, 0] } },
    notes: [{ id: "n", text: "hm", pos: [0, 300], size: [99, 50] }],
  },
};
const still = { sizes: new Map(), moving: new Map() };
const NONE: ReadonlySet<string> = new Set();

function tabOf(document: WorkflowDoc): Tab {
  const history = startHistory(document);
  return { id: "t", name: null, version: null, saved: document, history, path: [], selection: new Set() };
}

describe("FlowBuilder", () => {
  it("gives nodes with sizes and sockets, so that nothing has to be measured", () => {
    const { nodes, edges } = new FlowBuilder().build(tabOf(workflow), workflow, definitions, still, NONE);
    const load = nodes.find((node) => node.id === "load");
    expect(load?.measured?.height).toBeGreaterThan(0);
    expect(load?.handles?.map((handle) => handle.id)).toEqual(["image", "file"]);
    expect(load?.type === "card" && load.data.promoted.get("file")).toEqual({ name: "picture", value: "a.png" });
    expect(edges.map((edge) => edge.id)).toEqual(["save.images"]);
  });

  it("keeps the identity of what didn't change", () => {
    const builder = new FlowBuilder();
    const before = builder.build(tabOf(workflow), workflow, definitions, still, NONE);
    const history = edit(startHistory(workflow), "move", (draft) => {
      draft.ui = { ...draft.ui, nodes: { ...draft.ui?.nodes, save: { pos: [500, 0] } } };
    });
    const after = builder.build(tabOf(history.present), history.present, definitions, still, NONE);
    const same = (id: string) =>
      before.nodes.find((node) => node.id === id) === after.nodes.find((node) => node.id === id);
    expect([same("load"), same("n"), same("save")]).toEqual([true, true, false]);
    expect(after.edges[0]).toBe(before.edges[0]);
  });

  it("shows things where they are dragged to", () => {
    const moving = new Map([["load", [7, 8] as const]]);
    const { nodes } = new FlowBuilder().build(tabOf(workflow), workflow, definitions, { ...still, moving }, NONE);
    expect(nodes.find((node) => node.id === "load")?.position).toEqual({ x: 7, y: 8 });
  });

  it("moves what is dragged, alone, and puts it back", () => {
    const [builder, tab] = [new FlowBuilder(), tabOf(workflow)];
    const step = (moving: [string, readonly [number, number]][]) =>
      builder.build(tab, workflow, definitions, { ...still, moving: new Map(moving) }, NONE);
    const flows = [[], [["load", [7, 8]]], [["n", [1, 2]]], []].map((moving) => step(moving as []));
    const places = flows.map(({ nodes }) => nodes.map(({ id, position: { x, y } }) => `${id} ${x},${y}`).join(" "));
    expect(places).toEqual([
      "n 0,300 load 0,0 save 400,0 odd 0,0",
      "n 0,300 load 7,8 save 400,0 odd 0,0",
      "n 1,2 load 0,0 save 400,0 odd 0,0",
      "n 0,300 load 0,0 save 400,0 odd 0,0",
    ]);
    for (const flow of flows) {
      expect(flow.nodes[2]).toBe(flows[0]?.nodes[2]);
      expect(flow.edges).toBe(flows[0]?.edges);
    }
    expect(flows[1]?.nodes).not.toBe(flows[0]?.nodes);
  });
});

describe("views", () => {
  const area = { width: 1000, height: 700 };
  const box = (x: number, y: number) => ({ id: `${x}`, x, y, width: 280, height: 200 });

  it("shows all of a small graph, at most at its actual size", () => {
    expect(viewOf([box(0, 0)], area)).toEqual({ x: 360, y: 250, zoom: 1 });
  });

  it("opens a large graph close-up at its beginning", () => {
    const view = openingView([box(9000, 0), box(0, 0)], area);
    expect(view.zoom).toBe(0.8);
    expect(view.x).toBeGreaterThan(0);
  });
});
