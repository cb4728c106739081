import {
  Background,
  type Connection,
  type EdgeTypes,
  MiniMap,
  type NodeTypes,
  type OnConnectEnd,
  ReactFlow,
  SelectionMode,
  useStore,
  useStoreApi,
  type Viewport,
} from "@xyflow/react";
import { type MouseEvent, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { ErrorBoundary } from "../app/ErrorBoundary";
import { lazily } from "../app/lazily";
import type { GraphDoc } from "../graph/document";
import { t } from "../i18n";
import { type Tab, useEditor } from "../stores/editorStore";
import { connectSockets, disconnectEnds, reconnect, verdictOf } from "./actions";
import { Breadcrumb } from "./Breadcrumb";
import { onCanvasKey } from "./canvasKeys";
import { type SocketRef, useCanvas, usePointer } from "./canvasStore";
import { applySelection, applySizes, useDragging } from "./dragging";
import { dropOn } from "./dropWire";
import { EmptyCanvas } from "./EmptyCanvas";
import { LinkEdge } from "./edges/LinkEdge";
import { rerouteAt } from "./edges/rerouteAt";
import { FlowBuilder, type FlowEdge, type FlowNode } from "./flow";
import { GRID } from "./grid";
import { listenToLongPress } from "./longPress";
import { openLinkMenu, openNodeMenu, openPaneMenu } from "./menus";
import { onNodeDoubleClick } from "./nodes/doubleClick";
import { Frame } from "./nodes/Frame";
import { NodeCard } from "./nodes/NodeCard";
import { NoteCard } from "./nodes/NoteCard";
import { openAddPalette } from "./palette";
import { hoverWire, leaveWire } from "./probeStore";
import { socketColor } from "./socketLooks";
import { ViewTools } from "./ViewTools";
import { focusCanvas, openAt } from "./view";
import { MAX_ZOOM, MIN_ZOOM, OVERVIEW_ZOOM } from "./viewMath";
import { refOf, WireTip } from "./WireTip";
import { watchWires } from "./watchWires";
import { socketsOf, sourceOf, typeOf } from "./wiring";

const NODE_TYPES: NodeTypes = { card: NodeCard, frame: Frame, note: NoteCard };
const EDGE_TYPES: EdgeTypes = { link: LinkEdge };
const Overview = lazily(async () => (await import("./overview/Overview")).Overview);
const NO_NODES: FlowNode[] = [];
const NO_EDGES: FlowEdge[] = [];
const SNAP: [number, number] = [GRID, GRID];
const LARGE_GRAPH = 200;
const ADD_KEYS = ["Shift", "Control", "Meta"];

interface GraphViewProps {
  viewKey: string;
  tab: Tab;
  graph: GraphDoc;
}

export function GraphView({ viewKey, tab, graph }: GraphViewProps) {
  const definitions = useEditor((state) => state.definitions);
  const sizes = useCanvas((state) => state.sizes);
  const selectedLinks = useCanvas((state) => state.selectedLinks);
  const snap = useCanvas((state) => state.snap);
  const minimap = useCanvas((state) => state.minimap);
  const choosing = useCanvas((state) => state.choosing);
  const wire = useCanvas((state) => state.wire);
  const dragging = useDragging();
  const [builder] = useState(() => new FlowBuilder());
  const { moving } = dragging;
  const flow = useMemo(
    () => builder.build(tab, graph, definitions, { sizes, moving }, selectedLinks),
    [builder, tab, graph, definitions, sizes, moving, selectedLinks],
  );
  const [known] = useState(() => knownView(viewKey, graph));
  // React Flow takes the view after it has drawn once: a large graph is not to be drawn in full for that.
  const isFar = useStore(
    ({ panZoom, transform }) => (panZoom === null ? (known?.zoom ?? 1) : transform[2]) < OVERVIEW_ZOOM,
  );
  const isOverview = isFar && flow.nodes.length > LARGE_GRAPH;
  const set = useCanvas.getState().set;

  useEffect(() => {
    return () => set({ flow: null, sizes: new Map(), selectedLinks: new Set(), wire: null, renaming: null });
  }, [set]);
  useEffect(watchWires, []);
  const section = useRef<HTMLElement>(null);
  useEffect(() => (section.current === null ? undefined : listenToLongPress(section.current)), []);
  const store = useStoreApi();
  useEffect(() => store.setState({ multiSelectionActive: choosing }), [store, choosing]);
  const reconnecting = useRef(false);
  const onConnectEnd: OnConnectEnd = useCallback(
    (event, state) => {
      set({ wire: null });
      // React Flow ends a link's moving by both events; the other one takes care of it.
      if (reconnecting.current) return;
      if (!state.isValid && state.fromHandle !== null) dropOn(event, state);
    },
    [set],
  );

  return (
    <section
      ref={section}
      className="canvas"
      aria-label={t("canvas.label")}
      tabIndex={-1}
      onKeyDown={onCanvasKey}
      onDoubleClick={addAtPointer}
      onPointerMove={(event) => usePointer.setState({ at: { x: event.clientX, y: event.clientY } })}
      onPointerLeave={() => usePointer.setState({ at: null })}
    >
      <ReactFlow<FlowNode, FlowEdge>
        nodes={isOverview ? NO_NODES : flow.nodes}
        edges={isOverview ? NO_EDGES : flow.edges}
        nodeTypes={NODE_TYPES}
        edgeTypes={EDGE_TYPES}
        {...(known === undefined ? {} : { defaultViewport: known })}
        onInit={(instance) => {
          set({ flow: instance });
          if (known === undefined) openAt(tab, graph);
        }}
        onMoveEnd={(_event, view) => set({ views: new Map(useCanvas.getState().views).set(viewKey, view) })}
        onlyRenderVisibleElements
        minZoom={MIN_ZOOM}
        maxZoom={MAX_ZOOM}
        zoomOnDoubleClick={false}
        snapToGrid={snap}
        snapGrid={SNAP}
        selectionMode={SelectionMode.Partial}
        selectionOnDrag={choosing}
        panOnDrag={!choosing}
        multiSelectionKeyCode={ADD_KEYS}
        deleteKeyCode={null}
        disableKeyboardA11y
        edgesFocusable={false}
        connectOnClick={false}
        connectionRadius={24}
        connectionLineStyle={{ stroke: wire === null ? undefined : socketColor(typeOf(wire)), strokeWidth: 2 }}
        isValidConnection={(connection) => isValid(connection)}
        onConnectStart={(_event, { nodeId, handleId, handleType }) => {
          if (nodeId !== null) set({ wire: { node: nodeId, name: handleId ?? "", side: sideOf(handleType) } });
        }}
        onConnect={(connection) => {
          const { from, to } = socketsOf(connection);
          connectSockets(from, to);
        }}
        onConnectEnd={onConnectEnd}
        onReconnect={(edge, connection) => {
          const { from, to } = socketsOf(connection);
          reconnect(edge.id, from, to);
        }}
        onReconnectStart={(_event, edge, handleType) => {
          reconnecting.current = true;
          // React Flow tells the end that stays.
          const stays = handleType === "source" ? edge.source : edge.target;
          const name = handleType === "source" ? edge.sourceHandle : edge.targetHandle;
          set({ wire: { node: stays, name: name ?? "", side: sideOf(handleType) } });
        }}
        onReconnectEnd={(_event, edge, _handleType, state) => {
          reconnecting.current = false;
          set({ wire: null });
          if (state.isValid === null) disconnectEnds([edge.id]);
          else if (!state.isValid && state.toHandle !== null && state.fromHandle !== null) {
            connectSockets(refOf(state.fromHandle), refOf(state.toHandle));
          }
        }}
        onNodesChange={(changes) => {
          applySelection(changes);
          applySizes(changes);
          dragging.move(changes);
        }}
        onEdgesChange={(changes) => {
          const links = new Set(useCanvas.getState().selectedLinks);
          for (const change of changes) {
            if (change.type !== "select") continue;
            if (change.selected) links.add(change.id);
            else links.delete(change.id);
          }
          set({ selectedLinks: links });
        }}
        onNodeDragStart={(_event, _node, nodes) => dragging.start(nodes)}
        onNodeDragStop={dragging.drop}
        onSelectionDragStart={(_event, nodes) => dragging.start(nodes)}
        onSelectionDragStop={dragging.drop}
        onNodeDoubleClick={onNodeDoubleClick}
        onEdgeDoubleClick={rerouteAt}
        onNodeContextMenu={openNodeMenu}
        onSelectionContextMenu={(event) => openNodeMenu(event, null)}
        onEdgeContextMenu={openLinkMenu}
        onEdgeMouseEnter={(event, edge) => hoverWire(sourceOf(edge), event.clientX, event.clientY)}
        onEdgeMouseLeave={leaveWire}
        onMoveStart={leaveWire}
        onPaneContextMenu={openPaneMenu}
        onPaneClick={focusCanvas}
      >
        <Background gap={GRID * 2} size={1} />
        {minimap && !isOverview && <MiniMap pannable zoomable ariaLabel={t("editor.minimap")} />}
        <ErrorBoundary>{isOverview && <Overview nodes={flow.nodes} />}</ErrorBoundary>
        <WireTip />
      </ReactFlow>
      <Breadcrumb tab={tab} />
      <ViewTools />
      {Object.keys(graph.nodes).length === 0 && <EmptyCanvas />}
    </section>
  );
}

/** Give where the graph was looked at last, in this window or when it was saved. */
function knownView(viewKey: string, graph: GraphDoc): Viewport | undefined {
  const view = useCanvas.getState().views.get(viewKey) ?? graph.ui?.view;
  return view !== undefined && [view.x, view.y, view.zoom].every(Number.isFinite) ? view : undefined;
}

function sideOf(handleType: "source" | "target" | null): SocketRef["side"] {
  return handleType === "source" ? "output" : "input";
}

function isValid(connection: Connection | FlowEdge): boolean {
  const { from, to } = socketsOf(connection);
  return verdictOf(from, to).ok;
}

function pointOf(event: { clientX: number; clientY: number }) {
  return useCanvas.getState().flow?.screenToFlowPosition({ x: event.clientX, y: event.clientY }) ?? null;
}

function addAtPointer(event: MouseEvent): void {
  if ((event.target as HTMLElement).classList.contains("react-flow__pane")) openAddPalette(pointOf(event));
}
