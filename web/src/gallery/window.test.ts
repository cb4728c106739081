import { describe, expect, it } from "vitest";
import { gridOf, shownIn, turnTo } from "./window";

describe("gridOf", () => {
  it("draws what is in view and two rows around it", () => {
    expect(gridOf(1000, 328, 2000, 600, 100, 8)).toEqual({
      columns: 3,
      side: 112,
      height: 334 * 112 - 8,
      first: 45,
      end: 78,
    });
  });
  it("holds with nothing to show, and in a narrow place", () => {
    expect(gridOf(0, 50, 0, 600, 100, 8)).toMatchObject({ columns: 1, height: 0, first: 0, end: 0 });
  });
});

describe("shownIn", () => {
  const grid = gridOf(1000, 328, 2000, 600, 100, 8);

  it("draws the cell with the focus too, wherever it is", () => {
    expect(shownIn(grid, 0, 1000).slice(0, 2)).toEqual([0, 45]);
    expect(shownIn(grid, 999, 1000).slice(-2)).toEqual([77, 999]);
    expect(shownIn(grid, 50, 1000)).toHaveLength(33);
  });
});

describe("turnTo", () => {
  const grid = gridOf(1000, 328, 0, 600, 100, 8);

  it("brings a cell into view from above and below, and leaves what is in view", () => {
    expect(turnTo(grid, 0, 500, 600)).toBe(0);
    expect(turnTo(grid, 30, 0, 600)).toBe(11 * 112 - 600);
    expect(turnTo(grid, 6, 200, 600)).toBe(200);
  });
});
