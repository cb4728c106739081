import { describe, expect, it } from "vitest";
import { heatOf, shareOf } from "./heat";

describe("heatOf", () => {
  const planned = {
    load: { seconds: 1, size_bytes: 50 },
    sample: { seconds: 8, size_bytes: 10 },
    new: { seconds: null, size_bytes: null },
  };
  it("takes what a run told before what is expected", () => {
    const heat = heatOf("seconds", "", planned, { sample: { seconds: 4 } });
    expect(Object.fromEntries(heat.costs)).toEqual({ load: 1, sample: 4 });
    expect(heat.most).toBe(4);
    expect(shareOf(heat, "load")).toBe(0.25);
  });
  it("knows sizes from plans alone", () => {
    const heat = heatOf("bytes", "", planned, { sample: { seconds: 4 } });
    expect(Object.fromEntries(heat.costs)).toEqual({ load: 50, sample: 10 });
  });
  it("adds up what is within a sub-graph, and within it shows its nodes", () => {
    const inner = { "up/a": { seconds: 1 }, "up/b": { seconds: 2 }, upper: { seconds: 9 } };
    expect(heatOf("seconds", "", {}, inner).costs.get("up")).toBe(3);
    expect([...heatOf("seconds", "up/", {}, inner).costs]).toEqual([
      ["a", 1],
      ["b", 2],
    ]);
  });
  it("says nothing of what isn't known", () => {
    const heat = heatOf("seconds", "", planned, {});
    expect(shareOf(heat, "new")).toBeNull();
    expect(heatOf("seconds", "", {}, {}).most).toBe(0);
    expect(shareOf(heatOf("seconds", "", { a: { seconds: 0 } }, {}), "a")).toBe(0);
  });
});
