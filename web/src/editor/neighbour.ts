/** Where the arrow keys lead from a node: along its links, or else to what lies there. */
import type { Rectangle } from "../graph/arrange";
import type { GraphLink } from "../graph/links";

export type Direction = "left" | "right" | "up" | "down";

/** Give the node that lies next in a direction; null if none does. */
export function neighbourOf(
  id: string,
  direction: Direction,
  boxes: readonly Rectangle[],
  links: readonly GraphLink[],
): string | null {
  const from = boxes.find((box) => box.id === id);
  if (from === undefined) return null;
  const linked = new Set(
    links.flatMap((link) => {
      if (direction === "right" && link.from.node === id) return [link.to.node];
      return direction === "left" && link.to.node === id ? [link.from.node] : [];
    }),
  );
  let best: { id: string; cost: number } | null = null;
  for (const box of boxes) {
    if (box.id === id || (linked.size > 0 && !linked.has(box.id))) continue;
    const dx = box.x + box.width / 2 - (from.x + from.width / 2);
    const dy = box.y - from.y;
    const [along, across] = {
      right: [dx, dy],
      left: [-dx, dy],
      down: [dy, dx],
      up: [-dy, dx],
    }[direction] as [number, number];
    // What lies aside counts double, so that the next one in a column comes before a nearer one in another.
    const cost = Math.abs(along) + 2 * Math.abs(across);
    if ((along > 0 || linked.has(box.id)) && (best === null || cost < best.cost)) best = { id: box.id, cost };
  }
  return best?.id ?? null;
}
