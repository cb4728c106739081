/** Whether JSON has the structure of a workflow, in words: the server is stricter, the editor needs what it relies on. */
import { t } from "../i18n";
import { isObject } from "./document";
import { isNodeId } from "./names";

/** Say what is wrong with a graph's fields; null if nothing is. */
export function structureProblem(graph: unknown, place = ""): string | null {
  if (!isObject(graph)) return t("graph.notAnObject", { field: place || "workflow" });
  for (const field of ["meta", "inputs", "outputs", "nodes", "subgraphs", "ui"]) {
    if (graph[field] !== undefined && !isObject(graph[field])) return t("graph.notAnObject", { field: place + field });
  }
  const problem = nodeProblem(graph["nodes"] ?? {}, `${place}nodes`);
  if (problem !== null) return problem;
  for (const [name, declared] of entries(graph["inputs"])) {
    const isSound = isObject(declared) && typeof declared["type"] === "string" && isListOfTexts(declared["to"] ?? []);
    if (!isSound) return t("graph.badField", { field: `${place}inputs.${name}` });
  }
  for (const [name, declared] of entries(graph["outputs"])) {
    if (!isObject(declared) || typeof declared["from"] !== "string") {
      return t("graph.badField", { field: `${place}outputs.${name}` });
    }
  }
  for (const [name, inner] of entries(graph["subgraphs"])) {
    const found = structureProblem(inner, `${place}subgraphs.${name}.`);
    if (found !== null) return found;
  }
  return null;
}

/** Say what is wrong with nodes; null if nothing is. */
export function nodeProblem(nodes: unknown, place = "nodes"): string | null {
  for (const [id, node] of entries(nodes)) {
    if (!isNodeId(id)) return t("graph.badId", { id });
    if (!isObject(node) || typeof node["type"] !== "string") return t("graph.badField", { field: `${place}.${id}` });
    if (node["inputs"] !== undefined && !isObject(node["inputs"])) {
      return t("graph.notAnObject", { field: `${place}.${id}.inputs` });
    }
  }
  return null;
}

function entries(value: unknown): [string, unknown][] {
  return isObject(value) ? Object.entries(value) : [];
}

function isListOfTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}
