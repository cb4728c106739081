/** Which sockets a wire that is being drawn may go to. */
import { fittingSockets } from "../graph/connect";
import type { OutputEnd } from "../graph/links";
import { shapeOf } from "../graph/resolve";
import { current } from "./actions/current";
import type { SocketRef } from "./canvasStore";
import { isSame, type Misfits, misfitBetween } from "./misfits";

let known: { wire: SocketRef; graph: unknown; fits: ReadonlySet<string> } | null = null;

/** Say how a socket looks while a wire is drawn: that it fits, only its type does, it doesn't, or nothing. */
export function fitOf(
  wire: SocketRef | null,
  misfits: Misfits | null,
  socket: SocketRef,
): "" | "fits" | "misfit" | "dim" {
  if (wire === null || isSame(wire, socket)) return "";
  if (wire.side === socket.side || !fits(wire).has(`${socket.node}.${socket.name}`)) return "dim";
  return misfitBetween(misfits, wire, socket) === null ? "fits" : "misfit";
}

/** All sockets that a wire may go to; computed once for each wire. */
function fits(wire: SocketRef): ReadonlySet<string> {
  const now = current();
  if (now === null) return new Set();
  if (known === null || known.wire !== wire || known.graph !== now.graph) {
    known = { wire, graph: now.graph, fits: fittingSockets(now.graph, wire, now.definitions, now.document) };
  }
  return known.fits;
}

interface Ends {
  source: string;
  target: string;
  sourceHandle?: string | null;
  targetHandle?: string | null;
}

/** The two sockets of a connection as React Flow tells it. */
export function socketsOf(connection: Ends) {
  const from: SocketRef = { node: connection.source, name: connection.sourceHandle ?? "", side: "output" };
  const to: SocketRef = { node: connection.target, name: connection.targetHandle ?? "", side: "input" };
  return { from, to };
}

/** The output that a link comes from. */
export function sourceOf(edge: Ends): OutputEnd {
  return { node: edge.source, output: edge.sourceHandle ?? "" };
}

/** Give a socket's type. */
export function typeOf(socket: SocketRef): string {
  const now = current();
  if (now === null || now.graph.nodes[socket.node] === undefined) return "*";
  const shape = shapeOf(now.graph, socket.node, now.definitions, now.document);
  const sockets = socket.side === "input" ? shape.inputs : shape.outputs;
  return sockets.find((each) => each.name === socket.name)?.type ?? "*";
}
