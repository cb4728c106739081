import { onDemand } from "../../app/lazily";
import { shapeOf } from "../../graph/resolve";
import { unusedSubgraphs } from "../../graph/uses";
import { t } from "../../i18n";
import { attempt } from "../../run/tell";
import { activeTab, useEditor } from "../../stores/editorStore";
import { announce, current } from "./current";
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

/** Give the sub-graph that is meant: the selected node's, or else the one that is shown. */
export function meantSubgraph(): string | null {
  const [only, ...more] = selectedCards();
  if (only !== undefined) return more.length > 0 ? null : subgraphOf(only);
  return activeTab(useEditor.getState())?.path.at(-1)?.subgraph ?? null;
}

/** Tell whether the workflow has sub-graphs that nothing uses. */
export function hasUnused(): boolean {
  const document = current()?.document;
  return document !== undefined && unusedSubgraphs(document).length > 0;
}

const edits = onDemand(() => import("./subgraphEdits"));

/** Change sub-graphs, once the code for it is there. */
export function editSubgraphs(work: (edits: typeof import("./subgraphEdits")) => void | Promise<void>): void {
  void attempt(async () => work(await edits()));
}
