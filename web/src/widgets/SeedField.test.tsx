// @vitest-environment jsdom
import { cleanup, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { activeGraph, useEditor } from "../stores/editorStore";
import { inputOf, show } from "./testing";

const SEED = inputOf("INT", {
  name: "seed",
  default: 0,
  minimum: 0,
  maximum: 2n ** 64n - 1n,
  widget: { kind: "seed" },
});
const field = () => screen.getByRole<HTMLInputElement>("spinbutton", { name: "Field" });
const modes = () => activeGraph(useEditor.getState())?.ui?.["seeds"];

beforeEach(() => {
  useEditor.setState({ tabs: [], active: "" });
  useEditor.getState().open({ format: "graphengine", version: 1, nodes: { sample: { type: "KSampler" } } });
});
afterEach(cleanup);

describe("a seed field", () => {
  it("keeps all digits of 64 bits", async () => {
    const seen = show(SEED, 18446744073709551615n);
    expect(field().value).toBe("18446744073709551615");
    await userEvent.type(field(), "{ArrowDown}");
    expect(seen.value).toBe(18446744073709551614n);
    await userEvent.clear(field());
    await userEvent.type(field(), "12345678901234567890{Enter}");
    expect(seen.value).toBe(12345678901234567890n);
  });

  it("rolls a new seed within the limits", async () => {
    const seen = show(SEED, 1);
    await userEvent.click(screen.getByRole("button", { name: "Roll a new seed" }));
    expect(seen.changes).toHaveLength(1);
    expect(Number(seen.value)).toBeGreaterThanOrEqual(0);
  });

  it("sets what becomes of it after a run, by keyboard, and undoes that", async () => {
    show(SEED, 1);
    await userEvent.click(screen.getByRole("button", { name: "After each run: stays the same" }));
    await userEvent.keyboard("{ArrowDown}{Enter}");
    expect(modes()).toEqual({ "sample.seed": "random" });
    expect(screen.getByRole("button", { name: "After each run: a new random seed" })).toBe(document.activeElement);
    await userEvent.keyboard("{Enter}{ArrowUp}{Enter}");
    expect(modes()).toEqual({});
    useEditor.getState().undo();
    expect(modes()).toEqual({ "sample.seed": "random" });
  });
});
