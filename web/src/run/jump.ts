/** Go to a node, wherever it is. */
import { goToNode } from "../editor/view";
import { isObject } from "../graph/document";
import { activeGraph, useEditor } from "../stores/editorStore";

const ENTERED_MS = 50;

/** Enter the sub-graphs on the way to a node, select it and have the canvas show it. */
export function jumpTo(fullId: string): void {
  const parts = fullId.split("/");
  const node = parts.at(-1) ?? "";
  const editor = useEditor.getState;
  const tab = editor().tabs.find((each) => each.id === editor().active);
  if (tab === undefined) return;
  const here = tab.path.map((entered) => entered.node).join("/");
  if (here !== parts.slice(0, -1).join("/")) {
    for (const _ of tab.path) editor().leave();
    for (const through of parts.slice(0, -1)) {
      const subgraph = subgraphOf(through);
      if (subgraph === null) break;
      editor().enter(subgraph, through);
    }
  }
  if (activeGraph(editor())?.nodes[node] === undefined) return;
  // the canvas draws the sub-graph first
  setTimeout(() => goToNode(node), ENTERED_MS);
}

/** Give the sub-graph that a node of the shown graph holds: as its type, or as a value. */
function subgraphOf(id: string): string | null {
  const node = activeGraph(useEditor.getState())?.nodes[id];
  if (node === undefined) return null;
  if (node.type.startsWith("subgraph:")) return node.type.slice("subgraph:".length);
  for (const value of Object.values(node.inputs ?? {}))
    if (isObject(value) && typeof value["$subgraph"] === "string") return value["$subgraph"];
  return null;
}
