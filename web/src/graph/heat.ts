/** What each node costs, by what a run told or a plan expects, so that the dear ones can be told at a glance. */

export type HeatKind = "seconds" | "bytes";

/** What is known of a node, by its full id. */
export interface Cost {
  seconds?: number | null | undefined;
  size_bytes?: number | null | undefined;
}

export interface Heat {
  /** By the id of a node in the graph that is shown; those of which something is known. */
  costs: ReadonlyMap<string, number>;
  /** The largest of them; 0 if nothing is known. */
  most: number;
}

/**
 * Add up what the nodes of a graph cost: a sub-graph, what is within it.
 *
 * @param prefix Full id of the node that the graph was entered through, with a slash behind; empty for the outermost.
 * @param ran What the last run told: it goes before what is expected.
 */
export function heatOf(
  kind: HeatKind,
  prefix: string,
  planned: Readonly<Record<string, Cost>>,
  ran: Readonly<Record<string, Cost>>,
): Heat {
  const costs = new Map<string, number>();
  for (const full of new Set([...Object.keys(planned), ...Object.keys(ran)])) {
    if (!full.startsWith(prefix)) continue;
    const cost = costOf(kind, ran[full]) ?? costOf(kind, planned[full]);
    if (cost === null) continue;
    const id = full.slice(prefix.length).split("/")[0] as string;
    costs.set(id, (costs.get(id) ?? 0) + cost);
  }
  return { costs, most: Math.max(0, ...costs.values()) };
}

/** Give a node's share of the largest cost, 0…1; null if nothing is known of it. */
export function shareOf({ costs, most }: Heat, id: string): number | null {
  const cost = costs.get(id);
  if (cost === undefined) return null;
  return most === 0 ? 0 : cost / most;
}

function costOf(kind: HeatKind, cost: Cost | undefined): number | null {
  return (kind === "seconds" ? cost?.seconds : cost?.size_bytes) ?? null;
}
