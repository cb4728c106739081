import type { MouseEvent } from "react";
import { enterNode } from "../actions";
import { useCanvas } from "../canvasStore";
import type { FlowNode } from "../flow";

/** A double click enters a sub-graph and edits a note. */
export function onNodeDoubleClick(event: MouseEvent, node: FlowNode): void {
  // In a widget it marks a word.
  if ((event.target as HTMLElement).closest(".nodrag") !== null) return;
  if (node.type === "note") useCanvas.getState().set({ renaming: node.id });
  else if (node.type === "card") enterNode(node.id);
}
