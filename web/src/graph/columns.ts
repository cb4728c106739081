/**
 * Laying large graphs out: in columns by how far nodes are from the first ones, each beside the middle of what it reads.
 *
 * Crossings aren't counted, as dagre does, which takes many seconds once links span many columns.
 */

interface Box {
  id: string;
  width: number;
  height: number;
}

interface Link {
  from: string;
  to: string;
}

const ACROSS = 80;
const DOWN = 32;

/** Give each node's column: one further than the furthest of those it reads. Of a circle, some link leads back. */
export function columnsOf(ids: readonly string[], links: readonly Link[]): Map<string, number> {
  const waiting = new Map(ids.map((id) => [id, 0]));
  const readers = new Map<string, string[]>();
  for (const { from, to } of links) {
    const before = waiting.get(to);
    if (before === undefined || !waiting.has(from)) continue;
    waiting.set(to, before + 1);
    const found = readers.get(from);
    if (found === undefined) readers.set(from, [to]);
    else found.push(to);
  }
  const columns = new Map<string, number>();
  const ready = ids.filter((id) => waiting.get(id) === 0);
  const known = new Map(ids.map((id) => [id, 0]));
  let next = 0;
  const take = (id: string) => {
    waiting.delete(id);
    const column = known.get(id) ?? 0;
    columns.set(id, column);
    for (const reader of readers.get(id) ?? []) {
      const left = waiting.get(reader);
      if (left === undefined) continue;
      known.set(reader, Math.max(known.get(reader) ?? 0, column + 1));
      waiting.set(reader, left - 1);
      if (left === 1) ready.push(reader);
    }
  };
  for (const id of ids) {
    if (waiting.get(id) === 0) continue; // its turn comes by itself
    for (; next < ready.length; next += 1) take(ready[next] as string);
    if (waiting.has(id)) take(id); // in a circle, of which one has to be first
  }
  for (; next < ready.length; next += 1) take(ready[next] as string);
  return columns;
}

/** Give the corners of all nodes; nothing overlaps, and readers stand right of their sources. */
export function layOutInColumns(boxes: readonly Box[], links: readonly Link[]): Map<string, [number, number]> {
  const columns = columnsOf(
    boxes.map((box) => box.id),
    links,
  );
  const byColumn: Box[][] = [];
  for (const box of boxes) {
    const column = columns.get(box.id) ?? 0;
    byColumn[column] ??= [];
    byColumn[column].push(box);
  }
  const sources = new Map<string, string[]>();
  for (const { from, to } of links) sources.set(to, [...(sources.get(to) ?? []), from]);
  const middles = new Map<string, number>();
  const corners = new Map<string, [number, number]>();
  let x = 0;
  for (const column of byColumn) {
    const wanted = column
      .map((box, place) => ({ box, middle: meanOf(sources.get(box.id) ?? [], middles) ?? place * (box.height + DOWN) }))
      .sort((one, other) => one.middle - other.middle);
    let bottom = Number.NEGATIVE_INFINITY;
    const tops = wanted.map(({ box, middle }) => {
      const top = Math.max(middle - box.height / 2, bottom);
      bottom = top + box.height + DOWN;
      return top;
    });
    const pushed = wanted.reduce(
      (sum, { box, middle }, place) => sum + (tops[place] ?? 0) + box.height / 2 - middle,
      0,
    );
    wanted.forEach(({ box }, place) => {
      const top = (tops[place] ?? 0) - pushed / wanted.length;
      corners.set(box.id, [x, top]);
      middles.set(box.id, top + box.height / 2);
    });
    x += Math.max(...column.map((box) => box.width)) + ACROSS;
  }
  return corners;
}

function meanOf(ids: readonly string[], middles: ReadonlyMap<string, number>): number | null {
  const found = ids.flatMap((id) => middles.get(id) ?? []);
  return found.length === 0 ? null : found.reduce((sum, each) => sum + each, 0) / found.length;
}
