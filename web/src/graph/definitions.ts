/** Kinds of nodes, as the server's `/api/v1/nodes` tells them. */
import { t } from "../i18n";
import { DocumentError, isObject, type Json, type JsonObject } from "./document";

export interface WidgetDefinition {
  kind: string;
  hints?: JsonObject;
}

export interface InputDefinition {
  name: string;
  type: string;
  required: boolean;
  /** Other inputs, of which one makes a required one needless. */
  unless?: string[];
  default: Json;
  minimum?: number | bigint | null;
  maximum?: number | bigint | null;
  exclusive_minimum?: number | bigint | null;
  exclusive_maximum?: number | bigint | null;
  multiple_of?: number | bigint | null;
  min_length?: number | null;
  max_length?: number | null;
  pattern?: string | null;
  choices?: (boolean | number | bigint | string)[] | null;
  /** The kind of file that it names; its names are at `/api/v1/files/{kind}`. */
  files?: string | null;
  lazy?: boolean;
  widget?: WidgetDefinition | null;
  doc?: string;
}

export interface OutputDefinition {
  name: string;
  type: string;
  doc?: string;
}

export interface BodyDefinition {
  input: string;
  supplies: string[];
  consumes: string[];
  outputs: boolean;
  lists: boolean;
}

export interface NodeDefinition {
  id: string;
  version: number;
  pack: string;
  category: string;
  doc: string;
  inputs: InputDefinition[];
  outputs: OutputDefinition[];
  variables: { [name: string]: string };
  output_node: boolean;
  body?: BodyDefinition | null;
  /** Inputs that further sockets follow from, which the server tells: see `graph/ownSockets.ts`. */
  sockets_from?: string[];
  /** What it told: the definition with these sockets, by what is chosen. */
  told?: ReadonlyMap<string, NodeDefinition>;
  aliases?: string[];
  status?: "stable" | "experimental" | "deprecated";
  replaced_by?: string | null;
}

export type Definitions = ReadonlyMap<string, NodeDefinition>;

/** Read the server's definitions; it leaves out what is at its default. */
export function readDefinitions(json: unknown): Map<string, NodeDefinition> {
  const nodes = isObject(json) && isObject(json["nodes"]) ? json["nodes"] : json;
  if (!isObject(nodes)) throw new DocumentError(t("graph.noDefinitions"));
  const read = new Map<string, NodeDefinition>();
  for (const [id, kind] of Object.entries(nodes)) {
    if (isObject(kind)) read.set(id, readDefinition(id, kind));
  }
  return read;
}

function readDefinition(id: string, kind: JsonObject): NodeDefinition {
  const given = kind as unknown as Partial<NodeDefinition>;
  const body = given.body ?? null;
  return {
    version: 1,
    pack: "",
    category: "",
    doc: "",
    variables: {},
    output_node: false,
    aliases: [],
    status: "stable",
    replaced_by: null,
    ...given,
    id,
    inputs: (given.inputs ?? []).map(completeInput),
    outputs: given.outputs ?? [],
    body: body === null ? null : { ...NO_BODY, ...body },
  };
}

/** Fill in what the server leaves out of an input. */
export function completeInput(input: Partial<InputDefinition> & { name: string; type: string }): InputDefinition {
  return { ...input, required: input.required ?? true, default: input.default ?? null, doc: input.doc ?? "" };
}

const NO_BODY: BodyDefinition = { input: "body", supplies: [], consumes: [], lists: false, outputs: true };
