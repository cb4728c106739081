import { fittingSockets } from "../../graph/connect";
import { isLink, splitReference } from "../../graph/document";
import { current, titleOf } from "../actions/current";
import type { SocketRef } from "../canvasStore";
import { type Misfits, misfitBetween } from "../misfits";

/** A socket that another may be linked with. */
export interface Connectable {
  socket: SocketRef;
  /** Of its node. */
  title: string;
  /** It has a link already, which a new one would replace. */
  linked: boolean;
  /** Why the link isn't a good one, though it may be made; empty if nothing is known to speak against it. */
  misfit: string;
}

/** Give the sockets of the graph that one may be linked with, by name: free ones first, those that don't fit last. */
export function socketsFor(from: SocketRef, query: string, misfits: Misfits | null): Connectable[] {
  const now = current();
  if (now === null) return [];
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const side = from.side === "output" ? "input" : "output";
  const found = [...fittingSockets(now.graph, from, now.definitions, now.document)].map((reference): Connectable => {
    const { node, name } = splitReference(reference);
    const linked = side === "input" && isLink(now.graph.nodes[node]?.inputs?.[name]);
    const socket: SocketRef = { node, name, side };
    const misfit = misfitBetween(misfits, from, socket)?.reason ?? "";
    return { socket, title: titleOf(now.graph, node), linked, misfit };
  });
  return found
    .filter(({ socket, title }) => {
      const text = `${title} ${socket.node}.${socket.name} ${now.graph.nodes[socket.node]?.type}`.toLowerCase();
      return words.every((word) => text.includes(word));
    })
    .sort((one, other) => rank(one) - rank(other) || one.title.localeCompare(other.title));
}

function rank({ linked, misfit }: Connectable): number {
  return Number(linked) + (misfit === "" ? 0 : 2);
}
