import { describe, expect, it } from "vitest";
import type { Definitions, NodeDefinition } from "../graph/definitions";
import type { GraphDoc } from "../graph/document";
import { advanceSeeds, nextSeed } from "./seeds";

const SAMPLER = {
  id: "Sampler",
  inputs: [{ name: "seed", type: "INT", required: false, default: 0, widget: { kind: "seed" } }],
} as unknown as NodeDefinition;
const DEFINITIONS: Definitions = new Map([["Sampler", SAMPLER]]);

function graph(seed: number | undefined, mode?: string): GraphDoc {
  return {
    nodes: { s: { type: "Sampler", inputs: seed === undefined ? {} : { seed } } },
    ui: mode === undefined ? {} : { seeds: { "s.seed": mode } },
  };
}

describe("nextSeed", () => {
  it("counts exactly beyond what a double holds, and wraps at 64 bits", () => {
    expect(nextSeed("increment", 9007199254740991)).toBe(9007199254740992n);
    expect(nextSeed("increment", 18446744073709551615n)).toBe(0);
    expect(nextSeed("decrement", 0)).toBe(18446744073709551615n);
    expect(nextSeed("increment", 7)).toBe(8);
  });
});

describe("advanceSeeds", () => {
  it("leaves seeds without a mode", () => {
    const fixed = graph(3);
    expect(advanceSeeds(fixed, DEFINITIONS)).toBe(false);
    expect(fixed).toEqual(graph(3));
  });

  it("goes on from the default, and does what the mode says", () => {
    const counting = graph(undefined, "increment");
    advanceSeeds(counting, DEFINITIONS);
    expect(counting.nodes["s"]?.inputs).toEqual({ seed: 1 });
    const drawn = graph(3, "random");
    advanceSeeds(drawn, DEFINITIONS, null, () => 42);
    expect(drawn.nodes["s"]?.inputs).toEqual({ seed: 42 });
  });

  it("changes the declared input that feeds it, as that one counts", () => {
    const declared: GraphDoc = { ...graph(3), inputs: { seed: { type: "INT", default: 7, to: ["s.seed"] } } };
    advanceSeeds(declared, DEFINITIONS, "increment");
    expect(declared.inputs?.["seed"]?.default).toBe(8);
    expect(declared.nodes["s"]?.inputs).toEqual({ seed: 3 });
  });

  it("leaves a seed that comes from another node", () => {
    const linked: GraphDoc = { nodes: { s: { type: "Sampler", inputs: { seed: { $link: "n.value" } } } } };
    expect(advanceSeeds(linked, DEFINITIONS, "increment")).toBe(false);
  });
});
