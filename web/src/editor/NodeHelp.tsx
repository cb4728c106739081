import type { CSSProperties } from "react";
import type { InputDefinition, OutputDefinition } from "../graph/definitions";
import { dumpJson } from "../graph/document";
import { shapeOf } from "../graph/resolve";
import { t } from "../i18n";
import { Markdown } from "../markdown/Markdown";
import { activeGraph, activeTab, useEditor } from "../stores/editorStore";
import { socketColor, socketShape } from "./socketLooks";

/** What the selected node does, from its docstring. */
export function NodeHelp() {
  const graph = useEditor(activeGraph);
  const tab = useEditor(activeTab);
  const definitions = useEditor((state) => state.definitions);
  const id = [...(tab?.selection ?? [])].find((each) => graph?.nodes[each] !== undefined);
  if (graph === null || tab === undefined || id === undefined) {
    return <p className="node-help">{t("editor.helpHint")}</p>;
  }
  const shape = shapeOf(graph, id, definitions, tab.history.present);
  return (
    <article className="node-help">
      <h2>{shape.label}</h2>
      <p className="kind">{[shape.definition?.category, shape.pack].filter(Boolean).join(" · ")}</p>
      <Markdown text={shape.missing ? t("editor.unknownKind", { kind: shape.type }) : shape.doc} isCode />
      <Sockets heading={t("editor.inputs")} sockets={shape.inputs} />
      <Sockets heading={t("editor.outputs")} sockets={shape.outputs} />
    </article>
  );
}

function Sockets({ heading, sockets }: { heading: string; sockets: readonly (InputDefinition | OutputDefinition)[] }) {
  if (sockets.length === 0) return null;
  return (
    <section>
      <h3>{heading}</h3>
      <dl>
        {sockets.map((socket) => (
          <div key={socket.name}>
            <dt>
              {socket.name} <TypeTag type={socket.type} />
            </dt>
            <dd>
              {socket.doc}
              {"default" in socket && limitsOf(socket)}
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

export function TypeTag({ type }: { type: string }) {
  return (
    <span className={`type-tag ${socketShape(type)}`} style={{ "--socket": socketColor(type) } as CSSProperties}>
      {type}
    </span>
  );
}

/** Give the default and the limits in words. */
function limitsOf(input: InputDefinition): string {
  const parts: string[] = [];
  const { default: value, minimum, maximum } = input;
  if (value !== null && value !== "") parts.push(t("editor.defaultIs", { value: dumpJson(value) }));
  if (minimum != null && maximum != null)
    parts.push(t("editor.between", { minimum: `${minimum}`, maximum: `${maximum}` }));
  else if (minimum != null) parts.push(t("editor.atLeast", { minimum: `${minimum}` }));
  else if (maximum != null) parts.push(t("editor.atMost", { maximum: `${maximum}` }));
  return parts.length === 0 ? "" : ` ${parts.join(" ")}`;
}
