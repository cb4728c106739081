import { declaredFrom } from "../../graph/declared";
import type { OutputDefinition } from "../../graph/definitions";
import { OUTPUT_HEIGHT } from "../../graph/layout";
import { t } from "../../i18n";
import { activeGraph, useEditor } from "../../stores/editorStore";
import { openOutputMenu } from "../menus";
import { DeclaredMark } from "./DeclaredMark";
import { Socket } from "./Socket";

export function OutputRow({ node, output, linked }: { node: string; output: OutputDefinition; linked: boolean }) {
  const declared = useEditor((state) => {
    const graph = activeGraph(state);
    return graph === null ? null : declaredFrom(graph, { node, output: output.name });
  });
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the socket and the outline do the same by keyboard
    <div
      className="card-row output"
      style={{ height: OUTPUT_HEIGHT }}
      onContextMenu={(event) => openOutputMenu(event, node, output.name)}
    >
      <span className="card-row-label" title={output.doc}>
        {declared !== null && <DeclaredMark label={t("editor.declaredAs", { name: declared })} />}
        {output.name}
      </span>
      <Socket
        node={node}
        name={output.name}
        side="output"
        type={output.type}
        linked={linked}
        doc={output.doc}
        y="50%"
      />
    </div>
  );
}
