// @vitest-environment jsdom
import fc from "fast-check";
import { afterEach, expect, test } from "vitest";
import { linksOf } from "../../graph/links";
import { shapeOf } from "../../graph/resolve";
import { definitions, textToImage } from "../../graph/testing/world";
import { activeTab, useEditor } from "../../stores/editorStore";
import * as actions from ".";
import { current } from "./current";
import * as subgraphs from "./subgraphEdits";

/** Picks among what there is, by numbers that were drawn. */
interface Pick {
  id: string;
  other: string;
  a: number;
  b: number;
}

const place = ({ a, b }: Pick): [number, number] => [a * 7, b * 5];
const kinds = [...definitions.keys()];
const nth = <T>(list: readonly T[], place: number): T | undefined => list[place % Math.max(1, list.length)];
const shapeOfNode = (id: string) => {
  const now = current();
  return now?.graph.nodes[id] === undefined ? undefined : shapeOf(now.graph, id, now.definitions, now.document);
};
const inputOf = ({ id, a }: Pick) => nth(shapeOfNode(id)?.inputs ?? [], a);
const outputOf = ({ other, b }: Pick) => nth(shapeOfNode(other)?.outputs ?? [], b);
const endAt = (place: number) => nth(linksOf(current()?.graph ?? { nodes: {} }), place)?.end;
const groupAt = (place: number) => nth(current()?.graph.ui?.groups ?? [], place)?.id;
const noteAt = (place: number) => nth(current()?.graph.ui?.notes ?? [], place)?.id;
const withInput = (pick: Pick, act: (input: string) => void) => {
  const input = inputOf(pick);
  if (input !== undefined) act(input.name);
};
const withEnd = (place: number, act: (end: string) => void) => {
  const end = endAt(place);
  if (end !== undefined) act(end);
};

/** Everything that can be done with a graph, and moving about in it, which is no edit. */
const deeds: Record<string, (pick: Pick) => unknown> = {
  select: ({ id, other }) => useEditor.getState().select([id, other]),
  selectAll: () => actions.selectAll(),
  add: (pick) => actions.addNodeOf(nth(kinds, pick.a) ?? "", { x: pick.a, y: pick.b }, null),
  addLinked: (pick) => {
    const output = outputOf(pick);
    const wire = { from: { node: pick.other, name: output?.name ?? "", side: "output" as const }, socket: "images" };
    if (output?.type === "IMAGE") actions.addNodeOf("SaveImage", { x: pick.a, y: pick.b }, wire);
  },
  remove: () => actions.removeSelection(),
  removeOne: ({ id }) => actions.removeNode(id),
  move: (pick) => actions.moveTo(new Map([[pick.id, place(pick)]])),
  nudge: ({ a, b }) => actions.nudge(a - 5, b - 5),
  align: ({ a }) =>
    actions.alignSelection(nth(["left", "right", "top", "bottom", "center", "middle"] as const, a) ?? "left"),
  distribute: ({ a }) => actions.distributeSelection(a % 2 === 0 ? "x" : "y"),
  layOut: () => actions.arrangeGraph(),
  set: (pick) =>
    withInput(pick, (input) => actions.setValue(pick.id, input, BigInt(pick.b) * 2n ** 60n, pick.a % 2 === 0)),
  reset: (pick) => withInput(pick, (input) => actions.resetValue(pick.id, input)),
  asSocket: (pick) => withInput(pick, (input) => actions.toggleSocket(pick.id, input)),
  connect: (pick) =>
    withInput(pick, (input) => {
      const from = { node: pick.other, name: outputOf(pick)?.name ?? "", side: "output" as const };
      actions.connectSockets(from, { node: pick.id, name: input, side: "input" });
    }),
  disconnect: ({ a, b }) => actions.disconnectEnds([endAt(a), endAt(b)].filter((end) => end !== undefined)),
  splice: (pick) => {
    const id = actions.addNodeOf("ImageScale", { x: pick.a, y: pick.b }, null);
    const end = linksOf(current()?.graph ?? { nodes: {} }).find((link) => actions.fitsInto(id, link.end))?.end;
    if (end !== undefined) actions.splice(id, end, place(pick));
  },
  bend: (pick) => withEnd(pick.a, (end) => actions.addReroute(end, 0, place(pick))),
  bendMore: (pick) => withEnd(pick.a, (end) => actions.moveReroute(end, 0, place(pick))),
  straighten: ({ a }) => withEnd(a, (end) => actions.removeReroute(end, 0)),
  mute: () => actions.toggleMode("muted"),
  bypass: () => actions.toggleMode("bypassed"),
  stop: () => actions.toggleBreakpoint(),
  collapse: () => actions.toggleCollapsed(),
  advanced: () => actions.toggleAdvanced(),
  paint: ({ a }) => actions.paint(a % 3 === 0 ? null : "#d9534f"),
  rename: ({ id, a }) => actions.rename(id, `title ${a}`),
  frame: () => actions.addFrame(),
  frameChange: ({ a, b }) => actions.changeGroup(groupAt(a) ?? "", { title: `frame ${b}` }),
  note: ({ a, b }) => actions.addNoteHere({ x: a, y: b }),
  noteChange: ({ a, b }) => actions.changeNote(noteAt(a) ?? "", { text: `text ${b}`, size: [80 + b, 40] }),
  duplicate: () => actions.duplicateSelection(),
  paste: () => actions.pasteText(actions.copiedText() ?? ""),
  cut: () => actions.removeCut(),
  pack: () => subgraphs.makeSubgraphOfSelection(),
  unpack: () => subgraphs.unpackSelected(),
  enter: ({ id }) => actions.enterNode(id),
  leave: () => actions.leaveSubgraph(),
  promote: (pick) => {
    const input = inputOf(pick);
    if (input !== undefined) subgraphs.promote(pick.id, input);
  },
  demote: ({ a }) => subgraphs.demote(nth(Object.keys(current()?.graph.inputs ?? {}), a) ?? ""),
  declare: (pick) => {
    const output = outputOf(pick);
    if (output !== undefined) subgraphs.declare({ node: pick.other, output: output.name });
  },
  deleteUnused: () => {
    subgraphs.makeSubgraphOfSelection();
    actions.removeSelection();
    subgraphs.deleteUnused();
  },
  undo: () => actions.undo(),
  redo: () => actions.redo(),
};

const steps = fc.array(
  fc.record({
    deed: fc.constantFrom(...Object.keys(deeds)),
    id: fc.nat({ max: 20 }),
    other: fc.nat({ max: 20 }),
    a: fc.nat({ max: 40 }),
    b: fc.nat({ max: 40 }),
  }),
  { maxLength: 40, size: "max" },
);

const history = () => {
  const tab = activeTab(useEditor.getState());
  if (tab === undefined) throw new Error("no tab is open");
  return tab.history;
};

afterEach(() => {
  for (const { id } of useEditor.getState().tabs) useEditor.getState().close(id);
});

test("whatever was done in the editor: undoing all gives the start, redoing all the end", async () => {
  useEditor.getState().setDefinitions(definitions);
  const edited = new Set<string>();
  const property = fc.asyncProperty(steps, async (chosen) => {
    const start = textToImage();
    useEditor.getState().open(start);
    for (const { deed, id, other, a, b } of chosen) {
      const ids = Object.keys(current()?.graph.nodes ?? {});
      const before = history().present;
      await deeds[deed]?.({ id: nth(ids, id) ?? "", other: nth(ids, other) ?? "", a, b });
      if (history().present !== before) edited.add(deed);
    }
    while (history().undone.length > 0) actions.redo();
    const end = history().present;
    const labels = history().done.map(({ label }) => label);
    expect(labels.every((label) => label.trim() !== "")).toBe(true);
    while (history().done.length > 0) actions.undo();
    expect(history().present).toEqual(start);
    while (history().undone.length > 0) actions.redo();
    expect(history().present).toEqual(end);
  });
  await fc.assert(property, { numRuns: 200, seed: 20240517 });
  const noEdits = ["select", "selectAll", "enter", "leave"];
  expect([...edited].sort()).toEqual(
    Object.keys(deeds)
      .filter((deed) => !noEdits.includes(deed))
      .sort(),
  );
}, 30_000);
