/** What a wire that is being drawn wouldn't fit: asked of the server once for each wire. */
import * as api from "../api/routes";
import type { WorkflowDoc } from "../graph/document";
import { fullId } from "../stores/editorStore";
import { current } from "./actions/current";
import { type SocketRef, useCanvas } from "./canvasStore";
import { misfitsOf } from "./misfits";

/** Ask whenever a wire begins, or the list of what a socket may be connected to is opened, until this is called. */
export function watchWires(): () => void {
  let from: SocketRef | null = null;
  let stale = new AbortController();
  const end = useCanvas.subscribe(({ wire, palette }) => {
    const next = wire ?? (palette?.mode === "connect" ? palette.from : null);
    if (next === from) return;
    from = next;
    stale.abort();
    stale = new AbortController();
    useCanvas.getState().set({ misfits: null });
    if (next !== null) void ask(next, stale.signal);
  });
  return () => {
    end();
    stale.abort();
  };
}

async function ask(from: SocketRef, signal: AbortSignal): Promise<void> {
  const now = current();
  if (now === null) return;
  const document: WorkflowDoc = { ...now.document };
  delete document.ui; // layout is of no matter to it
  const scope = fullId(now.tab, "");
  try {
    const { misfits } = await api.checkWire(document, { ...from, node: scope + from.node }, signal);
    if (!signal.aborted) useCanvas.getState().set({ misfits: misfitsOf(from, misfits, scope) });
  } catch {
    // no server, or no worker that answers: the check after the link was made tells it too
  }
}
