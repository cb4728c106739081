/** What trainings were given that others weren't: the inputs of a node and of all that it depends on, side by side. */
import {
  dumpJson,
  isLink,
  isObject,
  type Json,
  type NodeDoc,
  splitReference,
  type WorkflowDoc,
} from "../graph/document";

export interface Trained {
  workflow: WorkflowDoc;
  /** The training's node; its outermost one if it lies in a sub-graph. */
  node: string;
}

export interface Difference {
  /** The node and its input: `recipe.learning_rate`. */
  name: string;
  /** As text, for each training; null where it has none. */
  values: (string | null)[];
}

export function differences(trainings: readonly Trained[]): Difference[] {
  const all = trainings.map(inputsOf);
  const names = new Set(all.flatMap((inputs) => [...inputs.keys()]));
  return [...names]
    .map((name) => ({ name, values: all.map((inputs) => inputs.get(name) ?? null) }))
    .filter(({ values }) => new Set(values).size > 1);
}

/** The training's own inputs come first, then those of what is nearest to it. */
function inputsOf({ workflow, node }: Trained): Map<string, string> {
  const inputs = new Map<string, string>();
  const waiting = [node];
  for (const id of waiting) {
    const found: NodeDoc | undefined = workflow.nodes[id];
    if (found === undefined) continue;
    inputs.set(id, found.type);
    for (const [name, value] of Object.entries(found.inputs ?? {})) {
      inputs.set(`${id}.${name}`, textOf(value as Json, workflow));
      const source = isLink(value) ? splitReference(value.$link).node : null;
      if (source !== null && !waiting.includes(source)) waiting.push(source);
    }
  }
  return inputs;
}

function textOf(value: Json, workflow: WorkflowDoc): string {
  if (isLink(value)) return value.$link;
  const body = isObject(value) ? value["$subgraph"] : undefined;
  // of a sub-graph all counts, but it is too long to be shown
  if (typeof body === "string") return `${body} ${shortHash(dumpJson(workflow.subgraphs?.[body]?.nodes ?? null))}`;
  return typeof value === "string" ? value : dumpJson(value);
}

function shortHash(text: string): string {
  let hash = 0;
  for (const character of text) hash = (Math.imul(hash, 31) + (character.codePointAt(0) ?? 0)) >>> 0;
  return `#${hash.toString(16).padStart(8, "0").slice(-4)}`;
}
