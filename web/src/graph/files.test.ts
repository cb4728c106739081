import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DocumentError, dumpJson, type Json, parseJson, type WorkflowDoc } from "./document";
import { dumpWorkflow, readDropped, readWorkflow, workflowInPng } from "./files";
import { textToImage } from "./testing/world";

const shipped = import.meta.glob("../../../workflows/*.json", { query: "?raw", import: "default", eager: true });

test.each(Object.entries(shipped as Record<string, string>))("%s is written as the server writes it", (_, text) => {
  // JavaScript has one kind of number: 1.0 is written as 1
  expect(dumpWorkflow(readWorkflow(text))).toBe(text.replace(/(\d)\.0\b/g, "$1"));
});

test("fields at their defaults are left out", () => {
  const document: WorkflowDoc = {
    format: "graphengine",
    version: 1,
    $schema: "x",
    meta: {},
    inputs: {
      a: { type: "INT", doc: "", to: [], min: 1, max: 2, default: 1 },
      b: { type: "INT", doc: "B", to: ["x.y"] },
    },
    outputs: { c: { from: "x.y", doc: "" }, d: { from: "x.y", doc: "D" } },
    nodes: { x: { type: "X", inputs: {}, mode: "normal" }, y: { type: "Y", title: "T", mode: "muted" } },
    subgraphs: { s: { nodes: {}, outputs: {} } },
    lock: {},
    ui: {},
    "x-mine": {},
  };
  expect(parseJson(dumpWorkflow(document))).toEqual({
    $schema: "x",
    format: "graphengine",
    version: 1,
    inputs: { a: { type: "INT", min: 1, max: 2, default: 1 }, b: { type: "INT", doc: "B", to: ["x.y"] } },
    outputs: { c: { from: "x.y" }, d: { from: "x.y", doc: "D" } },
    nodes: { x: { type: "X", type_version: 1 }, y: { type: "Y", type_version: 1, title: "T", mode: "muted" } },
    subgraphs: { s: { nodes: {} } },
    "x-mine": {},
  });
});

test("names are sorted as Python sorts them", () => {
  const meta = { "\u{1f600}": 1, "\uffee": 2, ab: 3, a: 4 };
  const text = dumpWorkflow({ format: "graphengine", version: 1, meta, nodes: {} });
  expect(text.match(/": \d,?$/gm)).toBeTruthy();
  expect(text.indexOf("\uffee")).toBeLessThan(text.indexOf("\u{1f600}"));
  expect(text.indexOf('"a"')).toBeLessThan(text.indexOf('"ab"'));
});

const json: fc.Arbitrary<Json> = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constant(null),
    fc.boolean(),
    fc.string({ unit: "grapheme" }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.integer(),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
    fc.constant(18446744073709551615n),
    fc.array(tie("value")),
    fc.dictionary(
      fc.string().filter((name) => name !== "__proto__"),
      tie("value"),
      { noNullPrototype: true },
    ),
  ),
})).value;

test("what is written is read back, to the last digit", () => {
  fc.assert(
    fc.property(json, (value) => {
      expect(parseJson(dumpJson(value))).toEqual(value);
    }),
  );
  fc.assert(
    fc.property(fc.dictionary(fc.stringMatching(/^[a-z]+$/), json, { noNullPrototype: true }), (inputs) => {
      const nodes = { n: { type: "X", type_version: 1, ...(Object.keys(inputs).length > 0 ? { inputs } : {}) } };
      const document: WorkflowDoc = { format: "graphengine", version: 1, nodes };
      expect(readWorkflow(dumpWorkflow(document))).toEqual(document);
    }),
  );
});

test("small numbers are written as Python writes them", () => {
  expect([1e-5, 1.5e-7, 0.0001, 1e17, -0].map((value) => dumpJson(value))).toEqual([
    "1e-05",
    "1.5e-07",
    "0.0001",
    "1e+17",
    "-0.0",
  ]);
});

describe("other programs' files are named", () => {
  test.each([
    ["", "empty"],
    ["{", "not valid JSON"],
    ["dear diary", "neither a workflow nor a picture"],
    ["[1]", "no workflow"],
    ['{"nodes": [], "links": []}', "ComfyUI workflow"],
    ['{"3": {"class_type": "KSampler", "inputs": {}}}', "ComfyUI prompt"],
    ['{"prompt": {"3": {"class_type": "KSampler"}}}', "ComfyUI prompt"],
    ['{"nodes": [], "edges": []}', "InvokeAI"],
    ['{"_class_name": "UNet2DModel"}', "diffusers"],
    ['{"format": "graphengine-selection"}', "paste it"],
    ["{}", "no graphengine workflow"],
    ['{"format": "graphengine", "version": 2, "nodes": {}}', "Upgrade"],
    ['{"format": "graphengine", "nodes": {}}', "must be 1"],
    ['{"format": "graphengine", "version": 1, "nodes": []}', "nodes must be an object"],
    ['{"format": "graphengine", "version": 1, "nodes": {"a": {}}}', "nodes.a"],
    ['{"format": "graphengine", "version": 1, "nodes": {"a": {"type": "X", "inputs": 1}}}', "nodes.a.inputs"],
    ['{"format": "graphengine", "version": 1, "inputs": {"a": {"type": "X", "to": 1}}}', "inputs.a"],
    ['{"format": "graphengine", "version": 1, "outputs": {"a": {}}}', "outputs.a"],
    ['{"format": "graphengine", "version": 1, "subgraphs": {"s": {"nodes": {"a.b": {}}}}}', "a.b"],
    ['{"format": "graphengine", "version": 1, "subgraphs": {"s": 1}}', "subgraphs.s"],
  ])("%s", (text, part) => {
    expect(() => readWorkflow(text)).toThrow(DocumentError);
    expect(() => readWorkflow(text)).toThrow(part);
  });
});

/** A PNG of chunks; nobody here looks at checksums. */
function png(...chunks: [type: string, data: Uint8Array][]): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10)];
  for (const [type, data] of chunks) {
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, data.length);
    parts.push(length, new TextEncoder().encode(type), data, new Uint8Array(4));
  }
  return join(...parts);
}

function join(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

const bytes = (text: string) => new TextEncoder().encode(text);

async function deflate(data: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([join(data)]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

describe("pictures", () => {
  const text = dumpWorkflow({ ...textToImage(), meta: { name: "Grüße 🎨" } });
  test("texts of all three kinds are read", async () => {
    const packed = await deflate(bytes(text));
    const head = bytes("graphengine\0");
    const other: [string, Uint8Array] = ["tEXt", bytes("Software\0x")];
    const broken: [string, Uint8Array] = ["tEXt", bytes("no end")];
    expect(await workflowInPng(png(other, broken, ["iTXt", join(head, bytes("\0\0\0\0"), bytes(text))]))).toBe(text);
    expect(await workflowInPng(png(other, ["iTXt", join(head, bytes("\x01\0\0\0"), packed)]))).toBe(text);
    expect(await workflowInPng(png(["tEXt", join(head, bytes("plain"))]))).toBe("plain");
    expect(await workflowInPng(png(["zTXt", join(head, bytes("\0"), await deflate(bytes("plain")))]))).toBe("plain");
  });
  test("what can't be read is no workflow", async () => {
    const head = bytes("graphengine\0");
    expect(await workflowInPng(bytes("GIF89a"))).toBeNull();
    expect(await workflowInPng(png(["IDAT", bytes("x")]))).toBeNull();
    expect(await workflowInPng(png(["zTXt", join(head, bytes("\0garbage"))]))).toBeNull();
    expect(await workflowInPng(png(["iTXt", join(head, bytes("\x01\0x"))]))).toBeNull();
    expect(await workflowInPng(png(["iTXt", join(head, bytes("\x01\0\0\0garbage"))]))).toBeNull();
    expect(await workflowInPng(png(["tEXt", head]).slice(0, -6))).toBeNull();
  });
  test("what was dropped is told apart", async () => {
    const whole = png(["iTXt", join(bytes("graphengine\0\0\0\0\0"), bytes(text))]);
    expect(await readDropped(new Blob([whole]))).toEqual({ kind: "workflow", workflow: readWorkflow(text) });
    expect(await readDropped(new Blob([png()]))).toEqual({ kind: "picture" });
    expect(await readDropped(new Blob([Uint8Array.of(0xff, 0xd8, 0xff, 0xe0)]))).toEqual({ kind: "picture" });
    expect(await readDropped(new Blob([`\ufeff${text}`]))).toMatchObject({ kind: "workflow" });
    await expect(readDropped(new Blob([Uint8Array.of(0, 255, 254)]))).rejects.toThrow("neither a workflow");
  });
});
