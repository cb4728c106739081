import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { widgetKind } from "../graph/widgetKind";
import { addPoint, heightAt, movePoint, type Point, readCurve, removePoint, STRAIGHT } from "./curve";
import { listText, readList } from "./lists";
import { fileOption, matching } from "./options";
import { complete, counted, wordBefore, wordsOf } from "./words";

const input = (type: string, more = {}) => ({ name: "x", type, required: false, default: null, ...more });

describe("widgetKind", () => {
  it.each([
    ["INT", {}, "number"],
    ["INT|FLOAT", {}, "number"],
    ["INT", { widget: { kind: "seed" } }, "seed"],
    ["FLOAT", { widget: { kind: "slider" } }, "number"],
    ["BOOLEAN", { widget: { kind: "checkbox" } }, "switch"],
    ["STRING", { widget: { kind: "textarea" } }, "prompt"],
    ["STRING", { choices: ["a"] }, "choice"],
    ["STRING", { files: "checkpoints" }, "file"],
    ["STRING", { files: "input", widget: { kind: "image" } }, "image"],
    ["STRING", { widget: { kind: "color" } }, "colour"],
    ["STRING", { widget: { kind: "of another program" } }, "text"],
    ["INT", { widget: { kind: "color" } }, "number"],
    ["[INT]", {}, "list"],
    ["[INT|STRING]", {}, "json"],
    ["INT|STRING", {}, "json"],
    ["IMAGE", {}, null],
    ["[IMAGE]", {}, null],
    ["*", {}, null],
    ["$T", {}, null],
  ])("%s %j is %s", (type, more, kind) => {
    expect(widgetKind(input(type, more))).toBe(kind);
  });
});

describe("curves", () => {
  it("are read from lists and from texts, and nothing else", () => {
    expect(
      readCurve([
        [0, 0],
        [1, 0.5],
      ]),
    ).toEqual([
      [0, 0],
      [1, 0.5],
    ]);
    expect(readCurve("[[1,1],[0,0]]")).toEqual([
      [0, 0],
      [1, 1],
    ]);
    for (const wrong of [
      "",
      "[1]",
      5,
      null,
      [[0, 0]],
      [
        [0, 0],
        [2, 0],
      ],
    ])
      expect(readCurve(wrong as never)).toBeNull();
  });
  it("go through their points and never beyond their neighbours", () => {
    const inside = fc.uniqueArray(fc.integer({ min: 1, max: 99 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(
        inside,
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 7, maxLength: 7 }),
        (xs, ys) => {
          const at = [0, ...xs.sort((one, other) => one - other).map((x) => x / 100), 1];
          const points = at.map((x, index): Point => [x, ys[index] ?? 0]);
          for (const [x, y] of points) expect(heightAt(points, x)).toBeCloseTo(y, 9);
          for (let x = 0; x <= 1; x += 0.01) {
            const right = Math.max(
              1,
              points.findIndex((point) => point[0] >= x),
            );
            const ends = [points[right - 1]?.[1] ?? 0, points[right]?.[1] ?? 0];
            expect(heightAt(points, x)).toBeGreaterThanOrEqual(Math.min(...ends) - 1e-9);
            expect(heightAt(points, x)).toBeLessThanOrEqual(Math.max(...ends) + 1e-9);
          }
        },
      ),
    );
  });
  it("keep their ends and their order", () => {
    const added = addPoint(STRAIGHT, [0.5, 0.2]);
    expect(added?.points).toEqual([
      [0, 0],
      [0.5, 0.2],
      [1, 1],
    ]);
    expect(movePoint(added?.points ?? [], 1, [2, 2])[1]).toEqual([0.995, 1]);
    expect(movePoint(STRAIGHT, 0, [0.5, 0.5])[0]).toEqual([0, 0.5]);
    expect(removePoint(STRAIGHT, 0)).toBe(STRAIGHT);
    expect(addPoint(STRAIGHT, [0, 0.5])).toBeNull();
  });
});

describe("lists", () => {
  it("are read as they are written", () => {
    const whole = input("[INT]", { minimum: 0 });
    expect(readList(whole, "1, 2 18446744073709551615").values).toEqual([1, 2, 18446744073709551615n]);
    expect(listText(whole, [1, 18446744073709551615n])).toBe("1, 18446744073709551615");
    expect(readList(whole, "1, -2").trouble).toContain("Item 2: -2 is too small.");
    expect(readList(input("[STRING]"), "one\ntwo, too").values).toEqual(["one", "two, too"]);
    expect(readList(input("[BOOLEAN]"), "true, no").trouble).toContain("neither");
    expect(readList(whole, " ").values).toEqual([]);
  });
});

describe("words", () => {
  it("complete the word that is being written, often used ones first", () => {
    const counts = counted(counted({}, "a big red star"), "red circle, red triangle; a reddish box");
    expect(complete("re", counts)).toEqual(["red", "reddish"]);
    expect(wordBefore("a big re", 8)).toEqual({ start: 6, prefix: "re" });
    expect(wordBefore("a big re", 2)).toBeNull();
    expect(wordBefore("a big red", 8)).toBeNull();
    expect(wordsOf("Ein grüner Stern, 512")).toEqual(["ein", "grüner", "stern"]);
  });
});

describe("words that models know", () => {
  const known = ["triangle", "tricky", "red", "long exposure", "embedding:Dusk_v2"];

  it("follow those that were used, in the order in which they are known, each once", () => {
    expect(complete("tr", {}, known)).toEqual(["triangle", "tricky"]);
    expect(complete("tr", { tricky: 3, trio: 1 }, known)).toEqual(["tricky", "trio", "triangle"]);
    expect(complete("triangle", {}, known)).toEqual([]);
    expect(complete("lo", {}, known)).toEqual(["long exposure"]);
  });

  it("are never more than a glance takes in", () => {
    const many = Array.from({ length: 50 }, (_, place) => `word${place}`);
    expect(complete("wo", { world: 1 }, many)).toEqual(["world", "word0", "word1", "word2", "word3", "word4"]);
  });

  it("are found by their own names where they were learned, and replace all that was written of them", () => {
    expect(complete("du", {}, known)).toEqual(["embedding:Dusk_v2"]);
    expect(wordBefore("a embedding:Du", 14)).toEqual({ start: 2, prefix: "embedding:Du" });
    expect(complete("embedding:Du", {}, known)).toEqual(["embedding:Dusk_v2"]);
  });
});

describe("options", () => {
  it("are found by each word, and those that begin so come first", () => {
    const options = ["deep red", "red", "blue"].map((value) => ({ value, label: value }));
    expect(matching(options, "red").map(({ value }) => value)).toEqual(["red", "deep red"]);
    expect(matching(options, "red de").map(({ value }) => value)).toEqual(["deep red"]);
  });
  it("name uploads as people brought them", () => {
    expect(fileOption("uploads/local/4dcbac55dc50-ae.png", "uploaded")).toMatchObject({
      label: "ae.png",
      hint: "uploaded",
    });
    expect(fileOption("sdxl/base.safetensors", "uploaded")).toMatchObject({ label: "base.safetensors", hint: "sdxl" });
  });
});
