import type { Definitions } from "../../graph/definitions";
import { DocumentError, type GraphDoc, type WorkflowDoc } from "../../graph/document";
import { activeGraph, activeTab, type Tab, useEditor } from "../../stores/editorStore";
import { useUi } from "../../stores/uiStore";
import { useCanvas } from "../canvasStore";

/** What is shown now. */
export interface Current {
  tab: Tab;
  graph: GraphDoc;
  document: WorkflowDoc;
  definitions: Definitions;
}

export function current(): Current | null {
  const state = useEditor.getState();
  const [tab, graph] = [activeTab(state), activeGraph(state)];
  if (tab === undefined || graph === null) return null;
  return { tab, graph, document: tab.history.present, definitions: state.definitions };
}

/**
 * Change the graph that is shown. What can't be done is told, and changes nothing.
 *
 * The view is noted along with it, so that the workflow opens where it was left, without entries of its own.
 */
export function change(
  label: string,
  recipe: (graph: GraphDoc, document: WorkflowDoc) => void,
  merge?: string,
): boolean {
  const view = useCanvas.getState().flow?.getViewport();
  try {
    useEditor.getState().edit(
      label,
      (graph, document) => recipe(graph as GraphDoc, document as WorkflowDoc),
      merge,
      (graph) => {
        if (view === undefined) return;
        graph.ui ??= {};
        graph.ui.view = { x: Math.round(view.x), y: Math.round(view.y), zoom: Math.round(view.zoom * 1000) / 1000 };
      },
    );
    return true;
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error;
    useUi.getState().notify({ kind: "error", text: error.message });
    return false;
  }
}

export function announce(text: string): void {
  useUi.getState().announce(text);
}

/** What to call a node in words. */
export function titleOf(graph: GraphDoc, id: string): string {
  return graph.nodes[id]?.title ?? id;
}
