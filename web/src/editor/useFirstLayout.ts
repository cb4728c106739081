import { useEffect } from "react";
import { activeGraph, useEditor } from "../stores/editorStore";
import { arrangeGraph } from "./actions/frames";

/** Lay a graph out that has no places for its nodes, such as one from a script: else all would lie on one spot. */
export function useFirstLayout(): void {
  const key = useEditor((state) => {
    const graph = activeGraph(state);
    if (graph === null) return "";
    const ids = Object.keys(graph.nodes);
    const isPlaced = ids.length < 2 || ids.some((id) => graph.ui?.nodes?.[id]?.pos !== undefined);
    return isPlaced || state.definitions.size === 0 ? "" : `${state.active}/${ids.length}`;
  });
  useEffect(() => {
    if (key !== "") void arrangeGraph();
  }, [key]);
}
