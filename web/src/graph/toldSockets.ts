/** What the server tells of the sockets that follow from what is chosen at nodes. */
import {
  completeInput,
  type Definitions,
  type InputDefinition,
  type NodeDefinition,
  type OutputDefinition,
} from "./definitions";
import { dumpJson, type GraphDoc, type Json } from "./document";
import { chosenAt } from "./ownSockets";

/** What the server tells of a choice; of inputs, it leaves out what is at its default. */
export interface ToldSockets {
  inputs?: (Partial<InputDefinition> & { name: string; type: string })[];
  outputs?: OutputDefinition[];
  doc?: string;
}

/** A choice whose sockets aren't known yet. */
export interface Choice {
  kind: NodeDefinition;
  key: string;
  inputs: { [name: string]: Json };
}

/** Find the choices in a document, and in its sub-graphs, whose sockets the definitions don't hold. */
export function untold(graph: GraphDoc, definitions: Definitions): Choice[] {
  const found = new Map<string, Choice>();
  const graphs = [graph];
  for (const each of graphs) {
    graphs.push(...Object.values(each.subgraphs ?? {}));
    for (const node of Object.values(each.nodes)) {
      const kind = definitions.get(node.type);
      if (!kind?.sockets_from?.length) continue;
      const inputs = chosenAt(kind, node);
      const key = dumpJson(inputs);
      const isChosen = Object.values(inputs).some((value) => value !== null);
      if (isChosen && !kind.told?.has(key)) found.set(`${kind.id} ${key}`, { kind, key, inputs });
    }
  }
  return [...found.values()];
}

/** Put what was told of a choice into the definitions. */
export function withTold(definitions: Definitions, { kind, key }: Choice, told: ToldSockets): Definitions {
  const now = definitions.get(kind.id);
  if (now === undefined) return definitions;
  const inputs = [...now.inputs, ...(told.inputs ?? []).map(completeInput)];
  const own: NodeDefinition = {
    ...now,
    doc: told.doc || now.doc,
    inputs,
    outputs: [...now.outputs, ...(told.outputs ?? [])],
  };
  return new Map(definitions).set(kind.id, { ...now, told: new Map(now.told).set(key, own) });
}
