import { useConnection, useStore, ViewportPortal } from "@xyflow/react";
import { t } from "../i18n";
import { verdictOf } from "./actions";
import { type SocketRef, useCanvas } from "./canvasStore";

/** Beside the pointer while a wire is held over a socket: what it would do there, or why it can't. */
export function WireTip() {
  useCanvas((state) => state.misfits); // they may come while the wire is held still
  const connection = useConnection();
  const zoom = useStore((state) => state.transform[2]);
  if (!connection.inProgress || connection.toHandle === null) return null;
  const verdict = verdictOf(refOf(connection.fromHandle), refOf(connection.toHandle));
  const { text, more, look } = tipOf(verdict);
  if (text === "") return null;
  const { x, y } = connection.to;
  return (
    <ViewportPortal>
      <div
        className={`wire-tip ${look}`}
        style={{
          transform: `translate(${x}px, ${y}px) scale(${1 / zoom}) translate(16px, 12px)`,
          transformOrigin: "0 0",
        }}
      >
        {text}
        {more !== "" && <span>{more}</span>}
      </div>
    </ViewportPortal>
  );
}

function tipOf(verdict: ReturnType<typeof verdictOf>): { text: string; more: string; look: string } {
  if (!verdict.ok) {
    const more = verdict.converter === undefined ? "" : t("editor.converterHelps", { kind: verdict.converter.type });
    return { text: verdict.reason, more, look: "bad" };
  }
  if (verdict.misfit !== undefined) return { text: verdict.misfit.reason, more: verdict.misfit.remedy, look: "doubt" };
  return { text: verdict.mapped ? t("editor.runsPerItem") : "", more: "", look: "good" };
}

export function refOf(handle: { nodeId: string; id?: string | null; type: "source" | "target" }): SocketRef {
  return { node: handle.nodeId, name: handle.id ?? "", side: handle.type === "source" ? "output" : "input" };
}
