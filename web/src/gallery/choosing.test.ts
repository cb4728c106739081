import { expect, it } from "vitest";
import { afterPress, type Choice } from "./choosing";

const NAMES = ["a", "b", "c", "d", "e"];
const NOTHING: Choice = { chosen: new Set(), anchor: null };

it("chooses one after the other, and takes them back", () => {
  const two = afterPress(afterPress(NOTHING, NAMES, 3, "open"), NAMES, 1, "toggle");
  expect([...two.chosen]).toEqual(["d", "b"]);
  expect([...afterPress(two, NAMES, 3, "open").chosen]).toEqual(["b"]);
});

it("chooses a range in both directions, from the last one that was pressed alone", () => {
  const one = afterPress(NOTHING, NAMES, 2, "open");
  const back = afterPress(one, NAMES, 0, "range");
  expect([...back.chosen].sort()).toEqual(["a", "b", "c"]);
  expect([...afterPress(back, NAMES, 3, "range").chosen].sort()).toEqual(["a", "b", "c", "d"]);
});

it("begins a range where it is pressed if nothing was pressed before, or that is gone", () => {
  expect([...afterPress(NOTHING, NAMES, 4, "range").chosen]).toEqual(["e"]);
  expect([...afterPress({ chosen: new Set(), anchor: "gone" }, NAMES, 1, "range").chosen]).toEqual(["b"]);
});
