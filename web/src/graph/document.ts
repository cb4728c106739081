/**
 * A workflow document, as `graphengine/1` files have it, and its JSON.
 *
 * Whole numbers beyond 2^53, such as seeds, are bigints here, so that none loses a digit on its way through a browser.
 */
import { parse, stringify } from "lossless-json";

export type Json = null | boolean | number | bigint | string | Json[] | { [name: string]: Json };
export type JsonObject = { [name: string]: Json };

export type Mode = "normal" | "muted" | "bypassed";

/** `{"$link": "node.output"}`: the value comes from another node. */
export type Link = { $link: string };

export interface NodeDoc {
  type: string;
  type_version?: number;
  inputs?: { [name: string]: Json };
  title?: string;
  mode?: Mode;
}

export interface DeclaredInput {
  type: string;
  default?: Json;
  min?: number | bigint;
  max?: number | bigint;
  doc?: string;
  to?: string[];
}

export interface DeclaredOutput {
  from: string;
  doc?: string;
}

/** How a node is shown; all of it may be missing. */
export interface NodeLook {
  pos?: [number, number];
  size?: [number, number];
  collapsed?: boolean;
  /** Advanced inputs show as well. */
  advanced?: boolean;
  color?: string;
  /** Inputs shown as sockets though they have a widget. */
  sockets?: string[];
  /** Runs that are started in an editor stop before it. */
  breakpoint?: boolean;
}

/** A frame around nodes. */
export interface Group {
  id: string;
  title: string;
  pos: [number, number];
  size: [number, number];
  color?: string;
}

/** A text on the canvas, in Markdown. */
export interface Note {
  id: string;
  text: string;
  pos: [number, number];
  size: [number, number];
  color?: string;
}

/** Points that a link goes through; keyed by `node.input`, the end that it feeds. */
export type Reroutes = { [end: string]: [number, number][] };

export interface Ui {
  nodes?: { [id: string]: NodeLook };
  groups?: Group[];
  notes?: Note[];
  reroutes?: Reroutes;
  view?: { x: number; y: number; zoom: number };
  [other: string]: unknown;
}

/** What workflows and sub-graphs have in common. */
export interface GraphDoc {
  meta?: { name?: string; description?: string; [other: string]: Json | undefined };
  inputs?: { [name: string]: DeclaredInput };
  outputs?: { [name: string]: DeclaredOutput };
  nodes: { [id: string]: NodeDoc };
  subgraphs?: { [name: string]: GraphDoc };
  ui?: Ui;
}

export interface WorkflowDoc extends GraphDoc {
  $schema?: string;
  format: "graphengine";
  version: 1;
  lock?: JsonObject;
  [extra: `x-${string}`]: Json | undefined;
}

/** A text is no workflow; the message is for people. */
export class DocumentError extends Error {}

export function emptyWorkflow(): WorkflowDoc {
  return { format: "graphengine", version: 1, nodes: {} };
}

/** Read JSON without losing digits: whole numbers that a double can't hold become bigints. */
export function parseJson(text: string): Json {
  return parse(text, undefined, {
    parseNumber: (digits: string) =>
      /^-?\d+$/.test(digits) && !Number.isSafeInteger(Number(digits)) ? BigInt(digits) : Number(digits),
  }) as Json;
}

/** Write JSON; bigints as plain numbers, and fractions as the server writes them. */
export function dumpJson(value: unknown, space?: number): string {
  const text = stringify(value, undefined, space, [{ test: isUnusual, stringify: unusual }]);
  if (text === undefined) throw new DocumentError("there is nothing to write.");
  return text;
}

/** Tell numbers that JavaScript writes otherwise than Python does, or such that they would be read back as bigints. */
function isUnusual(value: unknown): value is number {
  if (typeof value !== "number" || !Number.isFinite(value)) return false;
  if (Number.isInteger(value)) return !Number.isSafeInteger(value) || Object.is(value, -0);
  return Math.abs(value) < 1e-4;
}

function unusual(value: unknown): string {
  if (Object.is(value, -0)) return "-0.0";
  return Number(value)
    .toExponential()
    .replace(/e([+-])(\d)$/, "e$10$2");
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isLink(value: unknown): value is Link {
  return isObject(value) && typeof value["$link"] === "string" && Object.keys(value).length === 1;
}

/** Split `node.output` at its first dot; node ids have none. */
export function splitReference(reference: string): { node: string; name: string } {
  const dot = reference.indexOf(".");
  return { node: reference.slice(0, dot), name: reference.slice(dot + 1) };
}
