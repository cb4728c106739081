// @vitest-environment jsdom
import { cleanup, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { useFileNames } from "./fileNames";
import { inputOf, show } from "./testing";

const SAMPLER = inputOf("STRING", { default: "euler", choices: ["euler", "euler_ancestral", "heun", "ddim", "dpm_2"] });
const MODEL = inputOf("STRING", { default: null, required: true, files: "checkpoints" });
const field = () => screen.getByRole<HTMLInputElement>("combobox", { name: "Field" });
const options = () => screen.getAllByRole("option").map((each) => each.textContent);

let names: string[];
beforeEach(() => {
  names = ["embedded", "photo/real.safetensors"];
  vi.stubGlobal("fetch", async () => new Response(JSON.stringify({ kind: "checkpoints", names })));
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
  useFileNames.setState({ names: {}, troubles: {} });
});

describe("a combo", () => {
  it("filters by typing and takes the first at Enter", async () => {
    const seen = show(SAMPLER, "euler");
    await userEvent.click(field());
    expect(options()).toHaveLength(5);
    expect(field().getAttribute("aria-expanded")).toBe("true");
    await userEvent.keyboard("d");
    expect(options()).toEqual(["ddim", "dpm_2"]);
    const active = document.getElementById(field().getAttribute("aria-activedescendant") ?? "");
    expect(active?.textContent).toBe("ddim");
    await userEvent.keyboard("{ArrowDown}{Enter}");
    expect(seen.changes).toEqual([{ value: "dpm_2", gesture: false }]);
    expect(field().getAttribute("aria-expanded")).toBe("false");
  });

  it("changes nothing at Escape or when it is left", async () => {
    const seen = show(SAMPLER, "euler");
    await userEvent.click(field());
    await userEvent.keyboard("heu{Escape}");
    expect(field().value).toBe("euler");
    await userEvent.keyboard("heu");
    await userEvent.tab();
    expect(field().value).toBe("euler");
    expect(seen.changes).toEqual([]);
  });

  it("says so when nothing fits", async () => {
    show(SAMPLER, "euler");
    await userEvent.click(field());
    await userEvent.keyboard("xyz");
    expect(screen.getByRole("status").textContent).toBe("Nothing fits “xyz”.");
  });

  it("is operated by keys alone, round its ends", async () => {
    const seen = show(SAMPLER, "euler");
    await userEvent.tab();
    await userEvent.keyboard("{ArrowDown}{ArrowUp}{Enter}");
    expect(seen.value).toBe("dpm_2");
  });

  it("keeps a value that is no choice, and says so", () => {
    const seen = show(SAMPLER, "eulr");
    expect(field().value).toBe("eulr");
    expect(field().getAttribute("aria-invalid")).toBe("true");
    expect(screen.getByText(/^"eulr" is not one of its choices\. Choose one of: euler,/)).toBeTruthy();
    expect(seen.changes).toEqual([]);
  });
});

describe("a file field", () => {
  it("asks for the names again each time it is opened", async () => {
    const seen = show(MODEL, "embedded");
    await userEvent.click(field());
    await waitFor(() => expect(options()).toEqual(["embedded", "real.safetensorsphoto"]));
    await userEvent.keyboard("{Escape}");
    names = ["embedded", "new.safetensors"];
    await userEvent.keyboard("{ArrowDown}");
    await waitFor(() => expect(options()).toContain("new.safetensors"));
    await userEvent.keyboard("new{Enter}");
    expect(seen.value).toBe("new.safetensors");
  });

  it("calls a file missing that isn't on the server", async () => {
    show(MODEL, "old.safetensors");
    await screen.findByText(/old.safetensors isn’t on the server/);
    expect(field().value).toBe("old.safetensors");
  });

  it("takes a name below a folder as it is typed, for lists don't go there, and calls it missing never", async () => {
    const seen = show(MODEL, "embedded");
    await userEvent.click(field());
    await userEvent.keyboard("sdxl/base.safetensors{Enter}");
    expect(seen.value).toBe("sdxl/base.safetensors");
    await waitFor(() => expect(useFileNames.getState().names["checkpoints"]).toBeDefined());
    expect(field().getAttribute("aria-invalid")).toBe("false");
  });

  it("tells the server's own words when names can't be had", async () => {
    vi.stubGlobal("fetch", async () => new Response(JSON.stringify({ detail: "no such kind." }), { status: 404 }));
    show(MODEL, null);
    await userEvent.click(field());
    await waitFor(() => expect(screen.getByRole("status").textContent).toBe("no such kind."));
  });
});
