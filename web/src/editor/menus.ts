/** Context menus: the commands for what was clicked, and what can be done with a single input or link. */
import type { MouseEvent } from "react";
import { declaredFrom } from "../graph/declared";
import type { InputDefinition } from "../graph/definitions";
import { isLink } from "../graph/document";
import { isScalar } from "../graph/sockets";
import { t } from "../i18n";
import { startSweep } from "../run/sweepStore";
import { useEditor } from "../stores/editorStore";
import { useUi } from "../stores/uiStore";
import {
  addNoteHere,
  disconnectEnds,
  editSubgraphs,
  paint,
  pasteFromClipboard,
  resetValue,
  selection,
  toggleSocket,
} from "./actions";
import { current } from "./actions/current";
import { useCanvas } from "./canvasStore";
import { isEnabled, shownKeys, useCommands } from "./commands";
import { rerouteAt } from "./edges/rerouteAt";
import type { CardData, FlowEdge, FlowNode } from "./flow";
import type { MenuEntry } from "./Menu";
import { openAddPalette, openSocketPalette } from "./palette";
import { showValue } from "./probeStore";
import { sourceOf } from "./wiring";

/** Colours for nodes, notes and frames; kept in workflows, so plain, and calm on light and dark. */
export const TINTS: readonly (readonly [string, string])[] = [
  [t("editor.tint_red"), "#d9534f"],
  [t("editor.tint_orange"), "#d98a2b"],
  [t("editor.tint_green"), "#4f9d5d"],
  [t("editor.tint_blue"), "#4a86d9"],
  [t("editor.tint_violet"), "#8a63d2"],
];

/** More entries for a node's menu, added by other parts of the page ("run to here"). */
const nodeEntries: ((fullId: string) => readonly MenuEntry[])[] = [];

export function addNodeEntries(entries: (fullId: string) => readonly MenuEntry[]): void {
  nodeEntries.push(entries);
}

type AnyMouseEvent =
  | Pick<MouseEvent, "clientX" | "clientY" | "preventDefault" | "stopPropagation">
  | globalThis.MouseEvent;

function open(event: AnyMouseEvent, label: string, entries: readonly MenuEntry[]): void {
  event.preventDefault();
  event.stopPropagation();
  useCanvas.getState().set({ menu: { x: event.clientX, y: event.clientY, label, entries } });
}

function commands(...ids: string[]): MenuEntry[] {
  return ids.flatMap((id) => {
    const command = useCommands.getState().commands.find((each) => each.id === id);
    if (command === undefined || !isEnabled(command)) return [];
    const keys = shownKeys(id);
    return [
      { label: command.label, run: command.run, danger: id === "edit.delete", ...(keys === undefined ? {} : { keys }) },
    ];
  });
}

/** Of a node, note or frame, or of all that are selected. */
export function openNodeMenu(event: AnyMouseEvent, node: FlowNode | null): void {
  if (node !== null && !selection().includes(node.id)) useEditor.getState().select([node.id]);
  const more = node?.type === "card" ? nodeEntries.flatMap((entries) => entries(node.data.fullId)) : [];
  const colors = TINTS.map(
    ([label, color]): MenuEntry => ({ label: t("editor.paint", { color: label }), run: () => paint(color) }),
  );
  open(event, t("editor.nodeMenu"), [
    ...more,
    ...(more.length > 0 ? (["line"] as const) : []),
    ...commands(
      "graph.enter",
      "graph.connect",
      "graph.showValue",
      "edit.rename",
      "edit.changeId",
      "edit.mute",
      "edit.bypass",
      "edit.breakpoint",
      "edit.advanced",
      "edit.collapse",
    ),
    {
      label: t("editor.colors"),
      run: () => open(event, t("editor.colors"), [...colors, { label: t("editor.noColor"), run: () => paint(null) }]),
    },
    "line",
    ...commands("edit.cut", "edit.copy", "edit.duplicate"),
    "line",
    ...commands(
      "graph.frame",
      "graph.makeSubgraph",
      "graph.renameSubgraph",
      "graph.unpack",
      ...(selection().length > 1 ? ARRANGING : []),
    ),
    "line",
    { label: t("editor.nodeHelp"), keys: shownKeys("panel.node") ?? "", run: () => useUi.getState().showPanel("node") },
    ...commands("edit.delete"),
  ]);
}

const ARRANGING = ["arrange.layout", "arrange.left", "arrange.top", "arrange.across", "arrange.down"];

export function openLinkMenu(event: MouseEvent, edge: FlowEdge): void {
  const end = edge.data?.end ?? edge.id;
  open(event, t("editor.linkMenu"), [
    {
      label: t("probe.show"),
      keys: shownKeys("graph.showValue") ?? "",
      run: () => showValue(sourceOf(edge), event.clientX, event.clientY, true),
    },
    { label: t("editor.addReroute"), run: () => rerouteAt(event, edge) },
    { label: t("editor.disconnect"), danger: true, run: () => disconnectEnds([end]) },
  ]);
}

export function openPaneMenu(event: MouseEvent | globalThis.MouseEvent): void {
  const at = useCanvas.getState().flow?.screenToFlowPosition({ x: event.clientX, y: event.clientY });
  open(event, t("editor.canvasMenu"), [
    { label: t("editor.addNode"), keys: shownKeys("graph.addNode") ?? "", run: () => openAddPalette(at ?? null) },
    { label: t("editor.addNote"), keys: shownKeys("graph.addNote") ?? "", run: () => addNoteHere(at) },
    { label: t("editor.paste"), keys: shownKeys("edit.paste") ?? "", run: () => void pasteFromClipboard() },
    "line",
    ...commands("edit.undo", "edit.redo", "edit.selectAll"),
    "line",
    ...commands("arrange.layout", "view.fit", "graph.leave", "panel.outline", "view.commands"),
  ]);
}

/** Of one input of a node. */
export function openInputMenu(event: MouseEvent, node: string, input: InputDefinition, data: CardData): void {
  const value = data.node.inputs?.[input.name];
  const linked = isLink(value);
  const promoted = data.promoted.get(input.name);
  const inside = (useEditor.getState().tabs.find((tab) => tab.id === data.tab)?.path.length ?? 0) > 0;
  const entries: MenuEntry[] = [
    { label: t("editor.connectTo"), run: () => openSocketPalette({ node, name: input.name, side: "input" }) },
  ];
  if (linked) entries.push({ label: t("editor.disconnect"), run: () => disconnectEnds([`${node}.${input.name}`]) });
  if (!linked && isScalar(input.type)) {
    const asSocket = data.sockets.has(input.name);
    entries.push({
      label: t(asSocket ? "editor.asWidget" : "editor.asSocket"),
      run: () => toggleSocket(node, input.name),
    });
    if (value !== undefined) entries.push({ label: t("editor.resetValue"), run: () => resetValue(node, input.name) });
  }
  if (!linked && isScalar(input.type)) {
    entries.push({ label: t("sweep.menu"), run: () => startSweep({ node: data.fullId, input: input.name }) });
  }
  if (promoted !== undefined) {
    entries.push({
      label: t("editor.demote", { name: promoted.name }),
      run: () => editSubgraphs((edits) => edits.demote(promoted.name)),
    });
  } else if (!linked && (inside || isScalar(input.type))) {
    entries.push({
      label: t(inside ? "editor.promote" : "editor.addToForm"),
      run: () => editSubgraphs((edits) => edits.promote(node, input)),
    });
  }
  open(event, t("editor.inputMenu", { input: input.name }), entries);
}

/** Of one output of a node. */
export function openOutputMenu(event: MouseEvent, node: string, output: string): void {
  const now = current();
  if (now === null) return;
  const from = { node, output };
  const name = declaredFrom(now.graph, from);
  open(event, t("editor.outputMenu", { output }), [
    { label: t("editor.connectTo"), run: () => openSocketPalette({ node, name: output, side: "output" }) },
    { label: t("probe.show"), run: () => showValue(from, event.clientX, event.clientY, true) },
    name === null
      ? {
          label: t(now.tab.path.length > 0 ? "editor.declareOutput" : "editor.declareResult"),
          run: () => editSubgraphs((edits) => edits.declare(from)),
        }
      : { label: t("editor.undeclareOutput", { name }), run: () => editSubgraphs((edits) => edits.undeclare(name)) },
  ]);
}
