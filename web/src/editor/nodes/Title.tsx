import { useEffect, useRef } from "react";
import type { NodeDoc } from "../../graph/document";
import { t } from "../../i18n";
import { rename } from "../actions";
import { useCanvas } from "../canvasStore";

interface TitleProps {
  id: string;
  node: NodeDoc;
  /** Of its kind. */
  name: string;
}

/** A node's title, beside the name of its kind if it has one of its own; a double click edits it. */
export function Title({ id, node, name }: TitleProps) {
  const renaming = useCanvas((state) => state.renaming === id);
  if (renaming) return <TitleField id={id} title={node.title ?? name} />;
  const own = node.title !== undefined && node.title !== name;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: F2 and the menu do the same by keyboard
    <div
      className="card-title"
      title={own ? `${node.title} (${name})` : name}
      onDoubleClick={(event) => {
        if (node.type.startsWith("subgraph:")) return;
        event.stopPropagation();
        useCanvas.getState().set({ renaming: id });
      }}
    >
      {node.title ?? name}
      {own && <small>{name}</small>}
    </div>
  );
}

function TitleField({ id, title }: { id: string; title: string }) {
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.select(), []);
  const done = (text: string | null) => {
    useCanvas.getState().set({ renaming: null });
    if (text !== null) rename(id, text);
  };
  return (
    <div className="card-title">
      <input
        ref={field}
        className="nodrag"
        aria-label={t("editor.nodeTitle")}
        defaultValue={title}
        onBlur={(event) => done(event.currentTarget.value)}
        onKeyDown={(event) => {
          event.stopPropagation();
          if (event.key === "Enter") done(event.currentTarget.value);
          if (event.key === "Escape") done(null);
        }}
      />
    </div>
  );
}
