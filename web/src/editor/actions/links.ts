import {
  canConnect,
  connect,
  disconnect,
  type InputEnd,
  type OutputEnd,
  spliceInto,
  splicePoint,
  type Verdict,
} from "../../graph/connect";
import type { Json } from "../../graph/document";
import { splitReference } from "../../graph/document";
import * as edits from "../../graph/edits";
import { NODE_WIDTH } from "../../graph/layout";
import { t } from "../../i18n";
import { useEditor } from "../../stores/editorStore";
import { useUi } from "../../stores/uiStore";
import { type SocketRef, useCanvas } from "../canvasStore";
import { snapped } from "../grid";
import { type Misfit, misfitBetween } from "../misfits";
import { announce, change, current, titleOf } from "./current";

/** Two sockets as the ends of a link, whichever of them was first; null if both are of one side. */
export function asEnds(one: SocketRef, other: SocketRef): { from: OutputEnd; to: InputEnd } | null {
  const [output, input] = one.side === "output" ? [one, other] : [other, one];
  if (output.side !== "output" || input.side !== "input") return null;
  return { from: { node: output.node, output: output.name }, to: { node: input.node, input: input.name } };
}

/** Say whether two sockets may be linked; those that may and weren't made for each other have a `misfit`. */
export function verdictOf(one: SocketRef, other: SocketRef): Verdict & { misfit?: Misfit } {
  const now = current();
  const ends = asEnds(one, other);
  if (now === null || ends === null) return { ok: false, reason: t("editor.sameSide") };
  const verdict = canConnect(now.graph, ends.from, ends.to, now.definitions, now.document);
  const misfit = misfitBetween(useCanvas.getState().misfits, one, other);
  return verdict.ok && misfit !== null ? { ...verdict, misfit } : verdict;
}

/**
 * Link two sockets, or say why they can't be and offer the node that would help.
 *
 * What only its model speaks against is linked: who changes over to another model makes one link after the other.
 */
export function connectSockets(one: SocketRef, other: SocketRef): boolean {
  const ends = asEnds(one, other);
  const verdict = verdictOf(one, other);
  if (!verdict.ok || ends === null) {
    if (!verdict.ok) refuse(verdict, ends);
    return false;
  }
  const done = t("editor.didConnect", {
    from: `${ends.from.node}.${ends.from.output}`,
    to: `${ends.to.node}.${ends.to.input}`,
  });
  change(done, (graph) => connect(graph, ends.from, ends.to));
  const { mapped, misfit } = verdict;
  announce([done, mapped && t("editor.runsPerItem"), misfit?.reason, misfit?.remedy].filter(Boolean).join(" "));
  return true;
}

function refuse(verdict: Extract<Verdict, { ok: false }>, ends: ReturnType<typeof asEnds>): void {
  const { converter } = verdict;
  const notice = { kind: "info" as const, text: verdict.reason };
  if (converter === undefined || ends === null) useUi.getState().notify(notice);
  else {
    const action = {
      label: t("editor.putBetween", { kind: converter.type }),
      run: () => {
        const { notices, dismiss } = useUi.getState();
        for (const shown of notices) if (shown.text === verdict.reason) dismiss(shown.id);
        putBetween(ends.from, ends.to, converter);
      },
    };
    useUi.getState().notify({ ...notice, action });
  }
  announce(verdict.reason);
}

/** Add a converting node between two sockets, and link it with both. */
function putBetween(from: OutputEnd, to: InputEnd, converter: { type: string; input: string; output: string }): void {
  const now = current();
  if (now === null) return;
  const [fromX, fromY] = now.graph.ui?.nodes?.[from.node]?.pos ?? [0, 0];
  const [toX, toY] = now.graph.ui?.nodes?.[to.node]?.pos ?? [0, 0];
  const pos: [number, number] = [snapped((fromX + toX) / 2), snapped((fromY + toY) / 2 + 40)];
  let id = "";
  const kind = now.definitions.get(converter.type) ?? converter.type;
  change(t("editor.putBetween", { kind: converter.type }), (graph) => {
    id = edits.addNode(graph, kind, pos);
    connect(graph, from, { node: id, input: converter.input });
    connect(graph, { node: id, output: converter.output }, to);
  });
  useEditor.getState().select([id]);
}

/** Move a link's end elsewhere; as one edit. */
export function reconnect(oldEnd: string, one: SocketRef, other: SocketRef): void {
  const ends = asEnds(one, other);
  const verdict = verdictOf(one, other);
  if (ends === null || !verdict.ok) {
    if (!verdict.ok) refuse(verdict, ends);
    return;
  }
  const to = `${ends.to.node}.${ends.to.input}`;
  change(t("editor.didConnect", { from: `${ends.from.node}.${ends.from.output}`, to }), (graph) => {
    if (to !== oldEnd) disconnect(graph, asInput(oldEnd));
    connect(graph, ends.from, ends.to);
  });
}

/** Cut the links that end at these inputs (`node.input`). */
export function disconnectEnds(ends: readonly string[]): void {
  const label = t("editor.didDisconnect", { count: ends.length });
  change(label, (graph) => {
    for (const end of ends) disconnect(graph, asInput(end));
  });
  announce(label);
}

export function asInput(end: string): InputEnd {
  const { node, name } = splitReference(end);
  return { node, input: name };
}

/** Tell whether a node would fit into a link. */
export function fitsInto(node: string, end: string): boolean {
  const now = current();
  if (now === null) return false;
  return splicePoint(now.graph, node, asInput(end), now.definitions, now.document) !== null;
}

/** Put a node into the link that it was dropped on, where it was dropped. */
export function splice(node: string, end: string, pos: readonly [number, number]): void {
  const now = current();
  if (now === null) return;
  const label = t("editor.didSplice", { node: titleOf(now.graph, node), end });
  change(label, (graph, document) => {
    edits.moveNodes(graph, [[node, [pos[0], pos[1]]]]);
    spliceInto(graph, node, asInput(end), now.definitions, document);
  });
  announce(label);
}

/** Add a node of a kind, linked with a socket if it was asked for from one. Gives its id. */
export function addNodeOf(
  kind: string,
  at: { x: number; y: number },
  wire: { from: SocketRef; socket: string } | null,
  inputs: { [name: string]: Json } = {},
): string {
  const now = current();
  if (now === null) return "";
  const left = wire?.from.side === "input" ? at.x - NODE_WIDTH : at.x;
  const pos: [number, number] = [snapped(left), snapped(at.y)];
  let id = "";
  const label = t("editor.didAdd", { kind });
  change(label, (graph) => {
    id = edits.addNode(graph, now.definitions.get(kind) ?? kind, pos, inputs);
    if (wire === null) return;
    const side = wire.from.side === "output" ? "input" : "output";
    const ends = asEnds(wire.from, { node: id, name: wire.socket, side });
    if (ends !== null) connect(graph, ends.from, ends.to);
  });
  useEditor.getState().select([id]);
  announce(label);
  return id;
}

/** Add a point to a link, between those that are nearest. */
export function addReroute(end: string, index: number, point: [number, number]): void {
  change(t("editor.addReroute"), (graph) => edits.addReroute(graph, end, index, point));
}

export function moveReroute(end: string, index: number, point: [number, number]): void {
  change(t("editor.didMoveReroute"), (graph) => edits.moveReroute(graph, end, index, point), `reroute:${end}:${index}`);
  useEditor.getState().endGesture();
}

export function removeReroute(end: string, index: number): void {
  change(t("editor.didRemoveReroute"), (graph) => edits.removeReroute(graph, end, index));
}
