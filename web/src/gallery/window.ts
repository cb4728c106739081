/** Which cells of a grid are in view: only those are drawn, however many there are. */

export interface Grid {
  columns: number;
  /** Of a cell with the gap after it. */
  side: number;
  height: number;
  first: number;
  /** One after the last. */
  end: number;
}

const ROWS_AHEAD = 2;

export function gridOf(count: number, width: number, top: number, shown: number, smallest: number, gap: number): Grid {
  const columns = Math.max(1, Math.floor((width + gap) / (smallest + gap)));
  const side = (width + gap) / columns;
  const rows = Math.ceil(count / columns);
  const first = Math.max(0, Math.floor(top / side) - ROWS_AHEAD) * columns;
  const end = Math.min(count, (Math.ceil((top + shown) / side) + ROWS_AHEAD) * columns);
  return { columns, side, height: Math.max(0, rows * side - gap), first: Math.min(first, count), end };
}

/** The cells to draw: those in view, and the one that has the focus, which would be lost with it. */
export function shownIn(grid: Grid, current: number, count: number): number[] {
  const shown = Array.from({ length: grid.end - grid.first }, (_, place) => grid.first + place);
  if (current >= grid.end && current < count) shown.push(current);
  if (current >= 0 && current < grid.first) shown.unshift(current);
  return shown;
}

/** Where to scroll to, so that a cell is in view: not at all if it is. */
export function turnTo(grid: Grid, index: number, top: number, shown: number): number {
  const row = Math.floor(index / grid.columns) * grid.side;
  return Math.max(Math.min(top, row), row + grid.side - shown);
}
