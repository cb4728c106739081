import { declareInput, declareOutput, undeclareInput, undeclareOutput } from "../../graph/declared";
import type { InputDefinition } from "../../graph/definitions";
import type { OutputEnd } from "../../graph/links";
import { shapeOf } from "../../graph/resolve";
import { findSubgraph, scopesOf } from "../../graph/scopes";
import * as subgraphs from "../../graph/subgraphs";
import { t } from "../../i18n";
import { askName } from "../../run/askStore";
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

/** Make an output one of the sub-graph's, or a result of the whole workflow. */
export function declare(from: OutputEnd): void {
  const now = current();
  if (now === null) return;
  const label = t("editor.didPromote", { input: `${titleOf(now.graph, from.node)}.${from.output}` });
  change(label, (graph) => void declareOutput(graph, from.output, from));
  announce(label);
}

export function undeclare(name: string): void {
  change(t("editor.undeclareOutput", { name }), (graph) => undeclareOutput(graph, name));
}

/** Give the sub-graph that is meant: the selected node's, or else the one that is shown. */
export function meantSubgraph(): string | null {
  const [only, ...more] = selectedCards();
  if (only !== undefined) return more.length > 0 ? null : subgraphOf(only);
  return activeTab(useEditor.getState())?.path.at(-1)?.subgraph ?? null;
}

/** Ask for another name of a sub-graph, and give it that wherever it is used. */
export async function renameSubgraph(name: string | null = meantSubgraph()): Promise<void> {
  if (name === null) return;
  const next = await askName(t("editor.renameSubgraph"), name);
  if (next === null || next === name) return;
  const done = change(t("editor.didRename", { from: name, to: next }), (graph, document) => {
    const holder = findSubgraph(name, scopesOf(graph, document))?.scopes.at(-2);
    if (holder !== undefined) subgraphs.renameSubgraph(holder, name, next);
  });
  if (done) announce(t("editor.didRename", { from: name, to: next }));
}

/** Give the workflow's sub-graphs that nothing uses. */
export function unused(): string[] {
  const document = current()?.document;
  return document === undefined ? [] : subgraphs.unusedSubgraphs(document);
}

export function deleteUnused(): void {
  const label = t("editor.didDeleteUnused", { names: unused().join(", ") });
  change(label, (_graph, document) => subgraphs.deleteUnusedSubgraphs(document));
  announce(label);
}
