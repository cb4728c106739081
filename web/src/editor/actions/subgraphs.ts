import { declareInput, undeclareInput } from "../../graph/declared";
import type { InputDefinition } from "../../graph/definitions";
import { shapeOf } from "../../graph/resolve";
import * as subgraphs from "../../graph/subgraphs";
import { t } from "../../i18n";
import { activeTab, useEditor } from "../../stores/editorStore";
import { announce, change, current, titleOf } from "./current";
import { selectedCards } from "./selection";

/** Give the sub-graph that a node stands for, or that it runs; null for others. */
export function subgraphOf(id: string): string | null {
  const now = current();
  if (now?.graph.nodes[id] === undefined) return null;
  return shapeOf(now.graph, id, now.definitions, now.document).subgraph;
}

export function isSubgraphNode(id: string): boolean {
  return subgraphOf(id) !== null;
}

export function makeSubgraphOfSelection(): void {
  const now = current();
  if (now === null) return;
  const ids = selectedCards();
  const names = new Set(Object.keys(now.document.subgraphs ?? {}));
  let name = t("editor.subgraphName");
  for (let count = 2; names.has(name); count += 1) name = `${t("editor.subgraphName")}_${count}`;
  let made = "";
  const done = change(t("editor.makeSubgraph"), (graph, document) => {
    made = subgraphs.makeSubgraph(graph, ids, name, now.definitions, document);
  });
  if (!done) return;
  useEditor.getState().select([made]);
  announce(t("editor.didMakeSubgraph", { name, count: ids.length }));
}

export function enterNode(id: string): boolean {
  const name = subgraphOf(id);
  if (name === null || current()?.graph.nodes[id] === undefined) return false;
  useEditor.getState().enter(name, id);
  announce(t("editor.entered", { name }));
  return true;
}

export function enterSelected(): void {
  const [id] = selectedCards();
  if (id !== undefined) enterNode(id);
}

export function leaveSubgraph(): void {
  const came = activeTab(useEditor.getState())?.path.at(-1);
  if (came === undefined) return;
  useEditor.getState().leave();
  useEditor.getState().select([came.node]);
  announce(t("editor.left", { name: came.subgraph }));
}

export function unpackSelected(): void {
  const [id] = selectedCards();
  const now = current();
  if (id === undefined || now === null) return;
  let ids: string[] = [];
  const done = change(t("editor.unpack"), (graph, document) => {
    ids = subgraphs.unpackSubgraph(graph, id, document);
  });
  if (done) useEditor.getState().select(ids);
}

/** Make an input one of the sub-graph's, or of the whole workflow's form. */
export function promote(node: string, input: InputDefinition): void {
  const now = current();
  if (now === null) return;
  change(t("editor.didPromote", { input: `${titleOf(now.graph, node)}.${input.name}` }), (graph, document) => {
    if (now.tab.path.length === 0) declareInput(graph, input.name, { node, input: input.name }, input);
    else subgraphs.promoteInput(graph, node, input.name, now.definitions, document);
  });
}

export function demote(name: string): void {
  change(t("editor.didDemote", { name }), (graph) => undeclareInput(graph, name));
}
