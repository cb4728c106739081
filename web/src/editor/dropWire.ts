import type { FinalConnectionState } from "@xyflow/react";
import { shapeOf } from "../graph/resolve";
import { connectSockets, verdictOf } from "./actions";
import { current } from "./actions/current";
import { type SocketRef, useCanvas } from "./canvasStore";
import { openAddPalette } from "./palette";
import { refOf } from "./WireTip";

/** A wire was dropped where it can't stay: on a socket that refuses it, on a node, or on nothing. */
export function dropOn(event: globalThis.MouseEvent | TouchEvent, state: FinalConnectionState): void {
  if (state.fromHandle === null) return;
  const from = refOf(state.fromHandle);
  if (state.toHandle !== null) {
    connectSockets(from, refOf(state.toHandle));
    return;
  }
  const point = "changedTouches" in event ? event.changedTouches[0] : event;
  if (point === undefined) return;
  const element = document.elementFromPoint(point.clientX, point.clientY);
  const node = element?.closest<HTMLElement>(".react-flow__node-card")?.dataset["id"];
  if (node !== undefined) {
    if (node !== from.node) connectToNode(from, node);
    return;
  }
  if (element?.closest(".canvas") === null) return;
  const at = useCanvas.getState().flow?.screenToFlowPosition({ x: point.clientX, y: point.clientY });
  openAddPalette(at ?? null, from);
}

/** Link with a node's first socket that fits, free ones first; or say why none does. */
function connectToNode(from: SocketRef, node: string): void {
  const now = current();
  if (now === null) return;
  const shape = shapeOf(now.graph, node, now.definitions, now.document);
  const side = from.side === "output" ? "input" : "output";
  const sockets: SocketRef[] = (side === "input" ? shape.inputs : shape.outputs).map(({ name }) => ({
    node,
    name,
    side,
  }));
  const set = now.graph.nodes[node]?.inputs ?? {};
  const free = sockets.filter((socket) => side === "output" || set[socket.name] === undefined);
  const verdicts = [...free, ...sockets].map((socket) => ({ socket, verdict: verdictOf(from, socket) }));
  const allowed = verdicts.filter(({ verdict }) => verdict.ok);
  const best = allowed.find(({ verdict }) => verdict.misfit === undefined) ?? allowed[0] ?? verdicts[0];
  if (best !== undefined) connectSockets(from, best.socket);
}
