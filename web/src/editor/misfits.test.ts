import { describe, expect, it } from "vitest";
import type { SocketRef } from "./canvasStore";
import { misfitBetween, misfitsOf, type ToldMisfit } from "./misfits";

const MODEL: SocketRef = { node: "two", name: "model", side: "output" };
const TOLD: ToldMisfit = {
  node: "up/sampler",
  name: "model",
  problem: { node: "up/next", input: "positive", message: "made for another", remedy: "Take both from one." },
};
const input = (node: string, name: string): SocketRef => ({ node, name, side: "input" });

describe("what a wire wouldn't fit", () => {
  it("is said of the sockets of the graph that is shown, with the place at which it would show", () => {
    const { at } = misfitsOf(MODEL, [TOLD], "up/");
    expect([...at.keys()]).toEqual(["sampler.model"]);
    expect(at.get("sampler.model")?.reason).toBe("Doesn't fit next.positive: made for another");
    expect(at.get("sampler.model")?.remedy).toBe("Take both from one.");
  });

  it("is known between the wire's socket and another, whichever is named first", () => {
    const misfits = misfitsOf(MODEL, [TOLD], "up/");
    expect(misfitBetween(misfits, MODEL, input("sampler", "model"))).not.toBeNull();
    expect(misfitBetween(misfits, input("sampler", "model"), MODEL)).not.toBeNull();
    expect(misfitBetween(misfits, MODEL, input("other", "model"))).toBeNull();
  });

  it("is not known of another wire, nor of a socket that has the same name on the other side", () => {
    const misfits = misfitsOf(MODEL, [TOLD], "up/");
    expect(misfitBetween(misfits, { ...MODEL, node: "one" }, input("sampler", "model"))).toBeNull();
    expect(misfitBetween(misfits, MODEL, { node: "sampler", name: "model", side: "output" })).toBeNull();
    expect(misfitBetween(null, MODEL, input("sampler", "model"))).toBeNull();
  });
});
