/** Finding kinds for the palette, and finding things on the canvas. */
import MiniSearch from "minisearch";
import type { Definitions, NodeDefinition } from "./definitions";
import { type GraphDoc, isLink, type Json, splitReference } from "./document";
import { compatibleKinds, type Wire } from "./kinds";
import { shown } from "./literals";
import { splitWords } from "./names";

interface Entry {
  id: string;
  words: string;
  aliases: string;
  category: string;
  doc: string;
}

/** A kind, with the socket that fits the wire if there is one. */
export interface KindHit {
  kind: NodeDefinition;
  socket: string | null;
}

const indexes = new WeakMap<Definitions, MiniSearch<Entry>>();

/** Find kinds, best first; for an empty query all, by category and name or by how well they fit the wire. */
export function searchKinds(definitions: Definitions, query: string, wire: Wire | null = null): KindHit[] {
  const offered = wire === null ? inOrder(definitions) : compatibleKinds(definitions, wire);
  if (query.trim() === "") return offered;
  const sockets = new Map(offered.map((hit) => [hit.kind.id, hit]));
  const hits = indexOf(definitions).search(query);
  return hits.flatMap(({ id }) => sockets.get(id) ?? []);
}

function inOrder(definitions: Definitions): KindHit[] {
  return [...definitions.values()]
    .filter((kind) => kind.status !== "deprecated")
    .sort((a, b) => a.category.localeCompare(b.category) || a.id.localeCompare(b.id))
    .map((kind) => ({ kind, socket: null }));
}

function indexOf(definitions: Definitions): MiniSearch<Entry> {
  let index = indexes.get(definitions);
  if (index === undefined) {
    index = new MiniSearch<Entry>({
      fields: ["id", "words", "aliases", "category", "doc"],
      searchOptions: {
        boost: { id: 6, words: 5, aliases: 4, category: 2 },
        prefix: true,
        fuzzy: (term) => (term.length > 3 ? 0.2 : false),
        combineWith: "AND",
      },
    });
    index.addAll([...definitions.values()].map(entryOf));
    indexes.set(definitions, index);
  }
  return index;
}

/** `VAEDecode` is found by "vaedecode", "vae" and "decode". */
function entryOf({ id, aliases, category, doc }: NodeDefinition): Entry {
  return { id, words: splitWords(id), aliases: (aliases ?? []).join(" "), category, doc };
}

/** Where on the canvas something was found. */
export interface GraphHit {
  /** The node's, the note's or the group's id. */
  node: string;
  title: string;
  type: string;
  field: "id" | "title" | "type" | "value" | "note" | "group";
  /** What was found there. */
  text: string;
}

/**
 * Find nodes by id, title, kind and values, and notes and groups; all words must be there. Best first.
 *
 * A value that the graph declares as an input of its own is found at the nodes that it feeds.
 */
export function searchGraph(graph: GraphDoc, query: string): GraphHit[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return [];
  const holds = (text: string) => words.every((word) => text.toLowerCase().includes(word));
  const hits: GraphHit[] = [];
  const declared = declaredValues(graph);
  for (const [id, { type, title, inputs }] of Object.entries(graph.nodes)) {
    const about = { node: id, title: title ?? id, type };
    const own = Object.entries(inputs ?? {}).filter(
      ([name, value]) => !isLink(value) && !declared.has(`${id}.${name}`),
    );
    const fed = [...declared].filter(([end]) => splitReference(end).node === id).map(([, value]) => value);
    const values = [...own, ...fed].map(
      ([name, value]) => `${name}: ${typeof value === "string" ? value : shown(value)}`,
    );
    const value = values.find(holds);
    if (title !== undefined && holds(title)) hits.push({ ...about, field: "title", text: title });
    else if (holds(id)) hits.push({ ...about, field: "id", text: id });
    else if (holds(type)) hits.push({ ...about, field: "type", text: type });
    else if (value !== undefined) hits.push({ ...about, field: "value", text: value });
  }
  for (const { id, title } of graph.ui?.groups ?? []) {
    if (holds(title)) hits.push({ node: id, title, type: "", field: "group", text: title });
  }
  for (const { id, text } of graph.ui?.notes ?? []) {
    if (holds(text)) hits.push({ node: id, title: firstLine(text), type: "", field: "note", text });
  }
  return hits.sort((a, b) => RANKS.indexOf(a.field) - RANKS.indexOf(b.field));
}

/** The defaults that feed inner inputs, by `node.input`: each with the declared input's name. */
function declaredValues(graph: GraphDoc): Map<string, [string, Json]> {
  const ends = Object.entries(graph.inputs ?? {}).flatMap(([name, { to, default: value }]) =>
    value == null ? [] : (to ?? []).map((end): [string, [string, Json]] => [end, [name, value]]),
  );
  return new Map(ends);
}

const RANKS: readonly GraphHit["field"][] = ["title", "id", "type", "group", "value", "note"];

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
