import { describe, expect, it } from "vitest";
import type { JobEvent } from "../api/following";
import { progressOf, spanText } from "./progress";
import { dropped, isOver, reduceEvents, unheardJob } from "./reduce";

let number = 0;
function event(type: string, fields: object = {}): JobEvent {
  number += 1;
  return { job: "a", number, time: 100 + number, type, ...fields };
}

const START = [event("job_queued"), event("job_running"), event("job_started", { steps: 2 })];

describe("reduceEvents", () => {
  it("follows nodes from start to end", () => {
    const job = reduceEvents(
      unheardJob("a"),
      [
        ...START,
        event("node_cached", { node: "load" }),
        event("node_started", { node: "sample", node_type: "KSampler" }),
        event("node_progress", { node: "sample", done: 3, total: 20 }),
      ],
      5000,
    );
    expect(job.state).toBe("running");
    expect(job.nodes).toEqual({
      load: { state: "cached" },
      sample: { state: "running", since: 5000, done: 3, total: 20, first: { done: 3, now: 5000 } },
    });
    expect(job.finishedSteps).toBe(1);
  });

  it("does not change the view that it was given", () => {
    const before = unheardJob("a");
    reduceEvents(before, [...START, event("node_cached", { node: "load" })], 0);
    expect(before.nodes).toEqual({});
    expect(before.state).toBe("queued");
  });

  it("drops a preview that comes after the node has finished", () => {
    const events = [
      ...START,
      event("node_started", { node: "sample" }),
      event("node_preview", { node: "sample", url: "blob:1" }),
      event("node_finished", { node: "sample", seconds: 1.5 }),
      event("node_preview", { node: "sample", url: "blob:2" }),
    ];
    expect(reduceEvents(unheardJob("a"), events, 0).nodes["sample"]).toEqual({
      state: "done",
      seconds: 1.5,
      preview: "blob:1",
    });
  });

  it("lets go of all previews when the job ends", () => {
    const running = reduceEvents(
      unheardJob("a"),
      [...START, event("node_started", { node: "sample" }), event("node_preview", { node: "sample", url: "blob:1" })],
      0,
    );
    const ended = reduceEvents(running, [event("job_ended", { state: "done", outputs: [], values: {} })], 0);
    expect(isOver(ended)).toBe(true);
    expect(ended.nodes["sample"]).toBeUndefined();
    expect(dropped(running, ended)).toEqual(["blob:1"]);
  });

  it("starts anew with a second attempt", () => {
    const events = [
      ...START,
      event("node_cached", { node: "load" }),
      event("job_queued"),
      event("job_started", { steps: 2 }),
    ];
    const job = reduceEvents(unheardJob("a"), events, 0);
    expect(job.nodes).toEqual({});
    expect(job.finishedSteps).toBe(0);
  });

  it("counts a node that loops once, and adds up its time", () => {
    const round = () => [event("node_started", { node: "body" }), event("node_finished", { node: "body", seconds: 1 })];
    const job = reduceEvents(unheardJob("a"), [...START, ...round(), ...round()], 0);
    expect(job.finishedSteps).toBe(1);
    expect(job.nodes["body"]?.seconds).toBe(2);
  });

  it("keeps the metrics before the step that a second attempt goes on from", () => {
    const measured = (steps: number[]) => steps.map((step) => event("node_metrics", { node: "t", step, values: {} }));
    const events = [event("job_started", {}), ...measured([1, 2, 3]), event("job_started", {}), ...measured([3, 4])];
    expect(reduceEvents(unheardJob("a"), events, 0).metrics["t"]?.map(({ step }) => step)).toEqual([1, 2, 3, 4]);
  });
  it("adds what a look at a training tells to what its step measured", () => {
    const events = [
      event("node_metrics", { node: "t", step: 1, values: { loss: 1 } }),
      event("node_metrics", { node: "t", step: 2, values: { loss: 0.5 } }),
      event("node_metrics", { node: "t", step: 2, values: { score: 7 } }),
    ];
    expect(reduceEvents(unheardJob("a"), events, 0).metrics["t"]).toEqual([
      { step: 1, values: { loss: 1 } },
      { step: 2, values: { loss: 0.5, score: 7 } },
    ]);
  });
  it("keeps metrics by step; those of a repeated step replace the old ones, and texts become numbers", () => {
    const events = [0, 10, 20, 10].map((step) => event("node_metrics", { node: "t", step, values: { loss: "NaN" } }));
    expect(reduceEvents(unheardJob("a"), events, 0).metrics["t"]).toEqual([
      { step: 0, values: { loss: Number.NaN } },
      { step: 10, values: { loss: Number.NaN } },
    ]);
  });

  it("puts a failed job's remedy on its node", () => {
    const events = [
      ...START,
      event("node_started", { node: "sample" }),
      event("node_failed", { node: "sample", message: "out of memory", traceback: "…", inputs: {} }),
      event("job_ended", {
        state: "failed",
        error: { code: "node_failed", message: "out of memory", remedy: "Make it smaller.", extra: { node: "sample" } },
      }),
    ];
    const run = reduceEvents(unheardJob("a"), events, 0).nodes["sample"];
    expect(run).toMatchObject({ state: "failed", message: "out of memory", remedy: "Make it smaller." });
  });
});

describe("progressOf", () => {
  it("weighs nodes by the times that the plan expects", () => {
    const job = reduceEvents(
      unheardJob("a"),
      [
        ...START,
        event("node_started", { node: "load" }),
        event("node_finished", { node: "load", seconds: 1 }),
        event("node_started", { node: "sample" }),
        event("node_progress", { node: "sample", done: 5, total: 10 }),
      ],
      0,
    );
    const plan = Object.fromEntries(
      [["load", 1] as const, ["sample", 9] as const].map(([node, seconds]) => [
        node,
        { state: "run" as const, reason: "", changed: true, seconds, size_bytes: null },
      ]),
    );
    const { fraction, remainingS } = progressOf(job, plan, ((job.started ?? 0) + 11) * 1000);
    expect(fraction).toBeCloseTo(0.55);
    expect(remainingS).toBeCloseTo(9);
  });

  it("measures a training that goes on by what it does now", () => {
    const begun = reduceEvents(
      unheardJob("a"),
      [
        ...START,
        event("node_started", { node: "train" }),
        event("node_progress", { node: "train", done: 900, total: 1000 }),
      ],
      50_000,
    );
    const job = reduceEvents(begun, [event("node_progress", { node: "train", done: 910, total: 1000 })], 60_000);
    const train = { state: "run" as const, reason: "", changed: true, seconds: null, size_bytes: null };
    const { remainingS } = progressOf({ ...job, steps: 1 }, { train }, 60_000);
    expect(remainingS).toBeCloseTo(90);
  });

  it("tells spans of time as people do", () => {
    expect([0.25, 3.4, 125, 3840].map(spanText)).toEqual(["0.3 s", "3 s", "2 min 5 s", "1 h 4 min"]);
  });
});
