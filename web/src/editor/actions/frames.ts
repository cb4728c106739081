import type { Group, Note } from "../../graph/document";
import * as edits from "../../graph/edits";
import { layOut } from "../../graph/layout";
import { linksOf } from "../../graph/links";
import { t } from "../../i18n";
import { useEditor } from "../../stores/editorStore";
import { boxesOf } from "../boxes";
import { useCanvas } from "../canvasStore";
import { GRID, snapped } from "../grid";
import { centerOfView, fitView } from "../view";
import { announce, change, current } from "./current";
import { selectedCards, selection } from "./selection";

/** Whole steps of the grid, so that what a frame takes along stays on it. */
const AROUND = 2 * GRID;
const FRAME_HEAD = 4 * GRID;

/** Put a frame around what is selected. */
export function addFrame(): void {
  const boxes = selectedBoxes();
  if (boxes.length === 0) return;
  const left = Math.min(...boxes.map((box) => box.x)) - AROUND;
  const top = Math.min(...boxes.map((box) => box.y)) - AROUND - FRAME_HEAD;
  const right = Math.max(...boxes.map((box) => box.x + box.width)) + AROUND;
  const bottom = Math.max(...boxes.map((box) => box.y + box.height)) + AROUND;
  let id = "";
  change(t("editor.frameSelection"), (graph) => {
    id = edits.addGroup(graph, { title: t("editor.frame"), pos: [left, top], size: [right - left, bottom - top] });
  });
  useEditor.getState().select([id]);
  useCanvas.getState().set({ renaming: id });
}

export function addNoteHere(at = centerOfView()): void {
  let id = "";
  change(t("editor.addNote"), (graph) => {
    id = edits.addNote(graph, { text: "", pos: [snapped(at.x), snapped(at.y)], size: [240, 120] });
  });
  useEditor.getState().select([id]);
  useCanvas.getState().set({ renaming: id });
}

export function changeGroup(id: string, next: Partial<Omit<Group, "id">>): void {
  change(t("editor.didChangeFrame"), (graph) => edits.changeGroup(graph, id, next));
}

export function changeNote(id: string, next: Partial<Omit<Note, "id">>): void {
  change(t("editor.didChangeNote"), (graph) => edits.changeNote(graph, id, next));
}

type Side = "left" | "right" | "top" | "bottom" | "center" | "middle";

export function alignSelection(side: Side): void {
  const moves = edits.align(selectedBoxes(), side === "center" ? "centre" : side);
  change(t(`editor.align_${side}`), (graph) => edits.moveNodes(graph, moves));
}

export function distributeSelection(axis: "x" | "y"): void {
  const moves = edits.distribute(selectedBoxes(), axis);
  change(t(axis === "x" ? "editor.distributeAcross" : "editor.distributeDown"), (graph) =>
    edits.moveNodes(graph, moves),
  );
}

/** Lay out the selected nodes, or all of them, along their links. */
export async function arrangeGraph(): Promise<void> {
  const now = current();
  if (now === null) return;
  const chosen = selectedCards();
  const ids = new Set(chosen.length > 1 ? chosen : Object.keys(now.graph.nodes));
  const boxes = boxesOf(now).filter((box) => ids.has(box.id));
  if (boxes.length === 0) return;
  const links = linksOf(now.graph)
    .filter((link) => ids.has(link.from.node) && ids.has(link.to.node))
    .map((link) => ({ from: link.from.node, to: link.to.node }));
  const corner: [number, number] = [Math.min(...boxes.map((box) => box.x)), Math.min(...boxes.map((box) => box.y))];
  const places = await layOut(boxes, links, corner);
  const then = current()?.tab;
  if (then?.id !== now.tab.id || then.path !== now.tab.path) return; // another graph is shown by now
  change(t("editor.layout"), (graph) => edits.moveNodes(graph, places));
  announce(t("editor.layout"));
  if (chosen.length <= 1) fitView();
}

function selectedBoxes() {
  const now = current();
  const ids = new Set(selection());
  return now === null ? [] : boxesOf(now).filter((box) => ids.has(box.id));
}
