import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Saved } from "../api/routes";
import type { WorkflowDoc } from "../graph/document";
import { activeTab, type Tab, useEditor } from "../stores/editorStore";
import { isDue, saveTab, takeNewer } from "./autosave";
import { freeName, resolve } from "./conflicts";
import { useData } from "./dataStore";

function workflow(text: string): WorkflowDoc {
  return { format: "graphengine", version: 1, nodes: { a: { type: "Text", inputs: { text } } } };
}

function tab(): Tab {
  return activeTab(useEditor.getState()) as Tab;
}

function write(text: string): void {
  useEditor.getState().edit("Write", (graph) => {
    const node = graph.nodes["a"];
    if (node !== undefined) node.inputs = { text };
  });
}

/** A library of one workflow, as the server keeps it. */
let library: Record<string, { version: string; workflow: WorkflowDoc }>;

function answer(status: number, body: unknown): Response {
  return new Response(JSON.stringify(body), { status });
}

beforeEach(() => {
  library = { poem: { version: "1", workflow: workflow("first") } };
  useEditor.setState({ tabs: [], active: "" });
  useData.setState({ conflicts: {}, saving: new Set(), library: [] });
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    const name = decodeURIComponent(url.split("/").at(-1) ?? "");
    const held = library[name];
    const saved = () => ({ name, version: library[name]?.version });
    if (url.endsWith("/workflows"))
      return answer(200, { workflows: Object.keys(library).map((each) => ({ name: each })) });
    if (init.method === "GET") return answer(200, { saved: saved(), workflow: held?.workflow });
    const { workflow: document, version } = JSON.parse(init.body as string);
    if ((held?.version ?? null) !== version) return answer(409, { code: "version_conflict", detail: "changed" });
    library[name] = { version: String(Number(version ?? 0) + 1), workflow: document };
    return answer(200, saved());
  });
  useEditor.getState().open(workflow("first"), { name: "poem", version: "1" });
});

afterEach(() => vi.unstubAllGlobals());

describe("isDue", () => {
  it("holds for changed workflows of the library only", () => {
    expect(isDue(tab(), {}, new Set())).toBe(false);
    write("mine");
    expect(isDue(tab(), {}, new Set())).toBe(true);
    expect(isDue({ ...tab(), name: null }, {}, new Set())).toBe(false);
    expect(isDue(tab(), { [tab().id]: {} }, new Set())).toBe(false);
    expect(isDue(tab(), {}, new Set([tab().id]))).toBe(false);
  });
});

describe("saving", () => {
  it("notes the new version, so that the next save stems from it", async () => {
    write("mine");
    await saveTab(tab());
    expect(tab().version).toBe("2");
    write("more");
    await saveTab(tab());
    expect(library["poem"]?.version).toBe("3");
    expect(useData.getState().conflicts).toEqual({});
  });

  it("overwrites nothing that somebody else saved", async () => {
    library["poem"] = { version: "9", workflow: workflow("theirs") };
    write("mine");
    await saveTab(tab());
    expect(library["poem"].workflow).toEqual(workflow("theirs"));
    expect(useData.getState().conflicts[tab().id]?.theirs.workflow).toEqual(workflow("theirs"));
  });
});

describe("takeNewer", () => {
  const newer = () => [{ name: "poem", version: "9" }] as unknown as Saved[];
  beforeEach(() => {
    library["poem"] = { version: "9", workflow: workflow("theirs") };
  });

  it("shows what was saved elsewhere, where nothing was changed here", async () => {
    await takeNewer(newer());
    expect(tab().history.present).toEqual(workflow("theirs"));
    expect(isDue(tab(), {}, new Set())).toBe(false);
    expect(tab().version).toBe("9");
  });

  it("leaves what was changed here", async () => {
    write("mine");
    await takeNewer(newer());
    expect(tab().history.present).toEqual(workflow("mine"));
    expect(tab().version).toBe("1");
  });
});

describe("a conflict", () => {
  beforeEach(async () => {
    library["poem"] = { version: "9", workflow: workflow("theirs") };
    write("mine");
    await saveTab(tab());
  });

  it("is ended by keeping mine", async () => {
    await resolve(tab(), "mine");
    expect(library["poem"]?.workflow).toEqual(workflow("mine"));
    expect(useData.getState().conflicts).toEqual({});
  });

  it("is told anew if somebody was faster once more, and overwrites nothing", async () => {
    library["poem"] = { version: "10", workflow: workflow("theirs again") };
    await resolve(tab(), "mine");
    expect(library["poem"].workflow).toEqual(workflow("theirs again"));
    expect(useData.getState().conflicts[tab().id]?.theirs.workflow).toEqual(workflow("theirs again"));
    await resolve(tab(), "mine");
    expect(library["poem"]?.workflow).toEqual(workflow("mine"));
    expect(useData.getState().conflicts).toEqual({});
  });

  it("is ended by taking theirs, which can be undone", async () => {
    await resolve(tab(), "theirs");
    expect(tab().history.present).toEqual(workflow("theirs"));
    expect(isDue(tab(), {}, new Set())).toBe(false);
    useEditor.getState().undo();
    expect(tab().history.present).toEqual(workflow("mine"));
  });

  it("is ended by opening both, mine under a name that nobody has", async () => {
    library["poem copy"] = { version: "1", workflow: workflow("another's") };
    await resolve(tab(), "both");
    expect(library["poem copy 2"]?.workflow).toEqual(workflow("mine"));
    expect(useEditor.getState().tabs.map((each) => each.name)).toEqual(["poem copy 2", "poem"]);
    expect(tab().history.present).toEqual(workflow("theirs"));
  });
});

describe("freeName", () => {
  it("counts on", () => {
    expect(freeName("a", [])).toBe("a copy");
    expect(freeName("a", ["a copy", "a copy 2"])).toBe("a copy 3");
  });
});
