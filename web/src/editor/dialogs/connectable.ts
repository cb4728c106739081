import { fittingSockets } from "../../graph/connect";
import { isLink, splitReference } from "../../graph/document";
import { current, titleOf } from "../actions/current";
import type { SocketRef } from "../canvasStore";

/** A socket that another may be linked with. */
export interface Connectable {
  socket: SocketRef;
  /** Of its node. */
  title: string;
  /** It has a link already, which a new one would replace. */
  linked: boolean;
}

/** Give the sockets of the graph that one may be linked with, by name; free ones first. */
export function socketsFor(from: SocketRef, query: string): Connectable[] {
  const now = current();
  if (now === null) return [];
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const side = from.side === "output" ? "input" : "output";
  const found = [...fittingSockets(now.graph, from, now.definitions, now.document)].map((reference): Connectable => {
    const { node, name } = splitReference(reference);
    const linked = side === "input" && isLink(now.graph.nodes[node]?.inputs?.[name]);
    return { socket: { node, name, side }, title: titleOf(now.graph, node), linked };
  });
  return found
    .filter(({ socket, title }) => {
      const text = `${title} ${socket.node}.${socket.name} ${now.graph.nodes[socket.node]?.type}`.toLowerCase();
      return words.every((word) => text.includes(word));
    })
    .sort((one, other) => Number(one.linked) - Number(other.linked) || one.title.localeCompare(other.title));
}
