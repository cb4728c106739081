import { useConnection, useStore, ViewportPortal } from "@xyflow/react";
import { t } from "../i18n";
import { verdictOf } from "./actions";
import type { SocketRef } from "./canvasStore";

/** Beside the pointer while a wire is held over a socket: what it would do there, or why it can't. */
export function WireTip() {
  const connection = useConnection();
  const zoom = useStore((state) => state.transform[2]);
  if (!connection.inProgress || connection.toHandle === null) return null;
  const verdict = verdictOf(refOf(connection.fromHandle), refOf(connection.toHandle));
  const text = verdict.ok ? (verdict.mapped ? t("editor.runsPerItem") : null) : verdict.reason;
  if (text === null) return null;
  const { x, y } = connection.to;
  return (
    <ViewportPortal>
      <div
        className={verdict.ok ? "wire-tip good" : "wire-tip bad"}
        style={{
          transform: `translate(${x}px, ${y}px) scale(${1 / zoom}) translate(16px, 12px)`,
          transformOrigin: "0 0",
        }}
      >
        {text}
        {!verdict.ok && verdict.converter !== undefined && (
          <span>{t("editor.converterHelps", { kind: verdict.converter.type })}</span>
        )}
      </div>
    </ViewportPortal>
  );
}

export function refOf(handle: { nodeId: string; id?: string | null; type: "source" | "target" }): SocketRef {
  return { node: handle.nodeId, name: handle.id ?? "", side: handle.type === "source" ? "output" : "input" };
}
