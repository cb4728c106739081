import { describe, expect, it } from "vitest";
import { pairsOf, readValues, SweepError } from "./sweep";

describe("readValues", () => {
  it("reads numbers, lists and ranges", () => {
    expect(readValues("1, 2\n5", { type: "INT" })).toEqual([1, 2, 5]);
    expect(readValues("1..10 step 3", { type: "INT" })).toEqual([1, 4, 7, 10]);
    expect(readValues("0.1..0.3:0.1", { type: "FLOAT" })).toEqual([0.1, 0.2, 0.3]);
  });
  it("loses no digit of a seed", () => {
    expect(readValues("18446744073709551615", { type: "INT" })).toEqual([18446744073709551615n]);
  });
  it("keeps commas in texts, and reads choices by name", () => {
    expect(readValues("a cat, red\na dog", { type: "STRING" })).toEqual(["a cat, red", "a dog"]);
    expect(readValues("euler, heun", { type: "STRING", choices: ["euler", "heun"] })).toEqual(["euler", "heun"]);
  });
  it.each([
    ["x", { type: "INT" }],
    ["1.5", { type: "INT" }],
    ["9..1", { type: "INT" }],
    ["0..1000000", { type: "INT" }],
    ["other", { type: "STRING", choices: ["euler"] }],
  ])("refuses %s", (text, input) => {
    expect(() => readValues(text, input)).toThrow(SweepError);
  });
});

describe("pairsOf", () => {
  const columns = { target: "cfg", values: [1, 2] };
  it("is one row for one axis", () => {
    expect(pairsOf(columns, null)).toEqual([
      { set: [["cfg", 1]], column: 0, row: 0 },
      { set: [["cfg", 2]], column: 1, row: 0 },
    ]);
  });
  it("is each column of each row for two, a null among the values too", () => {
    const pairs = pairsOf(columns, { target: "end", values: [null, 9] });
    expect(pairs.map(({ column, row }) => [row, column])).toEqual([
      [0, 0],
      [0, 1],
      [1, 0],
      [1, 1],
    ]);
    expect(pairs[1]?.set).toEqual([
      ["cfg", 2],
      ["end", null],
    ]);
  });
});
