import { expect, test } from "vitest";
import {
  cardShape,
  HEADER_HEIGHT,
  layOut,
  MORE_HEIGHT,
  OUTPUT_HEIGHT,
  PADDING,
  ROW_HEIGHT,
  rowHeight,
  rowsOf,
  sizeOf,
  TEXT_HEIGHT,
} from "./layout";
import { linksOf } from "./links";
import { shapeOf, shapesOf } from "./resolve";
import { definitions, textToImage } from "./testing/world";

const document = textToImage();
const shape = shapeOf(document, "positive", definitions, document);

test("rows: outputs, then inputs; a text is higher unless it is linked or shown as a socket", () => {
  expect(rowsOf(shape, undefined)).toEqual([
    { side: "output", name: "conditioning", y: 32, height: OUTPUT_HEIGHT, socketY: 44 },
    { side: "input", name: "text", y: 56, height: TEXT_HEIGHT, socketY: 71 },
    { side: "input", name: "clip", y: 152, height: ROW_HEIGHT, socketY: 167 },
  ]);
  expect(rowsOf(shape, { sockets: ["text"] })[1]?.height).toBe(ROW_HEIGHT);
  expect(rowsOf(shape, {}, new Set(["text"]))[1]?.height).toBe(ROW_HEIGHT);
  const [text] = shape.inputs;
  if (text !== undefined) expect([rowHeight(text, true), rowHeight(text, false)]).toEqual([TEXT_HEIGHT, ROW_HEIGHT]);
});

test("a node is as high as its rows; a collapsed one as its header", () => {
  expect(sizeOf(shape)).toEqual({
    width: 280,
    height: HEADER_HEIGHT + OUTPUT_HEIGHT + TEXT_HEIGHT + ROW_HEIGHT + PADDING,
  });
  expect(sizeOf(shape, { size: [400, 1] })).toMatchObject({ width: 400 });
  expect(sizeOf(shape, { size: [1, 1] })).toMatchObject({ width: 140 });
  expect(sizeOf(shape, { collapsed: true })).toEqual({ width: 280, height: HEADER_HEIGHT });
  expect(rowsOf(shape, { collapsed: true }).every((row) => row.socketY === HEADER_HEIGHT / 2)).toBe(true);
  expect(sizeOf({ ...shape, inputs: [], outputs: [] })).toEqual({ width: 280, height: HEADER_HEIGHT + PADDING });
});

test("laid out, readers stand right of their sources and nothing overlaps", async () => {
  const nodes = [...shapesOf(document, definitions, document)].map(([id, each]) => ({ id, ...sizeOf(each) }));
  const links = linksOf(document).map(({ from, to }) => ({ from: from.node, to: to.node }));
  const corners = await layOut(nodes, [...links, { from: "nobody", to: "save" }], [100, 50]);
  const at = (id: string) => corners.get(id) ?? [Number.NaN, Number.NaN];
  for (const { from, to } of links) expect(at(to)[0]).toBeGreaterThanOrEqual(at(from)[0] + 280);
  for (const a of nodes) {
    for (const b of nodes) {
      const apart =
        a === b ||
        at(a.id)[0] + a.width <= at(b.id)[0] ||
        at(b.id)[0] + b.width <= at(a.id)[0] ||
        at(a.id)[1] + a.height <= at(b.id)[1] ||
        at(b.id)[1] + b.height <= at(a.id)[1];
      expect(apart).toBe(true);
    }
  }
  expect(Math.min(...[...corners.values()].map(([x]) => x))).toBe(100);
  expect(Math.min(...[...corners.values()].map(([, y]) => y))).toBe(50);
});

test("advanced inputs are left out until they are asked for, or in use", () => {
  const [text, clip] = shape.inputs;
  if (text === undefined || clip === undefined) throw new Error("it has two inputs");
  const rare = { ...text, name: "rare", required: false, widget: { kind: "choice", hints: { advanced: true } } };
  const whole = { ...shape, inputs: [text, rare, clip] };
  const names = (each: { inputs: readonly { name: string }[] }) => each.inputs.map(({ name }) => name);

  const card = cardShape(whole, undefined, new Set());
  expect([names(card), card.advanced]).toEqual([["text", "clip"], 1]);
  expect(sizeOf(card).height).toBe(sizeOf(shape).height + MORE_HEIGHT);

  const open = cardShape(whole, { advanced: true }, new Set());
  expect([names(open), open.advanced]).toEqual([["text", "rare", "clip"], 1]);

  const used = cardShape(whole, undefined, new Set(["rare"]));
  expect([names(used), used.advanced]).toEqual([["text", "rare", "clip"], 0]);
  expect(sizeOf(used)).toEqual(sizeOf(whole));
});

test("large graphs are laid out the same way, circles and long links included", async () => {
  const nodes = Array.from({ length: 1000 }, (_, place) => ({
    id: `n${place}`,
    width: 280,
    height: 90 + (place % 7) * 30,
  }));
  const behind = (place: number, by: number) => ({ from: `n${Math.max(0, place - by)}`, to: `n${place}` });
  const forward = nodes.slice(1).flatMap((_, place) => [behind(place + 1, 1 + (place % 3)), behind(place + 1, 40)]);
  const corners = await layOut(
    nodes,
    [...forward, { from: "n20", to: "n10" }, { from: "nobody", to: "n1" }],
    [100, 50],
  );
  const at = (id: string) => corners.get(id) ?? [Number.NaN, Number.NaN];
  for (const { from, to } of forward) expect(at(to)[0]).toBeGreaterThanOrEqual(at(from)[0] + 280);
  const [first, ...others] = nodes.toSorted((a, b) => at(a.id)[0] - at(b.id)[0] || at(a.id)[1] - at(b.id)[1]);
  let before = first as (typeof nodes)[number];
  expect(at(before.id)[0]).toBe(100);
  for (const node of others) {
    const isBelow = at(node.id)[1] >= at(before.id)[1] + before.height;
    expect(at(node.id)[0] > at(before.id)[0] || isBelow).toBe(true);
    before = node;
  }
  expect(corners.size).toBe(1000);
});
