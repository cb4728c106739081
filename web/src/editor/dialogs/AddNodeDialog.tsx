import { Command } from "cmdk";
import { useDeferredValue, useMemo, useState } from "react";
import { Dialog } from "../../app/Dialog";
import type { NodeDefinition } from "../../graph/definitions";
import { searchKinds } from "../../graph/search";
import { t } from "../../i18n";
import { useEditor } from "../../stores/editorStore";
import { addNodeOf, connectSockets } from "../actions";
import { current, titleOf } from "../actions/current";
import { type PaletteRequest, type SocketRef, useCanvas } from "../canvasStore";
import { centerOfView, goToNode } from "../view";
import { typeOf } from "../wiring";
import { type Connectable, socketsFor } from "./connectable";
import { useQuery } from "./typedAhead";

const SHOWN = 80;

/** Kinds of nodes by category, to add one; from a socket only what fits, and the sockets in the graph that fit. */
export function AddNodeDialog({ request }: { request: PaletteRequest }) {
  const definitions = useEditor((state) => state.definitions);
  const [query, setQuery] = useQuery();
  const [chosen, setChosen] = useState("");
  const deferred = useDeferredValue(query);
  const { from, at, mode } = request;
  const wire = useMemo(() => (from === null ? null : { type: typeOf(from), direction: from.side }), [from]);
  const kinds = useMemo(() => searchKinds(definitions, deferred, wire).slice(0, SHOWN), [definitions, deferred, wire]);
  const misfits = useCanvas((state) => state.misfits);
  const sockets = useMemo(
    () => (mode === "connect" && from !== null ? socketsFor(from, deferred, misfits) : []),
    [mode, from, deferred, misfits],
  );
  const close = () => useCanvas.getState().set({ palette: null });

  const add = (kind: NodeDefinition, socket: string | null) => {
    close();
    const wired = from === null || socket === null ? null : { from, socket };
    const id = addNodeOf(kind.id, at ?? placeBeside(from), wired);
    goToNode(id);
  };
  const connect = (socket: SocketRef) => {
    close();
    if (from !== null) connectSockets(from, socket);
  };
  const label = mode === "connect" ? t("editor.connectTo") : t("editor.addNode");
  const groups = byCategory(kinds, deferred === "");
  const values = [...sockets.map(valueOfSocket), ...[...groups.values()].flat().map(valueOfKind)];
  // what was chosen may have left the list while it was typed on
  const value = values.includes(chosen) ? chosen : (values[0] ?? "");

  return (
    <Dialog className="palette" label={label} onClose={close}>
      <Command label={label} shouldFilter={false} loop vimBindings={false} value={value} onValueChange={setChosen}>
        <Command.Input
          value={query}
          onValueChange={setQuery}
          placeholder={mode === "connect" ? t("editor.connectHint") : t("editor.addNodeHint")}
        />
        {from !== null && wire !== null && (
          <div className="palette-note">
            {t(from.side === "output" ? "editor.fitsOutput" : "editor.fitsInput", {
              socket: `${titleOf(current()?.graph ?? { nodes: {} }, from.node)}.${from.name}`,
              type: wire.type,
            })}
          </div>
        )}
        <Command.Empty>{t("editor.nothingFound")}</Command.Empty>
        <Command.List label={label}>
          {sockets.length > 0 && (
            <Command.Group heading={t("editor.inThisGraph")}>
              {sockets.map((each) => (
                <Command.Item
                  key={valueOfSocket(each)}
                  value={valueOfSocket(each)}
                  onSelect={() => connect(each.socket)}
                >
                  <strong>
                    {each.title}.{each.socket.name}
                  </strong>
                  <span>{each.misfit || (each.linked ? t("editor.replacesLink") : "")}</span>
                </Command.Item>
              ))}
            </Command.Group>
          )}
          {[...groups].map(([category, members]) => (
            <Command.Group
              key={category}
              heading={category || t(mode === "connect" ? "editor.newNode" : "editor.results")}
            >
              {members.map((each) => (
                <Command.Item key={each.kind.id} value={valueOfKind(each)} onSelect={() => add(each.kind, each.socket)}>
                  <strong>{each.kind.id}</strong>
                  <span>{each.kind.doc.split("\n", 1)[0]}</span>
                </Command.Item>
              ))}
            </Command.Group>
          ))}
        </Command.List>
      </Command>
    </Dialog>
  );
}

type Found = ReturnType<typeof searchKinds>[number];

function valueOfKind({ kind }: Found): string {
  return `kind ${kind.id}`;
}

function valueOfSocket({ socket }: Connectable): string {
  return `socket ${socket.node}.${socket.name}`;
}

/** Sort what was found into categories; what was searched for stays in the order of how well it fits. */
function byCategory(found: readonly Found[], apart: boolean): Map<string, Found[]> {
  const groups = new Map<string, Found[]>();
  for (const each of found) {
    const category = apart ? each.kind.category : "";
    groups.set(category, [...(groups.get(category) ?? []), each]);
  }
  return groups;
}

/** A node that is made by keyboard for a socket goes beside the socket's node. */
function placeBeside(from: SocketRef | null): { x: number; y: number } {
  const pos = from === null ? undefined : current()?.graph.ui?.nodes?.[from.node]?.pos;
  if (from === null || pos === undefined) return centerOfView();
  return { x: pos[0] + (from.side === "output" ? 340 : -60), y: pos[1] + 40 };
}
