/** Curves: points on a unit square, from left to right, joined by a line that never overshoots them. */
import type { Json } from "../graph/document";
import { isNumeric, tidy } from "./numbers";

export type Point = readonly [x: number, y: number];

export const STRAIGHT: readonly Point[] = [
  [0, 0],
  [1, 1],
];

const NEAR = 0.005;

/** Read a curve: `[[x, y], …]`, or the JSON of it as a text; null if it is neither. */
export function readCurve(value: Json): readonly Point[] | null {
  if (typeof value === "string") {
    try {
      return readCurve(JSON.parse(value) as Json);
    } catch {
      return null;
    }
  }
  if (!Array.isArray(value) || value.length < 2) return null;
  const points: Point[] = [];
  for (const each of value) {
    if (!Array.isArray(each) || each.length !== 2) return null;
    const [x, y] = each as [Json, Json];
    if (!isNumeric(x) || !isNumeric(y)) return null;
    points.push([Number(x), Number(y)]);
  }
  return points.every(([x, y]) => x >= 0 && x <= 1 && y >= 0 && y <= 1)
    ? points.sort((one, other) => one[0] - other[0])
    : null;
}

/** Move a point; the ends keep their x, the others stay between their neighbours. */
export function movePoint(points: readonly Point[], index: number, to: Point): readonly Point[] {
  const last = points.length - 1;
  const before = points[index - 1]?.[0] ?? 0;
  const after = points[index + 1]?.[0] ?? 1;
  const x = index === 0 || index === last ? (points[index]?.[0] ?? 0) : clamp(to[0], before + NEAR, after - NEAR);
  const moved: Point = [rounded(x), rounded(clamp(to[1], 0, 1))];
  return points.map((point, at) => (at === index ? moved : point));
}

/** Add a point; null where one is too near. */
export function addPoint(points: readonly Point[], at: Point): { points: readonly Point[]; index: number } | null {
  const index = points.findIndex(([x]) => x > at[0]);
  if (index <= 0 || points.some(([x]) => Math.abs(x - at[0]) < 2 * NEAR)) return null;
  const added: Point = [rounded(at[0]), rounded(clamp(at[1], 0, 1))];
  return { points: [...points.slice(0, index), added, ...points.slice(index)], index };
}

/** Take a point away; the two ends stay. */
export function removePoint(points: readonly Point[], index: number): readonly Point[] {
  return index === 0 || index === points.length - 1 ? points : points.filter((_, at) => at !== index);
}

/**
 * Give the curve's height at a place: piecewise cubic with the slopes of Fritsch & Butland 1984, so that it rises
 * exactly where its points do.
 */
export function heightAt(points: readonly Point[], x: number): number {
  const first = points[0] ?? [0, 0];
  const last = points.at(-1) ?? [1, 1];
  if (x <= first[0]) return first[1];
  if (x >= last[0]) return last[1];
  const right = points.findIndex((point) => point[0] >= x);
  const [x0, y0] = points[right - 1] ?? first;
  const [x1, y1] = points[right] ?? last;
  const width = x1 - x0;
  const u = (x - x0) / width;
  const m0 = slopeAt(points, right - 1) * width;
  const m1 = slopeAt(points, right) * width;
  const rest = 1 - u;
  return rest * rest * (1 + 2 * u) * y0 + u * rest * rest * m0 + u * u * (3 - 2 * u) * y1 - u * u * rest * m1;
}

function slopeAt(points: readonly Point[], index: number): number {
  const left = secant(points, index - 1);
  const right = secant(points, index);
  if (left === null || right === null) return left ?? right ?? 0;
  return left * right <= 0 ? 0 : (2 * left * right) / (left + right);
}

function secant(points: readonly Point[], index: number): number | null {
  const one = points[index];
  const other = points[index + 1];
  if (one === undefined || other === undefined || other[0] === one[0]) return null;
  return (other[1] - one[1]) / (other[0] - one[0]);
}

function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(high, value));
}

function rounded(value: number): number {
  return tidy(Math.round(value * 1000) / 1000);
}
