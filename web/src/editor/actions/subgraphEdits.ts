/** Changes of sub-graphs: their code comes on demand, as few are made. */
import { declareInput, declareOutput, undeclareInput, undeclareOutput } from "../../graph/declared";
import type { InputDefinition } from "../../graph/definitions";
import type { OutputEnd } from "../../graph/links";
import { findSubgraph, scopesOf } from "../../graph/scopes";
import * as subgraphs from "../../graph/subgraphs";
import { unusedSubgraphs } from "../../graph/uses";
import { t } from "../../i18n";
import { askName } from "../../run/askStore";
import { useEditor } from "../../stores/editorStore";
import { announce, change, current, titleOf } from "./current";
import { selectedCards } from "./selection";

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

/** Ask for another name of a sub-graph, and give it that wherever it is used. */
export async function renameSubgraph(name: string): Promise<void> {
  const next = await askName(t("editor.renameSubgraph"), name);
  if (next === null || next === name) return;
  const done = change(t("editor.didRename", { from: name, to: next }), (graph, document) => {
    const holder = findSubgraph(name, scopesOf(graph, document))?.scopes.at(-2);
    if (holder !== undefined) subgraphs.renameSubgraph(holder, name, next);
  });
  if (done) announce(t("editor.didRename", { from: name, to: next }));
}

export function deleteUnused(): void {
  const label = t("editor.didDeleteUnused", {
    names: unusedSubgraphs(current()?.document ?? { nodes: {} }).join(", "),
  });
  change(label, (_graph, document) => subgraphs.deleteUnusedSubgraphs(document));
  announce(label);
}
