/** Looking at what travelled along a wire: which one is asked about, and what the server knows of it. */
import { create } from "zustand";
import { type Probed, probeOutput } from "../api/routes";
import type { WorkflowDoc } from "../graph/document";
import type { OutputEnd } from "../graph/links";
import { fullId } from "../stores/editorStore";
import { current } from "./actions/current";
import { useCanvas } from "./canvasStore";

/** A pointer that only crosses a wire asks for nothing. */
const HOVER_MS = 350;

export interface Probe {
  x: number;
  y: number;
  from: OutputEnd;
  /** It was asked for, so it has the focus and stays; else it goes with the pointer. */
  isPinned: boolean;
  /** Null until it is known. */
  answer: Probed | { trouble: string } | null;
}

export const useProbe = create<{ probe: Probe | null }>()(() => ({ probe: null }));

let timer: ReturnType<typeof setTimeout> | undefined;
let asking = new AbortController();

/** Show the value of an output beside a point of the window. */
export function showValue(from: OutputEnd, x: number, y: number, isPinned: boolean): void {
  closeProbe();
  const now = current();
  if (now === null) return;
  asking = new AbortController();
  const { signal } = asking;
  const tell = (answer: Probe["answer"]) => {
    if (!signal.aborted) useProbe.setState({ probe: { x, y, from, isPinned, answer } });
  };
  if (isPinned) tell(null);
  const document: WorkflowDoc = { ...now.document };
  delete document.ui; // layout is of no matter to it
  probeOutput(document, fullId(now.tab, from.node), from.output, signal).then(tell, (error: unknown) =>
    tell({ trouble: error instanceof Error ? error.message : String(error) }),
  );
}

/** The pointer came to a wire. */
export function hoverWire(from: OutputEnd, x: number, y: number): void {
  if (useProbe.getState().probe?.isPinned) return;
  clearTimeout(timer);
  timer = setTimeout(() => {
    const { wire, menu } = useCanvas.getState();
    if (wire === null && menu === null) showValue(from, x, y, false);
  }, HOVER_MS);
}

/** The pointer left it. */
export function leaveWire(): void {
  if (!useProbe.getState().probe?.isPinned) closeProbe();
}

export function closeProbe(): void {
  clearTimeout(timer);
  asking.abort();
  if (useProbe.getState().probe !== null) useProbe.setState({ probe: null });
}
