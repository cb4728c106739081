// @vitest-environment jsdom
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type GraphDoc, parseJson } from "../graph/document";
import { toggleLook } from "../graph/edits";
import { change, definitions, textToImage } from "../graph/testing/world";
import { activeTab, useEditor } from "../stores/editorStore";
import { useRun } from "../stores/runStore";
import { stoppedIn } from "./stops";
import { goOn, run } from "./submit";

/** What was sent: the targets of each job. */
let sent: unknown[];

beforeEach(() => {
  sent = [];
  vi.stubGlobal("fetch", async (address: string, init: RequestInit) => {
    if (!address.endsWith("/jobs")) return new Response("{}");
    sent.push((parseJson(String(init.body)) as { targets?: unknown }).targets ?? null);
    const job = { id: `job${sent.length}`, name: "x", state: "queued", outputs: [], values: {}, error: null };
    return new Response(JSON.stringify({ job: { ...job, created: 1 }, is_new: true, warnings: [] }), { status: 201 });
  });
  useEditor.getState().setDefinitions(definitions);
  useEditor
    .getState()
    .open(change(textToImage(), (draft) => toggleLook(draft as GraphDoc, ["decode", "save"], "breakpoint")));
});
afterEach(() => vi.unstubAllGlobals());

const tab = () => useEditor.getState().active;
const end = (id: string, state: "done" | "failed") => useRun.getState().changeJob(id, () => ({ state }));

test("a run goes from breakpoint to breakpoint, and on to its end", async () => {
  await run(4);
  expect(sent).toEqual([["sampler", "checkpoint"]]);
  expect(stoppedIn(tab())).toBeNull();
  end("job1", "done");
  expect(stoppedIn(tab())?.before).toEqual(["decode"]);

  await goOn();
  end("job2", "done");
  expect(stoppedIn(tab())?.before).toEqual(["save"]);

  await goOn();
  expect(sent).toEqual([["sampler", "checkpoint"], ["decode"], null]);
  expect(stoppedIn(tab())).toBeNull();
});

test("a run that stops leaves the seeds, so that it can go on from the cache", async () => {
  const before = activeTab(useEditor.getState())?.history.present;
  await run();
  expect(activeTab(useEditor.getState())?.history.present).toBe(before);
});

test("after a job that failed there is nothing to go on with", async () => {
  await run();
  end("job1", "failed");
  await goOn();
  expect(sent).toHaveLength(1);
});
