import type { GraphLink } from "../graph/links";

/** Order nodes so that each comes after those that feed it; the rest of a cycle comes at the end. */
export function layered(ids: readonly string[], links: readonly GraphLink[]): string[] {
  const waiting = new Map(ids.map((id) => [id, 0]));
  const followers = new Map<string, string[]>();
  for (const { from, to } of links) {
    if (!waiting.has(from.node) || !waiting.has(to.node)) continue;
    waiting.set(to.node, (waiting.get(to.node) ?? 0) + 1);
    followers.set(from.node, [...(followers.get(from.node) ?? []), to.node]);
  }
  const ready = ids.filter((id) => waiting.get(id) === 0);
  const ordered: string[] = [];
  for (let id = ready.shift(); id !== undefined; id = ready.shift()) {
    ordered.push(id);
    for (const next of followers.get(id) ?? []) {
      const left = (waiting.get(next) ?? 0) - 1;
      waiting.set(next, left);
      if (left === 0) ready.push(next);
    }
  }
  const placed = new Set(ordered);
  return [...ordered, ...ids.filter((id) => !placed.has(id))];
}
