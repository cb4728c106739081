import type { OutputDefinition } from "../../graph/definitions";
import { OUTPUT_HEIGHT } from "../../graph/layout";
import { Socket } from "./Socket";

export function OutputRow({ node, output, linked }: { node: string; output: OutputDefinition; linked: boolean }) {
  return (
    <div className="card-row output" style={{ height: OUTPUT_HEIGHT }}>
      <span className="card-row-label" title={output.doc}>
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
