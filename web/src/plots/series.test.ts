import { describe, expect, it } from "vitest";
import { columnsOf, metricNames, type Run } from "./series";

const RUNS: Run[] = [
  { label: "a", metrics: [1, 2, 3].map((step) => ({ step, values: { loss: step, lr: 0.1 } })) },
  { label: "b", metrics: [2, 4].map((step) => ({ step, values: { loss: step === 4 ? Number.NaN : 8 } })) },
];

describe("columnsOf", () => {
  it("lays runs with other steps over each other", () => {
    expect(columnsOf(RUNS, "loss")).toEqual([
      [1, 2, 3, 4],
      [1, 2, 3, null],
      [null, 8, null, null],
    ]);
  });
  it("smooths each run by itself", () => {
    expect(columnsOf(RUNS, "loss", 0.5)[1]).toEqual([1, 1.5, 2.25, null]);
  });
  it("finds all metrics", () => {
    expect(metricNames(RUNS)).toEqual(["loss", "lr"]);
  });
});
