import fc from "fast-check";
import { expect, test } from "vitest";
import { copySelection, pasteSelection } from "./clipboard";
import { connect, disconnect } from "./connect";
import { DocumentError, type GraphDoc, isLink, type WorkflowDoc } from "./document";
import * as edits from "./edits";
import { closeGesture, edit, type History, redo, startHistory, undo } from "./history";
import { linksOf } from "./links";
import { makeSubgraph, unpackSubgraph } from "./subgraphs";
import { change, definitions, textToImage } from "./testing/world";

const all = <T extends object>(history: History<T>, step: (history: History<T>) => History<T>) => {
  let now = history;
  for (let next = step(now); next !== now; next = step(now)) now = next;
  return now;
};

const kinds = [...definitions.values()];
type Recipe = (graph: GraphDoc, document: GraphDoc) => void;

/** An edit of a random place; a number picks the nodes. */
const recipes: ((graph: GraphDoc, a: number, b: number) => Recipe)[] = [
  (_, a, b) => (draft) => void edits.addNode(draft, kinds[a % kinds.length] ?? "x.Y", [a, b]),
  (graph, a) => (draft) => edits.removeNodes(draft, [pick(graph, a)]),
  (graph, a, b) => (draft) => edits.moveNodes(draft, [[pick(graph, a), [a, b]]]),
  (graph, a, b) => (draft) => edits.setInput(draft, pick(graph, a), "seed", BigInt(b) * 2n ** 40n),
  (graph, a) => (draft) => edits.resetInput(draft, pick(graph, a), "seed"),
  (graph, a, b) => (draft) =>
    connect(draft, { node: pick(graph, a), output: "image" }, { node: pick(graph, b), input: "image" }),
  (graph, a) => (draft) => disconnect(draft, { node: pick(graph, a), input: "image" }),
  (graph, a) => (draft) => edits.setMode(draft, [pick(graph, a)], "muted"),
  (graph, a) => (draft) => edits.toggleLook(draft, [pick(graph, a)], "collapsed"),
  (graph, a, b) => (draft) => void edits.duplicate(draft, [pick(graph, a), pick(graph, b)]),
  (graph, a) => (draft) => {
    if (graph.nodes[`n${a}`] === undefined && graph.nodes[pick(graph, a)])
      edits.renameNode(draft, pick(graph, a), `n${a}`);
  },
  (graph, a) => (draft, document) => void makeSubgraph(draft, [pick(graph, a)], "part", definitions, document),
  (_, a, b) => (draft) => void edits.addNote(draft, { text: "x", pos: [a, b], size: [1, 1] }),
  (graph, a, b) => (draft) => edits.addReroute(draft, `${pick(graph, a)}.image`, 0, [a, b]),
];

function pick(graph: GraphDoc, number: number): string {
  const ids = Object.keys(graph.nodes);
  return ids[number % Math.max(ids.length, 1)] ?? "";
}

const steps = fc.array(
  fc.tuple(fc.nat({ max: recipes.length - 1 }), fc.nat({ max: 50 }), fc.nat({ max: 50 }), fc.boolean()),
  {
    maxLength: 30,
  },
);

test("random edits: undoing all gives the start, redoing all the end", () => {
  fc.assert(
    fc.property(steps, (chosen) => {
      const start = textToImage();
      let history: History<WorkflowDoc> = startHistory(start);
      for (const [which, a, b, merges] of chosen) {
        const recipe = recipes[which]?.(history.present, a, b);
        if (recipe === undefined || Object.keys(history.present.nodes).length === 0) continue;
        try {
          history = edit(history, "x", (draft) => recipe(draft as GraphDoc, draft as GraphDoc), merges ? "drag" : null);
        } catch (error) {
          expect(error).toBeInstanceOf(DocumentError); // such as a sub-graph of a part of a circle
        }
      }
      const end = history.present;
      const undone = all(history, undo);
      expect(undone.present).toEqual(start);
      expect(all(undone, redo).present).toEqual(end);
    }),
    { numRuns: 60 },
  );
});

test("the edits of a gesture are one entry, until it ends", () => {
  const move = (history: History<WorkflowDoc>, x: number) =>
    edit(history, "Move", (draft) => edits.moveNodes(draft as GraphDoc, [["save", [x, 0]]]), "drag");
  const start = startHistory(textToImage());
  expect(closeGesture(start)).toBe(start);
  const dragged = move(move(start, 1), 2);
  expect(dragged.done).toHaveLength(1);
  expect(undo(dragged).present).toEqual(start.present);
  const twice = move(closeGesture(dragged), 3);
  expect(twice.done).toHaveLength(2);
  expect(edit(twice, "Nothing", () => {}, null)).toBe(twice);
  expect(redo(twice)).toBe(twice);
});

const ids = fc.subarray(Object.keys(textToImage().nodes), { minLength: 1 });

test("copied nodes have the wires among them, and no others", () => {
  fc.assert(
    fc.property(ids, (chosen) => {
      const start = textToImage() as GraphDoc;
      const inner = (graph: GraphDoc, among: readonly string[]) =>
        linksOf(graph).filter(({ from, to }) => among.includes(from.node) && among.includes(to.node)).length;
      let added: string[] = [];
      const next = change(start, (draft) => {
        added = pasteSelection(draft, copySelection(start, chosen, start), null, draft);
      });
      expect(added).toHaveLength(chosen.length);
      expect(inner(next, added)).toBe(inner(start, chosen));
      const into = linksOf(next).filter(({ to }) => added.includes(to.node));
      expect(into).toHaveLength(inner(start, chosen));
      for (const id of chosen) expect(next.nodes[id]).toEqual(start.nodes[id]);
    }),
  );
});

test("nodes made into a sub-graph and unpacked again are the same graph", () => {
  fc.assert(
    fc.property(ids, fc.boolean(), (chosen, hasDeclared) => {
      const start = textToImage() as GraphDoc;
      if (hasDeclared) start.inputs = { seed: { type: "INT", default: 1, to: ["sampler.seed"] } };
      let packed = start;
      let made = "";
      try {
        packed = change(start, (draft) => {
          made = makeSubgraph(draft, chosen, "part", definitions, draft);
        });
      } catch {
        return; // a node between was left out
      }
      expect(linksOf(packed).every(({ from }) => packed.nodes[from.node] !== undefined)).toBe(true);
      const back = change(packed, (draft) => void unpackSubgraph(draft, made, draft));
      expect(back).toEqual({ ...start, ui: { ...start.ui } });
    }),
  );
});

test("values are told from links", () => {
  expect([{ $link: "a.b" }, { $link: 1 }, { $link: "a.b", x: 1 }, "a.b", null].map(isLink)).toEqual([
    true,
    false,
    false,
    false,
    false,
  ]);
});

test("what is changed alongside an edit is undone with it, and is none by itself", () => {
  const start = startHistory({ title: "a", seen: 0 });
  const look = (draft: { seen: number }) => {
    draft.seen += 1;
  };
  const call = (title: string) => (draft: { title: string }) => {
    draft.title = title;
  };
  expect(edit(start, "name", call("a"), null, look)).toBe(start);
  const named = edit(start, "name", call("b"), null, look);
  expect([named.present, named.done.length]).toEqual([{ title: "b", seen: 1 }, 1]);
  expect([undo(named).present, redo(undo(named)).present]).toEqual([start.present, named.present]);
});
