import { describe, expect, it } from "vitest";
import { workflowInPng } from "../graph/files";
import { dumpDrafts, readDrafts } from "./drafts";
import { commandFor, fileName } from "./files";
import { crc32, withWorkflow } from "./pngText";

// one black pixel
const PNG = Uint8Array.from(
  atob("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="),
  (letter) => letter.charCodeAt(0),
);

describe("withWorkflow", () => {
  it("puts a text into a PNG where it is found again, in place of the one before", async () => {
    const once = withWorkflow(PNG, '{"a": "é"}');
    expect(await workflowInPng(once)).toBe('{"a": "é"}');
    const twice = withWorkflow(once, "{}");
    expect(await workflowInPng(twice)).toBe("{}");
    expect(twice.length).toBeLessThan(once.length);
  });
  it("knows the CRC that PNG has", () => {
    expect(crc32(new TextEncoder().encode("123456789"))).toBe(0xcbf43926);
  });
});

describe("commandFor", () => {
  it("sets declared inputs, and quotes what a shell would read otherwise", () => {
    const inputs = {
      prompt: { type: "STRING", default: "it's $5" },
      seed: { type: "INT", default: 18446744073709551615n },
      image: { type: "IMAGE" },
    };
    expect(commandFor("a.json", inputs)).toBe(
      "graphengine run a.json --set 'prompt=it'\\''s $5' --set seed=18446744073709551615",
    );
  });
  it("makes file names of any name", () => {
    expect(fileName("Größe / 2: a?")).toBe("Größe_2_a");
    expect(fileName("../..")).toBe("workflow");
  });
});

describe("drafts", () => {
  it("are read as they were kept, whole numbers exactly", () => {
    const document = {
      format: "graphengine" as const,
      version: 1 as const,
      nodes: { a: { type: "X", inputs: { seed: 18446744073709551615n } } },
    };
    const tab = {
      id: "t",
      name: "n",
      version: "1",
      saved: document,
      history: { present: document, done: [], undone: [] },
      path: [],
      selection: new Set<string>(),
    };
    const { drafts, active } = readDrafts(dumpDrafts([tab], "t", () => ["job"]));
    expect(active).toBe(0);
    expect(drafts).toEqual([{ name: "n", version: "1", unsaved: false, jobs: ["job"], document }]);
  });
  it("lets go of what can't be read", () => {
    expect(readDrafts("{").drafts).toEqual([]);
    expect(readDrafts('{"drafts": [1, {"document": {}}]}').drafts).toEqual([]);
    expect(readDrafts(null).drafts).toEqual([]);
  });
});
