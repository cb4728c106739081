/** What is going on on the canvas and is no part of the document: wires being drawn, open menus, the view. */
import type { ReactFlowInstance, Viewport } from "@xyflow/react";
import { create } from "zustand";
import type { Size } from "../graph/layout";
import type { FlowEdge, FlowNode } from "./flow";
import type { MenuEntry } from "./Menu";
import type { Misfits } from "./misfits";

/** One socket of a node in the graph that is shown. */
export interface SocketRef {
  node: string;
  name: string;
  side: "input" | "output";
}

/** The add-node palette, or the list of sockets that one may be connected to. */
export interface PaletteRequest {
  mode: "add" | "connect";
  /** Where a new node goes, in the graph's coordinates; null is the middle of the view. */
  at: { x: number; y: number } | null;
  /** Only what fits this socket, and connect it. */
  from: SocketRef | null;
}

export interface MenuRequest {
  x: number;
  y: number;
  label: string;
  entries: readonly MenuEntry[];
}

interface CanvasState {
  flow: ReactFlowInstance<FlowNode, FlowEdge> | null;
  palette: PaletteRequest | null;
  menu: MenuRequest | null;
  /** The socket that a wire is being drawn from. */
  wire: SocketRef | null;
  /** What that wire wouldn't fit, once the server said so; of the list of sockets for one as well. */
  misfits: Misfits | null;
  /** The link that a dragged node would be put into. */
  spliceEnd: string | null;
  /** Links that are selected, by the input that they feed. */
  selectedLinks: ReadonlySet<string>;
  /** The node, note or frame whose text is being edited. */
  renaming: string | null;
  /** Touching adds to the selection, and dragging draws a box: what Shift does for a mouse. */
  choosing: boolean;
  snap: boolean;
  minimap: boolean;
  /** Of the nodes of the graph that is shown, once they were drawn. */
  sizes: ReadonlyMap<string, Size>;
  /** Where each graph was looked at last, by tab and path. */
  views: ReadonlyMap<string, Viewport>;
  set(change: Partial<Omit<CanvasState, "set">>): void;
}

export const useCanvas = create<CanvasState>()((set) => ({
  flow: null,
  palette: null,
  menu: null,
  wire: null,
  misfits: null,
  spliceEnd: null,
  selectedLinks: new Set(),
  renaming: null,
  choosing: false,
  snap: true,
  minimap: false,
  sizes: new Map(),
  views: new Map(),
  set: (change) => set(change),
}));

/** Where the pointer is in the window; null while it isn't on the canvas. Apart, for it changes all the time. */
export const usePointer = create<{ at: { x: number; y: number } | null }>()(() => ({ at: null }));
