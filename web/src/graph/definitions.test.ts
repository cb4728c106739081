import { expect, test } from "vitest";
import { readDefinitions } from "./definitions";
import { DocumentError, dumpJson, emptyWorkflow } from "./document";

test("what the server leaves out is filled in", () => {
  const read = readDefinitions({
    nodes: { A: { id: "A", inputs: [{ name: "x", type: "INT" }], body: { lists: true } }, B: {}, C: 1 },
  });
  expect(read.get("A")).toMatchObject({
    version: 1,
    pack: "",
    status: "stable",
    inputs: [{ name: "x", required: true, default: null, doc: "" }],
    outputs: [],
    body: { input: "body", supplies: [], consumes: [], lists: true, outputs: true },
  });
  expect(read.get("B")).toMatchObject({ id: "B", body: null, variables: {} });
  expect([...read.keys()]).toEqual(["A", "B"]);
  expect(readDefinitions({ A: {} }).size).toBe(1);
  expect(() => readDefinitions(null)).toThrow(DocumentError);
});

test("an empty workflow can be written, nothing can't", () => {
  expect(dumpJson(emptyWorkflow())).toBe('{"format":"graphengine","version":1,"nodes":{}}');
  expect(() => dumpJson(undefined)).toThrow(DocumentError);
});
