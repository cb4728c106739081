import { describe, expect, it } from "vitest";
import { layered } from "./layered";
import { type Direction, neighbourOf } from "./neighbour";

const box = (id: string, x: number, y: number) => ({ id, x, y, width: 100, height: 50 });
const link = (from: string, to: string) => ({
  end: `${to}.in`,
  from: { node: from, output: "out" },
  to: { node: to, input: "in" },
});

/**
 * a ──▶ c
 * b     d
 */
const boxes = [box("a", 0, 0), box("b", 0, 100), box("c", 200, 0), box("d", 200, 100)];

describe("neighbourOf", () => {
  it.each<[string, Direction, string | null]>([
    ["a", "right", "c"],
    ["c", "left", "a"],
    ["b", "right", "d"],
    ["a", "down", "b"],
    ["d", "up", "c"],
    ["a", "up", null],
    ["missing", "down", null],
  ])("leads from %s %s to %s", (from, direction, to) => {
    expect(neighbourOf(from, direction, boxes, [link("a", "c")])).toBe(to);
  });

  it("follows links rather than what is near", () => {
    expect(neighbourOf("a", "right", boxes, [link("a", "d")])).toBe("d");
  });

  it("follows a link that leads backwards", () => {
    expect(neighbourOf("c", "right", boxes, [link("c", "b")])).toBe("b");
  });
});

describe("layered", () => {
  it("puts nodes after those that feed them", () => {
    expect(layered(["save", "load", "blur"], [link("load", "blur"), link("blur", "save")])).toEqual([
      "load",
      "blur",
      "save",
    ]);
  });

  it("keeps the nodes of a cycle, and ignores links from nowhere", () => {
    const links = [link("a", "b"), link("b", "a"), link("gone", "c")];
    expect(layered(["a", "b", "c"], links)).toEqual(["c", "a", "b"]);
  });
});
