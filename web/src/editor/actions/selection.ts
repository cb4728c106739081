import { t } from "../../i18n";
import { useEditor } from "../../stores/editorStore";
import { announce, current } from "./current";

/** Ids of selected nodes, notes and frames that exist. */
export function selection(): string[] {
  const now = current();
  if (now === null) return [];
  const { graph, tab } = now;
  const shown = new Set([
    ...Object.keys(graph.nodes),
    ...(graph.ui?.groups ?? []).map((group) => group.id),
    ...(graph.ui?.notes ?? []).map((note) => note.id),
  ]);
  return [...tab.selection].filter((id) => shown.has(id));
}

/** Those of the selection that are nodes. */
export function selectedCards(): string[] {
  const graph = current()?.graph;
  return graph === undefined ? [] : selection().filter((id) => graph.nodes[id] !== undefined);
}

export function selectAll(): void {
  const graph = current()?.graph;
  if (graph === undefined) return;
  const ids = [
    ...Object.keys(graph.nodes),
    ...(graph.ui?.groups ?? []).map((group) => group.id),
    ...(graph.ui?.notes ?? []).map((note) => note.id),
  ];
  useEditor.getState().select(ids);
  announce(t("editor.selectedCount", { count: ids.length }));
}
