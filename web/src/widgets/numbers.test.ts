import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { InputDefinition } from "../graph/definitions";
import { troubleWith } from "../graph/literals";
import { dragSteps, readNumber, sliderSpan, snapped, stepOf, stepped } from "./numbers";

function input(type: string, more: Partial<InputDefinition> = {}): InputDefinition {
  return { name: "x", type, required: false, default: 0, ...more };
}

const SEED = input("INT", { minimum: 0, maximum: 2n ** 64n - 1n, widget: { kind: "seed" } });
const SIDE = input("INT", { minimum: 32, maximum: 1024, multiple_of: 8 });
const SHARE = input("FLOAT", { minimum: 0, maximum: 1 });

describe("readNumber", () => {
  it("keeps each digit of 64 bits", () => {
    expect(readNumber(SEED, "18446744073709551615").value).toBe(18446744073709551615n);
    expect(readNumber(SEED, "9007199254740993").value).toBe(9007199254740993n);
    expect(readNumber(SEED, "42").value).toBe(42);
  });
  it("says what is wrong, in words", () => {
    expect(readNumber(SEED, "18446744073709551616").trouble).toContain("too large");
    expect(readNumber(SEED, "1.5").trouble).toContain("whole number");
    expect(readNumber(SHARE, "a lot").trouble).toContain("no number");
    expect(readNumber(SHARE, "1+1").trouble).toContain("no number");
    expect(readNumber(SHARE, "-0.1").trouble).toBe("-0.1 is too small. Choose a value from 0 to 1.");
    expect(readNumber(SIDE, "100").trouble).toContain("104");
    expect(readNumber(SHARE, "").value).toBeNull();
  });
  it("takes a comma for the point, exponents, and a typographic minus", () => {
    expect(readNumber(SHARE, "0,25").value).toBe(0.25);
    expect(readNumber(input("FLOAT"), "1e-4").value).toBe(0.0001);
    expect(readNumber(input("FLOAT"), "−2").value).toBe(-2);
    expect(readNumber(input("INT"), "1e3").value).toBe(1000);
  });
});

describe("stepping", () => {
  it("stays within limits and on multiples", () => {
    fc.assert(
      fc.property(fc.integer({ min: -3000, max: 3000 }), fc.integer({ min: -500, max: 500 }), (start, steps) => {
        const value = stepped(SIDE, start, steps, stepOf(SIDE, start));
        expect(troubleWith(SIDE, value)).toBeNull();
      }),
    );
  });
  it("is exact beyond 2^53", () => {
    expect(stepped(SEED, 2n ** 64n - 3n, 1, 1)).toBe(2n ** 64n - 2n);
    expect(stepped(SEED, 2n ** 64n - 1n, 5, 1)).toBe(2n ** 64n - 1n);
    expect(stepped(SEED, 2n ** 53n, -1, 1)).toBe(2 ** 53 - 1);
  });
  it("adds decimals as people do", () => {
    expect(stepped(SHARE, 0.2, 1, 0.1)).toBe(0.3);
    expect(stepped(SHARE, 0.95, 10, 0.01)).toBe(1);
  });
  it("keeps off limits that are no values", () => {
    const open = input("FLOAT", { exclusive_minimum: 0, exclusive_maximum: 1 });
    expect(troubleWith(open, snapped(open, -4))).toBeNull();
    expect(troubleWith(open, snapped(open, 4))).toBeNull();
  });
  it("keeps to multiples where the limits are none", () => {
    const odd = input("INT", { minimum: 3, maximum: 30, multiple_of: 8 });
    expect(snapped(odd, -20)).toBe(8);
    expect(snapped(odd, 90)).toBe(24);
  });
  it("follows the size of a value without limits", () => {
    expect(stepOf(input("FLOAT", { default: 0.0001 }), 0.0001)).toBeCloseTo(0.00001, 12);
    expect(stepOf(input("FLOAT", { default: 14 }), 14)).toBe(1);
    expect(stepOf(input("FLOAT"), 0)).toBe(0.1);
  });
});

describe("sliders and drags", () => {
  it("looks like a slider where the range is small or it was asked for", () => {
    expect(sliderSpan(SHARE)).toEqual({ low: 0, high: 1 });
    expect(sliderSpan(SEED)).toBeNull();
    expect(sliderSpan(input("INT", { minimum: 1, maximum: 16384 }))).toBeNull();
    const cfg = input("FLOAT", { minimum: 0, maximum: 100, widget: { kind: "slider", hints: { to: 20 } } });
    expect(sliderSpan(cfg)).toEqual({ low: 0, high: 20 });
  });
  it("goes slowly at first, and ten times as slowly when fine", () => {
    expect(dragSteps(4, false)).toBeCloseTo(1, 1);
    expect(dragSteps(-40, true)).toBeCloseTo(-1, 1);
    expect(dragSteps(400, false)).toBeGreaterThan(300);
  });
});
