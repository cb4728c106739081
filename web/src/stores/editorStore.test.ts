import { expect, test } from "vitest";
import { makeSubgraph, renameSubgraph } from "../graph/subgraphs";
import { definitions, textToImage } from "../graph/testing/world";
import { activeGraph, activeTab, useEditor } from "./editorStore";

const path = () => activeTab(useEditor.getState())?.path.map(({ subgraph }) => subgraph);
const nodes = () => Object.keys(activeGraph(useEditor.getState())?.nodes ?? {});

test("a sub-graph that is shown can be renamed, and undoing its making leaves it", () => {
  const { open, edit, enter, undo, redo } = useEditor.getState();
  open(textToImage());
  edit("make", (graph, document) => void makeSubgraph(graph, ["decode"], "inner", definitions, document));
  enter("inner", "inner");
  edit("rename", (_graph, document) => renameSubgraph(document, "inner", "outer"));
  expect([path(), nodes()]).toEqual([["outer"], ["decode"]]);
  undo();
  expect([path(), nodes()]).toEqual([["inner"], ["decode"]]);
  redo();
  expect(path()).toEqual(["outer"]);
  undo();
  undo();
  expect(path()).toEqual([]);
  expect(nodes()).toContain("decode");
});
