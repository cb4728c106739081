/** Sub-graphs: made from nodes, unpacked into nodes, and their names. To be changed on a draft within `edit(…)`. */
import { t } from "../i18n";
import { declareInput } from "./declared";
import type { Definitions } from "./definitions";
import { DocumentError, type GraphDoc } from "./document";
import { isName } from "./names";
import { shapesOf } from "./resolve";
import { renameUses, unusedSubgraphs } from "./uses";

export { makeSubgraph } from "./packing";
export { unpackSubgraph } from "./unpacking";

/** Make an inner node's input an input of the sub-graph; gives its name. `graph` is the sub-graph. */
export function promoteInput(
  graph: GraphDoc,
  node: string,
  input: string,
  definitions: Definitions,
  document: GraphDoc,
  name: string = input,
): string {
  const shape = shapesOf(graph, definitions, document).get(node);
  const definition = shape?.inputs.find((each) => each.name === input);
  if (shape === undefined || definition === undefined) {
    throw new DocumentError(t("graph.noInput", { node, kind: shape?.label ?? "", input }));
  }
  return declareInput(graph, name, { node, input }, definition);
}

/** Rename one of a graph's sub-graphs, wherever it is used. Throws a DocumentError if it can't be called that. */
export function renameSubgraph(graph: GraphDoc, name: string, next: string): void {
  const subgraphs = graph.subgraphs;
  if (subgraphs === undefined || name === next || !Object.hasOwn(subgraphs, name)) return;
  if (!isName(next)) throw new DocumentError(t("graph.badName", { name: next }));
  if (isNameTaken(graph, next)) throw new DocumentError(t("graph.takenName", { name: next }));
  renameUses(graph, name, next);
  graph.subgraphs = Object.fromEntries(
    Object.entries(subgraphs).map(([each, subgraph]) => [each === name ? next : each, subgraph]),
  );
}

/** A name within would hide the new one there. */
function isNameTaken(graph: GraphDoc, name: string): boolean {
  const subgraphs = graph.subgraphs ?? {};
  return Object.hasOwn(subgraphs, name) || Object.values(subgraphs).some((inner) => isNameTaken(inner, name));
}

/** Delete a graph's sub-graphs that nothing uses. */
export function deleteUnusedSubgraphs(graph: GraphDoc): void {
  for (const name of unusedSubgraphs(graph)) delete graph.subgraphs?.[name];
  if (Object.keys(graph.subgraphs ?? {}).length === 0) delete graph.subgraphs;
}
