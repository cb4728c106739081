import { describe, expect, test } from "vitest";
import { accepts, bind, connection, isScalar, itemType, listOf, members, withArticle } from "./sockets";

describe("accepts", () => {
  test.each([
    ["IMAGE", "IMAGE", true],
    ["IMAGE", "MASK", false],
    ["FLOAT", "INT", true],
    ["INT", "FLOAT", false],
    ["*", "MODEL", true],
    ["MODEL", "*", true],
    ["IMAGE|MASK", "MASK", true],
    ["IMAGE|MASK", "IMAGE|MASK", true],
    ["IMAGE", "IMAGE|MASK", false],
    ["FLOAT|STRING", "INT", true],
    ["[IMAGE]", "[IMAGE]", true],
    ["[FLOAT]", "[INT]", true],
    ["[IMAGE]", "IMAGE", false],
    ["[IMAGE|MASK]", "[MASK]", true],
  ])("an input %s and an output %s: %s", (input, output, expected) => {
    expect(accepts(input, output)).toBe(expected);
  });
});

describe("connection", () => {
  test("a list that meets an input for one value maps the node over it", () => {
    expect(connection("IMAGE", "[IMAGE]")).toEqual({ ok: true, mapped: true });
    expect(connection("FLOAT", "[INT]")).toEqual({ ok: true, mapped: true });
  });
  test("a lazy input is not mapped over", () => {
    expect(connection("IMAGE", "[IMAGE]", true).ok).toBe(false);
  });
  test("one value that meets a list input becomes a list of one", () => {
    expect(connection("[IMAGE]", "IMAGE")).toEqual({ ok: true, wrapped: true });
    expect(connection("[IMAGE]", "[IMAGE]")).toEqual({ ok: true });
  });
  test("variables fit anything", () => {
    expect(connection("$T", "MODEL")).toEqual({ ok: true });
    expect(connection("[$T]", "[INT]")).toEqual({ ok: true });
  });
  test("what doesn't fit is said in words", () => {
    expect(connection("MASK", "IMAGE")).toEqual({ ok: false, reason: "It gives an IMAGE; this takes a MASK." });
    expect(connection("[MASK|IMAGE]", "MODEL")).toEqual({
      ok: false,
      reason: "It gives a MODEL; this takes a list of MASK or IMAGE.",
    });
  });
});

test("types are taken apart and put together", () => {
  expect(members("A|B")).toEqual(["A", "B"]);
  expect(members("[A|B]")).toEqual(["[A|B]"]);
  expect(itemType("[A]")).toBe("A");
  expect(listOf("[A]")).toBe("[A]");
  expect(isScalar("[INT]")).toBe(true);
  expect(isScalar("FLOAT|MODEL")).toBe(true);
  expect(isScalar("MODEL")).toBe(false);
  expect(bind("[$T]", new Map([["$T", "IMAGE"]]))).toBe("[IMAGE]");
  expect(bind("[$T]", new Map([["$T", "[IMAGE]"]]))).toBe("[IMAGE]");
  expect(bind("$T", new Map())).toBe("*");
  expect(withArticle("[$T]")).toBe("a list");
  expect(withArticle("*")).toBe("anything");
});
