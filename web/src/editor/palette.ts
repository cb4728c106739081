/** Asking for the add-node palette, or for what a socket may be connected to. */
import { selectedCards } from "./actions/selection";
import { type SocketRef, useCanvas } from "./canvasStore";

export function openAddPalette(at: { x: number; y: number } | null = null, from: SocketRef | null = null): void {
  useCanvas.getState().set({ palette: { mode: "add", at, from } });
}

/** "Connect to…": every socket that fits this one, and the kinds that would. */
export function openSocketPalette(from: SocketRef): void {
  useCanvas.getState().set({ palette: { mode: "connect", at: null, from } });
}

/** "Connect to…" for the selected node: first which of its sockets. */
export function openConnectPalette(): void {
  const [id] = selectedCards();
  if (id !== undefined) focusFirstSocket(id);
}

/** Give the focus to a node's first socket; arrow keys go on from there. */
export function focusFirstSocket(node: string): void {
  const card = document.querySelector(`.canvas [data-id="${CSS.escape(node)}"]`);
  card?.querySelector<HTMLElement>("[data-socket]")?.focus();
}
