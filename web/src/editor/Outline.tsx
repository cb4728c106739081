import { useState } from "react";
import { isLink } from "../graph/document";
import { linksOf } from "../graph/links";
import { type Shape, shapesOf } from "../graph/resolve";
import { t } from "../i18n";
import { activeGraph, activeTab, fullId, type Tab, useEditor } from "../stores/editorStore";
import { useRun } from "../stores/runStore";
import { widgetFor } from "../widgets/registry";
import { disconnectEnds, enterNode, removeNode, setValue } from "./actions";
import type { SocketRef } from "./canvasStore";
import { layered } from "./layered";
import { TypeTag } from "./NodeHelp";
import { openAddPalette, openSocketPalette } from "./palette";
import { goToNode } from "./view";

type OutlineGraph = NonNullable<ReturnType<typeof activeGraph>>;

/** The whole graph as a list, in the order in which it runs: all that the canvas can do, without one. */
export function Outline() {
  const graph = useEditor(activeGraph);
  const tab = useEditor(activeTab);
  const definitions = useEditor((state) => state.definitions);
  if (graph === null || tab === undefined) return null;
  const shapes = shapesOf(graph, definitions, tab.history.present);
  const ids = layered(Object.keys(graph.nodes), linksOf(graph));
  return (
    <div className="outline">
      <p>{t("editor.outlineCount", { nodes: ids.length, links: linksOf(graph).length })}</p>
      <button type="button" className="quiet" onClick={() => openAddPalette()}>
        {t("editor.addNode")}
      </button>
      <ul>
        {ids.map((id) => {
          const shape = shapes.get(id);
          return shape === undefined ? null : <OutlineNode key={id} id={id} graph={graph} shape={shape} tab={tab} />;
        })}
      </ul>
    </div>
  );
}

interface NodeProps {
  id: string;
  graph: OutlineGraph;
  shape: Shape;
  tab: Tab;
}

function OutlineNode({ id, graph, shape, tab }: NodeProps) {
  const selected = tab.selection.has(id);
  const [open, setOpen] = useState(false);
  const plan = useRun((state) => state.plans[tab.id]?.[fullId(tab, id)]);
  const title = graph.nodes[id]?.title ?? shape.label;
  const state = [
    title === shape.label ? "" : shape.label,
    id,
    plan === undefined ? "" : t(`editor.state_${plan.state}`),
  ];
  return (
    <li aria-current={selected ? "true" : undefined}>
      <div className="outline-node">
        <button
          type="button"
          className="toggle"
          aria-expanded={open}
          onClick={() => {
            setOpen(!open);
            goToNode(id, { focus: false });
          }}
        >
          {title} <small>{state.filter(Boolean).join(" · ")}</small>
        </button>
        {shape.subgraph !== null && (
          <button type="button" className="quiet" onClick={() => enterNode(id)}>
            {t("editor.enterShort")}
          </button>
        )}
        <button
          type="button"
          className="quiet"
          aria-label={t("editor.deleteNode", { node: title })}
          onClick={() => removeNode(id)}
        >
          ×
        </button>
      </div>
      {open && (
        <ul className="sockets" aria-label={t("editor.socketsOf", { node: title })}>
          {shape.inputs.map((input) => (
            <OutlineInput key={input.name} id={id} graph={graph} shape={shape} tab={tab} name={input.name} />
          ))}
          {shape.outputs.map((output) => (
            <OutlineOutput key={output.name} id={id} graph={graph} name={output.name} type={output.type} />
          ))}
        </ul>
      )}
    </li>
  );
}

function OutlineInput({ id, graph, shape, tab, name }: NodeProps & { name: string }) {
  const input = shape.inputs.find((each) => each.name === name);
  if (input === undefined) return null;
  const value = graph.nodes[id]?.inputs?.[name];
  const end = `${id}.${name}`;
  const Widget = isLink(value) ? null : widgetFor(input);
  const declared = Object.values(graph.inputs ?? {}).find((each) => each.to?.includes(end));
  const field = `outline-${fullId(tab, id)}.${name}`;
  return (
    <li>
      {Widget === null ? (
        <span>
          {name} <TypeTag type={input.type} />
        </span>
      ) : (
        <label htmlFor={field}>
          {name} <TypeTag type={input.type} />
        </label>
      )}
      <span className="value">
        {Widget !== null && (
          <Widget
            id={field}
            node={fullId(tab, id)}
            nodeType={shape.type}
            input={input}
            value={declared?.default ?? value ?? input.default ?? null}
            disabled={false}
            onChange={(next, gesture) => setValue(id, name, next, gesture ?? false)}
            onGestureEnd={() => useEditor.getState().endGesture()}
          />
        )}
        <ConnectButton socket={{ node: id, name, side: "input" }} {...(isLink(value) ? { text: value.$link } : {})} />
        {isLink(value) && (
          <button
            type="button"
            className="quiet"
            aria-label={t("editor.disconnectFrom", { end, from: value.$link })}
            onClick={() => disconnectEnds([end])}
          >
            ×
          </button>
        )}
      </span>
    </li>
  );
}

function OutlineOutput({ id, graph, name, type }: { id: string; graph: OutlineGraph; name: string; type: string }) {
  const ends = linksOf(graph).filter((link) => link.from.node === id && link.from.output === name);
  return (
    <li>
      <span>
        {t("editor.outputNamed", { name })} <TypeTag type={type} />
      </span>
      <span className="value">
        {ends.map((link) => (
          <button
            key={link.end}
            type="button"
            className="link-button"
            onClick={() => goToNode(link.to.node, { focus: false })}
          >
            {link.end}
          </button>
        ))}
        <ConnectButton socket={{ node: id, name, side: "output" }} />
      </span>
    </li>
  );
}

/** Shows what a socket is linked with, or a plus; asks for another link. */
function ConnectButton({ socket, text }: { socket: SocketRef; text?: string }) {
  const named = t("editor.connectNamed", { socket: `${socket.node}.${socket.name}` });
  const label = text === undefined ? named : `${text}: ${named}`;
  return (
    <button
      type="button"
      className="link-button"
      aria-label={label}
      title={label}
      onClick={() => openSocketPalette(socket)}
    >
      {text ?? "+"}
    </button>
  );
}
