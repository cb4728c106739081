import { describe, expect, it } from "vitest";
import { backOff, Following, type JobEvent } from "./following";

function event(number: number, type = "node_started", time = number): JobEvent {
  return { job: "a", number, time, type };
}

describe("Following", () => {
  it("takes events in order, and each once", () => {
    const following = new Following();
    expect([1, 2, 2, 1, 3].map((number) => following.judge(event(number)))).toEqual([
      "new",
      "new",
      "known",
      "known",
      "new",
    ]);
  });

  it("asks for what is missing, and takes it and what came meanwhile from there", () => {
    const following = new Following();
    following.judge(event(1));
    expect(following.judge(event(5))).toBe("gap");
    expect(following.unfinished()).toEqual([{ job: "a", after: 1 }]);
    expect([2, 3, 4, 5, 6].map((number) => following.judge(event(number)))).toEqual(Array(5).fill("new"));
  });

  it("lets progress through without counting it", () => {
    const following = new Following();
    following.judge(event(1));
    expect(following.judge(event(1, "node_progress", 9))).toBe("new");
    expect(following.lastOf("a")).toBe(1);
  });

  it("hears nothing more of a job that has ended", () => {
    const following = new Following();
    following.judge(event(1));
    following.judge(event(2, "job_ended"));
    expect(following.judge(event(2, "node_preview", 9))).toBe("known");
    expect(following.unfinished()).toEqual([]);
  });

  it("takes numbers that a server gave a second time after it lost its last events", () => {
    const following = new Following();
    for (const number of [1, 2, 3, 4]) following.judge(event(number));
    expect(following.judge(event(3, "job_started", 20))).toBe("new");
    expect(following.judge(event(4, "node_started", 21))).toBe("new");
    expect(following.judge(event(4, "node_started", 4))).toBe("known");
  });

  it("resumes from the last number of each job", () => {
    const following = new Following();
    following.judge(event(1));
    following.judge(event(2));
    following.begin("b");
    expect(following.unfinished()).toEqual([
      { job: "a", after: 2 },
      { job: "b", after: 0 },
    ]);
  });
});

describe("backOff", () => {
  it("grows to a limit", () => {
    const waits = [0, 1, 2, 3, 10].map((failures) => backOff(failures, 0.5));
    expect(waits).toEqual([500, 1000, 2000, 4000, 15_000]);
  });
});
