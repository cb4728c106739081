import { describe, expect, it } from "vitest";
import { gridOf } from "./window";

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
