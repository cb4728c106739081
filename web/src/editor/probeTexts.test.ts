import { expect, test } from "vitest";
import { factsOf, numberText } from "./probeTexts";

const UNKNOWN = { minimum: null, mean: null, maximum: null };
const TENSOR = { name: "", shape: [1, 4, 64, 64], dtype: "float16", device: "cuda:0", not_finite: 0, ...UNKNOWN };

test("a tensor is told by its form and its numbers", () => {
  const facts = factsOf({ ...TENSOR, minimum: -4.123456, mean: 0, maximum: 3.5 });
  expect(facts.map(([, text]) => text)).toEqual(["1 × 4 × 64 × 64", "float16", "cuda:0", "-4.123", "0", "3.5"]);
});

test("what wasn't measured is left out, and what is no number is counted", () => {
  expect(
    factsOf({ ...TENSOR, not_finite: 12 })
      .map(([, text]) => text)
      .slice(3),
  ).toEqual(["12"]);
  expect(factsOf({ ...TENSOR, shape: [] })[0]?.[1]).not.toBe("");
});

test("numbers are short", () => {
  expect([0.30000000000000004, 123456, 1e-9].map(numberText)).toEqual(["0.3", "123500", "1e-9"]);
});
