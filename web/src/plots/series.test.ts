import { describe, expect, it } from "vitest";
import { columnsOf, joinResumed, linesOf, metricNames, type Run, secondsLeft, valueAt, viewsOf } from "./series";

const OF = { job: "1", node: "train", goesOn: false };
const RUNS: Run[] = [
  {
    ...OF,
    id: "1/a",
    origin: "a",
    label: "a",
    metrics: [1, 2, 3].map((step) => ({ step, values: { loss: step, lr: 0.1 } })),
  },
  {
    ...OF,
    id: "1/b",
    origin: "b",
    label: "b",
    metrics: [2, 4].map((step) => ({ step, values: { loss: step === 4 ? Number.NaN : 8 } })),
  },
];

const LOSSES = RUNS.map((run) => ({ run, metric: "loss" }));

describe("columnsOf", () => {
  it("lays runs with other steps over each other", () => {
    expect(columnsOf(LOSSES)).toEqual([
      [1, 2, 3, 4],
      [1, 2, 3, null],
      [null, 8, null, null],
    ]);
  });
  it("smooths each run by itself", () => {
    expect(columnsOf(LOSSES, { smoothing: 0.5, logarithmic: false })[1]).toEqual([1, 1.5, 2.25, null]);
  });
  it("leaves out what has no logarithm", () => {
    const run = { ...(RUNS[0] as Run), metrics: [4, 0, -1].map((loss, step) => ({ step, values: { loss } })) };
    expect(columnsOf([{ run, metric: "loss" }], { smoothing: 0, logarithmic: true })[1]).toEqual([4, null, null]);
  });
  it("finds all metrics", () => {
    expect(metricNames(RUNS)).toEqual(["loss", "lr"]);
  });
});

describe("viewsOf", () => {
  const names = ["learning_rate", "loss", "loss_noise_50_75", "loss_noise_0_25", "eta_s", "held_out_loss", "score"];
  it("draws the held-out loss with the loss, and the loss by noise by itself", () => {
    expect(viewsOf(names, "by noise")).toEqual([
      { name: "loss", metrics: ["loss", "held_out_loss"] },
      { name: "by noise", metrics: ["loss_noise_0_25", "loss_noise_50_75"] },
      { name: "learning_rate", metrics: ["learning_rate"] },
      { name: "held_out_loss", metrics: ["held_out_loss"] },
      { name: "score", metrics: ["score"] },
    ]);
    expect(viewsOf(["score"], "by noise")).toEqual([{ name: "score", metrics: ["score"] }]);
  });
  it("leaves out the lines that a run hasn't", () => {
    const lines = linesOf(RUNS, { name: "", metrics: ["loss", "lr"] });
    expect(lines.map(({ run, metric }) => `${run.id} ${metric}`)).toEqual(["1/a loss", "1/a lr", "1/b loss"]);
  });
  it("knows what a run said last of the time that is left", () => {
    const metrics = [{ eta_s: 9 }, { eta_s: 5 }, { score: 1 }].map((values, step) => ({ step, values }));
    expect(secondsLeft({ metrics: metrics as Run["metrics"] })).toBe(5);
    expect(secondsLeft(RUNS[0] as Run)).toBeNull();
  });
});

describe("valueAt", () => {
  it("gives the value at a step, before it, or the last", () => {
    const run = RUNS[0] as Run;
    expect(valueAt(run, "loss", 2)).toEqual({ step: 2, value: 2 });
    expect(valueAt(run, "loss", 2.7)).toEqual({ step: 2, value: 2 });
    expect(valueAt(run, "loss")).toEqual({ step: 3, value: 3 });
    expect(valueAt(run, "loss", 0)).toBeNull();
    expect(valueAt(run, "accuracy")).toBeNull();
  });
});

describe("joinResumed", () => {
  const run = (id: string, steps: number[], origin = "t"): Run => ({
    ...OF,
    id,
    origin,
    label: id,
    metrics: steps.map((step) => ({ step, values: { loss: step } })),
  });
  const steps = (runs: Run[]) => runs.map(({ id, metrics }) => [id, ...metrics.map(({ step }) => step)]);

  it("continues the curve of a training that was stopped, from the state that was saved", () => {
    expect(steps(joinResumed([run("1", [10, 20, 30, 40]), run("2", [30, 40, 50])]))).toEqual([
      ["2", 10, 20, 30, 40, 50],
    ]);
    expect(steps(joinResumed([run("1", [10, 20]), run("2", [30, 40])]))).toEqual([["2", 10, 20, 30, 40]]);
  });
  it("leaves apart what begins anew, belongs to another node, or has a gap before it", () => {
    const runs = [run("1", [10, 20]), run("2", [10, 20]), run("3", [30, 40], "other"), run("4", [90, 100])];
    expect(joinResumed(runs)).toEqual(runs);
  });
});
