/** Workflows in files: reading what was dropped, and writing the canonical form. */
import { t } from "../i18n";
import {
  type DeclaredInput,
  type DeclaredOutput,
  DocumentError,
  dumpJson,
  type GraphDoc,
  isObject,
  type Json,
  type NodeDoc,
  parseJson,
  type WorkflowDoc,
} from "./document";
import { workflowInExif } from "./exif";
import { isPng, textInPng } from "./png";
import { structureProblem } from "./structure";

const VERSION = 1;
/** The PNG text chunk that holds the workflow. */
const CHUNK = "graphengine";

/** Read a workflow from JSON text. Throws a DocumentError that says what it seems to be instead. */
export function readWorkflow(text: string): WorkflowDoc {
  const clean = text.replace(/^\uFEFF/, "");
  if (clean.trim() === "") throw new DocumentError(t("graph.emptyFile"));
  let document: Json;
  try {
    document = parseJson(clean);
  } catch (error) {
    if (!/^\s*[[{]/.test(clean)) throw new DocumentError(t("graph.noText"));
    throw new DocumentError(t("graph.noJson", { why: error instanceof Error ? error.message : String(error) }));
  }
  if (!isObject(document) || document["format"] !== "graphengine") throw new DocumentError(whatElse(document));
  const version = document["version"];
  if (version !== VERSION) {
    const isNewer = typeof version === "number" && version > VERSION;
    throw new DocumentError(
      t(isNewer ? "graph.newerVersion" : "graph.badVersion", { version: dumpJson(version ?? null) }),
    );
  }
  const problem = structureProblem(document);
  if (problem !== null) throw new DocumentError(problem);
  return { nodes: {}, ...document } as unknown as WorkflowDoc;
}

/** Say whose file this is, if it isn't ours. */
function whatElse(document: Json): string {
  if (!isObject(document)) return t("graph.noObject");
  const nodes = document["nodes"];
  if (Array.isArray(nodes) && "links" in document) return t("graph.comfyUi");
  if (typeof nodes === "object" && nodes !== null && "edges" in document) return t("graph.invoke");
  const prompt = Object.values(isObject(document["prompt"]) ? document["prompt"] : document);
  if (prompt.length > 0 && prompt.every((each) => isObject(each) && "class_type" in each))
    return t("graph.comfyPrompt");
  if (document["format"] === "graphengine-selection") return t("graph.isClip");
  return "_class_name" in document ? t("graph.diffusers") : t("graph.noWorkflow");
}

/** Give the text of the workflow that a PNG carries; null if it is no PNG or carries none. */
export async function workflowInPng(bytes: Uint8Array): Promise<string | null> {
  return textInPng(bytes, CHUNK);
}

/** What a dropped file is. */
export type Dropped = { kind: "workflow"; workflow: WorkflowDoc } | { kind: "picture" };

/** Read what was dropped: a workflow, a picture with one inside, or a plain picture. Throws a DocumentError for others. */
export async function readDropped(file: Blob): Promise<Dropped> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (isPng(bytes) || isPicture(bytes)) {
    const text = (await workflowInPng(bytes)) ?? (await workflowInExif(bytes));
    return text === null ? { kind: "picture" } : { kind: "workflow", workflow: readWorkflow(text) };
  }
  return { kind: "workflow", workflow: readWorkflow(asText(bytes)) };
}

/** Tell JPEG, GIF, WebP and BMP by their first bytes: what a browser calls them comes from their names. */
function isPicture(bytes: Uint8Array): boolean {
  const start = String.fromCharCode(...bytes.subarray(0, 12));
  return /^(\xff\xd8\xff|GIF8|RIFF[\s\S]{4}WEBP|BM)/.test(start);
}

function asText(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new DocumentError(t("graph.noText"));
  }
}

/**
 * Write the canonical form: sorted keys, two spaces, LF; fields at their defaults are left out.
 *
 * As the server writes it, but for whole numbers of FLOAT inputs: JavaScript has one kind of number, so 1.0 becomes 1.
 */
export function dumpWorkflow(document: WorkflowDoc): string {
  const { $schema, lock, ...rest } = document;
  const written = {
    ...rest,
    ...canonicalGraph(document),
    ...($schema == null ? {} : { $schema }),
    ...filled({ lock }),
    format: "graphengine",
    version: VERSION,
  };
  const empty = ["meta", "inputs", "outputs", "subgraphs", "ui"].filter((field) => isEmpty(document[field as "meta"]));
  const kept = Object.entries(written).filter(([field]) => !empty.includes(field));
  return `${dumpJson(sorted(Object.fromEntries(kept)), 2)}\n`;
}

function canonicalGraph(graph: GraphDoc): { [field: string]: unknown } {
  return {
    ...filled({ meta: graph.meta, ui: graph.ui }),
    ...filled({
      inputs: mapped(graph.inputs, canonicalInput),
      outputs: mapped(graph.outputs, canonicalOutput),
      subgraphs: mapped(graph.subgraphs, canonicalGraph),
    }),
    nodes: mapped(graph.nodes, canonicalNode) ?? {},
  };
}

function canonicalInput({ type, default: value, min, max, doc, to }: DeclaredInput): object {
  return {
    type,
    ...(value == null ? {} : { default: value }),
    ...(min == null ? {} : { min }),
    ...(max == null ? {} : { max }),
    ...(doc ? { doc } : {}),
    ...(to === undefined || to.length === 0 ? {} : { to }),
  };
}

function canonicalOutput({ from, doc }: DeclaredOutput): object {
  return { from, ...(doc ? { doc } : {}) };
}

function canonicalNode({ type, type_version, inputs, title, mode }: NodeDoc): object {
  return {
    type,
    type_version: type_version ?? 1,
    ...filled({ inputs }),
    ...(title == null ? {} : { title }),
    ...(mode === undefined || mode === "normal" ? {} : { mode }),
  };
}

function mapped<T>(values: { [name: string]: T } | undefined, write: (value: T) => object): object | undefined {
  if (values === undefined) return undefined;
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, write(value)]));
}

/** Leave out what is empty. */
function filled(fields: { [field: string]: unknown }): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => !isEmpty(value)));
}

function isEmpty(value: unknown): boolean {
  return value === undefined || (isObject(value) && Object.keys(value).length === 0);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value;
  const names = Object.keys(value).filter((name) => value[name] !== undefined);
  return Object.fromEntries(names.sort(byCodePoints).map((name) => [name, sorted(value[name])]));
}

/** Compare texts as Python does; JavaScript's own order puts characters beyond U+FFFF before some others. */
function byCodePoints(left: string, right: string): number {
  const [a, b] = [[...left], [...right]];
  const place = a.findIndex((character, index) => character !== b[index]);
  if (place === -1) return a.length - b.length;
  return (a[place]?.codePointAt(0) ?? 0) - (b[place]?.codePointAt(0) ?? -1);
}
