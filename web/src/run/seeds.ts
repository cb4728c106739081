/**
 * Seeds that change by themselves after each run.
 *
 * A graph says which: `ui.seeds` has `random`, `increment` or `decrement` by `node.input`; all others stay as they are.
 */
import type { Definitions } from "../graph/definitions";
import { type GraphDoc, isLink, type Json } from "../graph/document";

export type SeedMode = "random" | "increment" | "decrement";

const LARGEST = 2n ** 64n - 1n;

/** Give the seed after this one; within 64 bits, exactly. */
export function nextSeed(mode: SeedMode, seed: Json, random: () => number = randomSeed): number | bigint {
  if (mode === "random") return random();
  const now = typeof seed === "bigint" ? seed : typeof seed === "number" && Number.isInteger(seed) ? BigInt(seed) : 0n;
  const next = mode === "increment" ? (now >= LARGEST ? 0n : now + 1n) : now <= 0n ? LARGEST : now - 1n;
  return next <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(next) : next;
}

/** 32 bits: as varied as anybody needs, and short enough to read and to type. */
function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}

export function seedModes(graph: GraphDoc): Record<string, SeedMode> {
  return (graph.ui?.["seeds"] ?? {}) as Record<string, SeedMode>;
}

/**
 * Change the seeds of a graph, and of those within it, to the next ones.
 *
 * @param otherwise What to do with seeds for which no mode is set; null to leave them.
 * @returns Whether any changed.
 */
export function advanceSeeds(
  graph: GraphDoc,
  definitions: Definitions,
  otherwise: SeedMode | null = null,
  random?: () => number,
): boolean {
  const modes = seedModes(graph);
  let changed = false;
  for (const [id, node] of Object.entries(graph.nodes)) {
    for (const input of definitions.get(node.type)?.inputs ?? []) {
      if (input.widget?.kind !== "seed") continue;
      const place = `${id}.${input.name}`;
      const mode = modes[place] ?? otherwise;
      if (mode === null || isLink(node.inputs?.[input.name])) continue;
      // a declared input's default goes before the node's own value
      const declared = Object.values(graph.inputs ?? {}).find(
        (each) => each.to?.includes(place) && each.default !== undefined && each.default !== null,
      );
      if (declared !== undefined) declared.default = nextSeed(mode, declared.default ?? 0, random);
      else {
        node.inputs ??= {};
        node.inputs[input.name] = nextSeed(mode, node.inputs[input.name] ?? input.default, random);
      }
      changed = true;
    }
  }
  for (const inner of Object.values(graph.subgraphs ?? {}))
    changed = advanceSeeds(inner, definitions, otherwise, random) || changed;
  return changed;
}
