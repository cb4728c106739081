/** Which model files a node's values are made with. */
import type { Definitions } from "./definitions";
import { type GraphDoc, isLink, type Json, splitReference } from "./document";

/**
 * Give the model files that lie before a node, as `KIND/NAME`.
 *
 * What comes out of a sub-graph, or into one, may be made with any that the workflow names: then all of these.
 */
export function modelsBefore(graph: GraphDoc, node: string, definitions: Definitions, document: GraphDoc): string[] {
  const before = [...linkedTo(graph, node)].flatMap((id) => modelsOf(graph, id, definitions));
  const found = before.length > 0 ? before : everyGraph(document).flatMap((each) => modelsIn(each, definitions));
  return [...new Set(found)].sort();
}

function linkedTo(graph: GraphDoc, node: string): Set<string> {
  const found = new Set([node]);
  for (const id of found)
    for (const value of Object.values(graph.nodes[id]?.inputs ?? {}))
      if (isLink(value)) found.add(splitReference(value.$link).node);
  return found;
}

function modelsIn(graph: GraphDoc, definitions: Definitions): string[] {
  return Object.keys(graph.nodes).flatMap((id) => modelsOf(graph, id, definitions));
}

function modelsOf(graph: GraphDoc, id: string, definitions: Definitions): string[] {
  const node = graph.nodes[id];
  const inputs = definitions.get(node?.type ?? "")?.inputs ?? [];
  return inputs.flatMap(({ name, files, default: usual }) => {
    const value: Json = node?.inputs?.[name] ?? usual;
    return files != null && typeof value === "string" && value !== "" ? [`${files}/${value}`] : [];
  });
}

function everyGraph(document: GraphDoc): GraphDoc[] {
  const found = [document];
  for (const graph of found) found.push(...Object.values(graph.subgraphs ?? {}));
  return found;
}
