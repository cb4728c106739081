import type { Json, Mode } from "../../graph/document";
import * as edits from "../../graph/edits";
import { NARROWEST, widthOf } from "../../graph/layout";
import { t } from "../../i18n";
import { askName } from "../../run/askStore";
import { activeTab, graphAt, useEditor } from "../../stores/editorStore";
import { useUi } from "../../stores/uiStore";
import { useCanvas } from "../canvasStore";
import { announce, change, current, titleOf } from "./current";
import { disconnectEnds } from "./links";
import { selectedCards, selection } from "./selection";

export function undo(): void {
  const label = activeTab(useEditor.getState())?.history.done.at(-1)?.label;
  if (label === undefined) return;
  useEditor.getState().undo();
  announce(t("editor.undone", { label }));
}

export function redo(): void {
  const label = activeTab(useEditor.getState())?.history.undone.at(-1)?.label;
  if (label === undefined) return;
  useEditor.getState().redo();
  announce(t("editor.redone", { label }));
}

/**
 * Set the value of an input; of one that the graph declares as its own, the declared one's.
 *
 * @param gesture Part of one gesture, which is one entry of the history.
 */
export function setValue(node: string, input: string, value: Json, gesture: boolean): void {
  const label = t("editor.didSet", { input: `${node}.${input}` });
  change(
    label,
    (graph) => {
      const declared = edits.declaredFor(graph, { node, input });
      if (declared === null) edits.setInput(graph, node, input, value);
      else edits.setField(graph, declared, value);
    },
    gesture ? `value:${node}.${input}` : undefined,
  );
}

export function resetValue(node: string, input: string): void {
  change(t("editor.didReset", { input: `${node}.${input}` }), (graph) => edits.resetInput(graph, node, input));
}

/** Show an input as a socket instead of its widget, or the other way round. */
export function toggleSocket(node: string, input: string): void {
  change(t("editor.didToggleSocket", { input: `${node}.${input}` }), (graph) => edits.toggleSocket(graph, node, input));
}

/** Delete what is selected: nodes, notes and frames, or else links. */
export function removeSelection(): void {
  const ids = selection();
  const links = [...useCanvas.getState().selectedLinks];
  if (ids.length > 0) {
    change(t("editor.didDelete", { count: ids.length }), (graph) => edits.removeNodes(graph, ids));
    useEditor.getState().select([]);
    announce(t("editor.didDelete", { count: ids.length }));
  } else if (links.length > 0) {
    disconnectEnds(links);
  }
  useCanvas.getState().set({ selectedLinks: new Set() });
}

export function removeNode(id: string): void {
  change(t("editor.didDelete", { count: 1 }), (graph) => edits.removeNodes(graph, [id]));
  announce(t("editor.didDelete", { count: 1 }));
}

/** Mute or bypass the selected nodes; if all are already, make them normal. */
export function toggleMode(mode: Exclude<Mode, "normal">): void {
  const ids = selectedCards();
  const graph = current()?.graph;
  if (graph === undefined || ids.length === 0) return;
  const next: Mode = ids.every((id) => graph.nodes[id]?.mode === mode) ? "normal" : mode;
  const label = t(`editor.did_${next}`, { count: ids.length });
  change(label, (draft) => edits.setMode(draft, ids, next));
  announce(label);
}

/** Have runs stop before the selected nodes; if they do before all of them already, no more. */
export function toggleBreakpoint(ids: readonly string[] = selectedCards()): void {
  const now = current();
  if (now === null || ids.length === 0) return;
  const { graph, tab, document } = now;
  const isCalled = tab.path.some(({ node }, depth) => {
    const around = graphAt(document, tab.path.slice(0, depth));
    return around?.nodes[node]?.type.startsWith("subgraph:") !== true;
  });
  if (isCalled) {
    useUi.getState().notify({ kind: "info", text: t("breakpoints.inBody") });
    return;
  }
  const haveAll = ids.every((id) => graph.ui?.nodes?.[id]?.breakpoint);
  const label =
    ids.length === 1
      ? t(haveAll ? "breakpoints.removed" : "breakpoints.added", { node: titleOf(graph, ids[0] ?? "") })
      : t(haveAll ? "breakpoints.someRemoved" : "breakpoints.someAdded", { count: ids.length });
  change(label, (draft) => edits.toggleLook(draft, ids, "breakpoint"));
  announce(label);
}

export function toggleCollapsed(): void {
  change(t("editor.collapse"), (graph) => edits.toggleLook(graph, selectedCards(), "collapsed"));
}

export function toggleAdvanced(ids: readonly string[] = selectedCards()): void {
  change(t("editor.advanced"), (graph) => edits.toggleLook(graph, ids, "advanced"));
}

export function paint(color: string | null): void {
  change(t("editor.didPaint"), (graph) => edits.setColor(graph, selection(), color));
}

export function rename(id: string, title: string): void {
  const graph = current()?.graph;
  if (graph === undefined || titleOf(graph, id) === title) return;
  change(t("editor.rename"), (draft) => edits.setTitle(draft, id, title));
}

/** Ask for another id of the selected node, by which links, commands and results name it. */
export async function changeId(): Promise<void> {
  const [id] = selectedCards();
  if (id === undefined) return;
  const next = await askName(t("editor.changeId"), id);
  if (next === null || next === id) return;
  const label = t("editor.didRename", { from: id, to: next });
  if (!change(label, (graph) => edits.renameNode(graph, id, next))) return;
  useEditor.getState().select([next]);
  announce(label);
}

/** Make a node wider or narrower; drags are one entry of the history, until `endGesture`. */
export function resize(id: string, width: number): void {
  const now = current();
  if (now === null) return;
  const height = useCanvas.getState().sizes.get(id)?.height ?? 0;
  const label = t("editor.didResize", { node: titleOf(now.graph, id) });
  change(label, (graph) => edits.resizeNode(graph, id, [Math.round(width), Math.round(height)]), `resize:${id}`);
}

/** Make the selected nodes wider, or narrower. */
export function widen(by: number): void {
  const now = current();
  const ids = selectedCards();
  if (now === null || ids.length === 0) return;
  const widths = ids.map((id) => Math.max(widthOf(now.graph.ui?.nodes?.[id]) + by, NARROWEST));
  change(
    t("editor.didWiden", { count: ids.length }),
    (graph) => {
      for (const [place, id] of ids.entries()) {
        edits.resizeNode(graph, id, [widths[place] ?? 0, useCanvas.getState().sizes.get(id)?.height ?? 0]);
      }
    },
    `widen:${ids.join()}`,
  );
  announce(t("editor.widthIs", { width: widths[0] ?? 0 }));
}

/** Put things where they were dragged to. */
export function moveTo(places: ReadonlyMap<string, readonly [number, number]>): void {
  if (places.size === 0) return;
  const moves = [...places].map(([id, [x, y]]) => [id, [x, y] as [number, number]] as const);
  change(t("editor.didMove", { count: places.size }), (graph) => edits.moveNodes(graph, moves));
}

/** Move what is selected by keys; moves that follow each other are one entry. */
export function nudge(dx: number, dy: number): void {
  const now = current();
  if (now === null) return;
  const moves = selection().map((id) => {
    const [x, y] = positionOf(now.graph, id);
    return [id, [x + dx, y + dy] as [number, number]] as const;
  });
  if (moves.length === 0) return;
  const label = t("editor.didMove", { count: moves.length });
  change(label, (graph) => edits.moveNodes(graph, moves), `nudge:${moves.map(([id]) => id).join()}`);
}

type CurrentGraph = NonNullable<ReturnType<typeof current>>["graph"];

function positionOf(graph: CurrentGraph, id: string): readonly [number, number] {
  const thing = [...(graph.ui?.groups ?? []), ...(graph.ui?.notes ?? [])].find((each) => each.id === id);
  return thing?.pos ?? graph.ui?.nodes?.[id]?.pos ?? [0, 0];
}
