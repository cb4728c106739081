/** What a node's sockets come to. The same sockets are the same object, so that what draws them can compare by identity. */
import type { InputDefinition, NodeDefinition, OutputDefinition } from "./definitions";
import { type DeclaredInput, type GraphDoc, type Json, type NodeDoc, splitReference } from "./document";
import { linksOf } from "./links";
import { subgraphNamed, subgraphOf } from "./scopes";
import { ANY, bind, isList, listOf } from "./sockets";

export interface Shape {
  /** The node's `type`. */
  type: string;
  /** What to call its kind: the type, or the sub-graph's name. */
  label: string;
  pack: string;
  doc: string;
  /** Its kind; null for sub-graphs, files and unknown kinds. */
  definition: NodeDefinition | null;
  inputs: readonly InputDefinition[];
  outputs: readonly OutputDefinition[];
  /** Its kind, or its sub-graph, is unknown: the sockets are those that the file mentions. */
  missing: boolean;
  /** The sub-graph that it stands for, or that it runs. */
  subgraph: string | null;
  /** Linked inputs that get a list and take one item: the node runs once per item. */
  mapped: ReadonlySet<string>;
}

const NONE: ReadonlySet<string> = new Set();
const typed = new WeakMap<Shape, Map<string, Shape>>();
const kinds = new WeakMap<NodeDefinition, Shape>();
const placeholders = new WeakMap<NodeDoc, { mentioned: string; shape: Shape }>();

/** Give the sockets that a kind has by itself. */
export function shapeOfKind(definition: NodeDefinition): Shape {
  let shape = kinds.get(definition);
  if (shape === undefined) {
    shape = {
      type: definition.id,
      label: definition.id,
      pack: definition.pack,
      doc: definition.doc,
      definition,
      inputs: definition.inputs,
      outputs: definition.outputs,
      missing: false,
      subgraph: null,
      mapped: NONE,
    };
    kinds.set(definition, shape);
  }
  return shape;
}

/** Put in what type variables stand for, and make lists of the outputs of a node that runs once per item. */
export function withTypes(base: Shape, bound: ReadonlyMap<string, string>, mapped: ReadonlySet<string>): Shape {
  const hasVariables = Object.keys(base.definition?.variables ?? {}).length > 0;
  if (mapped.size === 0 && !hasVariables) return base;
  const key = JSON.stringify([[...bound], [...mapped]]);
  let known = typed.get(base);
  if (known === undefined) {
    known = new Map();
    typed.set(base, known);
  }
  let shape = known.get(key);
  if (shape === undefined) {
    shape = resolved(base, bound, mapped);
    known.set(key, shape);
  }
  return shape;
}

function resolved(base: Shape, bound: ReadonlyMap<string, string>, mapped: ReadonlySet<string>): Shape {
  const taken = new Map([...Object.entries(base.definition?.variables ?? {}), ...bound]);
  const inputs = base.inputs.map((input) =>
    input.type.includes("$") ? { ...input, type: bind(input.type, taken) } : input,
  );
  const outputs = base.outputs.map((output) => {
    const type = bind(output.type, bound);
    const given = mapped.size > 0 && !isList(type) ? listOf(type) : type;
    return given === output.type ? output : { ...output, type: given };
  });
  return { ...base, inputs, outputs, mapped };
}

/** Make a placeholder for a node of unknown kind: it keeps every socket that the graph mentions. */
export function placeholder(graph: GraphDoc, id: string, node: NodeDoc, missing: boolean): Shape {
  const inputs = new Set(Object.keys(node.inputs ?? {}));
  const outputs = new Set<string>();
  for (const { from } of linksOf(graph)) if (from.node === id) outputs.add(from.output);
  for (const { from } of Object.values(graph.outputs ?? {})) {
    const { node: source, name } = splitReference(from);
    if (source === id) outputs.add(name);
  }
  for (const { to } of Object.values(graph.inputs ?? {})) {
    for (const { node: target, name } of (to ?? []).map(splitReference)) if (target === id) inputs.add(name);
  }
  const mentioned = JSON.stringify([[...inputs], [...outputs]]);
  const known = placeholders.get(node);
  if (known?.mentioned === mentioned) return known.shape;
  const dot = node.type.indexOf(".");
  const shape: Shape = {
    type: node.type,
    label: subgraphOf(node.type) ?? node.type,
    pack: dot > 0 && subgraphOf(node.type) === null ? node.type.slice(0, dot) : "",
    doc: "",
    definition: null,
    inputs: [...inputs].map((name) => mentionedInput(name, node.inputs?.[name])),
    outputs: [...outputs].map((name) => ({ name, type: ANY })),
    missing,
    subgraph: null,
    mapped: NONE,
  };
  placeholders.set(node, { mentioned, shape });
  return shape;
}

function mentionedInput(name: string, value: Json | undefined): InputDefinition {
  return { name, type: typeOfValue(value), required: false, default: null, doc: "" };
}

/** Give the type that a value seems to be of. */
export function typeOfValue(value: Json | undefined): string {
  if (typeof value === "string") return "STRING";
  if (typeof value === "boolean") return "BOOLEAN";
  if (typeof value === "bigint") return "INT";
  if (typeof value === "number") return Number.isInteger(value) ? "INT" : "FLOAT";
  if (subgraphNamed(value) !== null) return "SUBGRAPH";
  return ANY;
}

/**
 * Make the definition of a declared input: what it declares, and besides what the input that it leads to is like.
 *
 * @param shapes Of the graph that declares it.
 */
export function declaredDefinition(
  name: string,
  declared: DeclaredInput,
  graph: GraphDoc,
  shapes: ReadonlyMap<string, Shape>,
): InputDefinition {
  const targets = (declared.to ?? []).map(splitReference);
  const found = targets.map(({ node, name: input }) => shapes.get(node)?.inputs.find((each) => each.name === input));
  const target = found.find((each) => each !== undefined);
  const isNeeded = targets.some(
    ({ node, name: input }, place) => found[place]?.required && graph.nodes[node]?.inputs?.[input] === undefined,
  );
  const own = declared.type === target?.type ? target : undefined;
  return {
    ...own,
    name,
    type: declared.type,
    required: (declared.default ?? null) === null && isNeeded,
    default: declared.default ?? null,
    minimum: declared.min ?? own?.minimum ?? null,
    maximum: declared.max ?? own?.maximum ?? null,
    doc: declared.doc || (target?.doc ?? ""),
  };
}
