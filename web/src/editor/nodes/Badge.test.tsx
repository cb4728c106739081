// @vitest-environment jsdom
import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import { unheardJob } from "../../run/reduce";
import { type NodeRun, type PlannedNode, useRun } from "../../stores/runStore";
import { Badge } from "./Badge";

afterEach(cleanup);

function show(run: NodeRun | null, plan: Pick<PlannedNode, "state" | "changed"> | null): string {
  const nodes: Record<string, NodeRun> = run === null ? {} : { n: run };
  const planned = plan === null ? {} : { n: { ...plan, reason: "why", seconds: null, size_bytes: null } };
  useRun.setState({
    jobs: { j: { ...unheardJob("j", "", "tab"), nodes } },
    jobOfTab: { tab: "j" },
    plans: { tab: planned },
  });
  render(<Badge tab="tab" node="n" />);
  return screen.getByRole("img").getAttribute("aria-label") + (screen.queryByText("stale") === null ? "" : ", stale");
}

const DONE: NodeRun = { state: "done", seconds: 0.5 };

test.each<[string, NodeRun | null, Pick<PlannedNode, "state" | "changed"> | null, string]>([
  ["before its first run", null, { state: "run", changed: true }, "will run: why"],
  ["done, and kept", DONE, { state: "cached", changed: false }, "done"],
  ["done, and never kept", DONE, { state: "run", changed: false }, "done"],
  ["done, and changed since", DONE, { state: "run", changed: true }, "will run: why, stale"],
  ["cached, and changed since", { state: "cached" }, { state: "run", changed: true }, "will run: why, stale"],
  ["failed", { state: "failed" }, { state: "run", changed: true }, "failed"],
  ["running", { state: "running" }, { state: "run", changed: true }, "running"],
])("%s", (_case, run, plan, said) => expect(show(run, plan)).toBe(said));
