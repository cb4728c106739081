/** Aligning and distributing rectangles. */

export interface Rectangle {
  id: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

export type Edge = "left" | "right" | "top" | "bottom" | "centre" | "middle";

/** Give the new corners of all rectangles, brought to one edge, or to one line through their middles. */
export function align(rectangles: readonly Rectangle[], edge: Edge): Map<string, [number, number]> {
  const left = Math.min(...rectangles.map(({ x }) => x));
  const right = Math.max(...rectangles.map(({ x, width }) => x + width));
  const top = Math.min(...rectangles.map(({ y }) => y));
  const bottom = Math.max(...rectangles.map(({ y, height }) => y + height));
  const corners = rectangles.map(({ id, x, y, width, height }): [string, [number, number]] => {
    if (edge === "left") return [id, [left, y]];
    if (edge === "right") return [id, [right - width, y]];
    if (edge === "top") return [id, [x, top]];
    if (edge === "bottom") return [id, [x, bottom - height]];
    if (edge === "centre") return [id, [Math.round((left + right - width) / 2), y]];
    return [id, [x, Math.round((top + bottom - height) / 2)]];
  });
  return new Map(corners);
}

/** Give the new corners of all rectangles, with equal gaps; the first and the last stay. */
export function distribute(rectangles: readonly Rectangle[], axis: "x" | "y"): Map<string, [number, number]> {
  const length = (each: Rectangle) => (axis === "x" ? each.width : each.height);
  const sorted = [...rectangles].sort((a, b) => a[axis] - b[axis] || a.id.localeCompare(b.id));
  const first = sorted[0];
  const last = sorted.at(-1);
  if (first === undefined || last === undefined) return new Map();
  const room = last[axis] + length(last) - first[axis] - sorted.reduce((sum, each) => sum + length(each), 0);
  const gap = sorted.length > 2 ? room / (sorted.length - 1) : 0;
  let next = first[axis];
  const corners = new Map<string, [number, number]>();
  for (const each of sorted) {
    const at = each === last ? last[axis] : Math.round(next);
    corners.set(each.id, axis === "x" ? [at, each.y] : [each.x, at]);
    next += length(each) + gap;
  }
  return corners;
}
