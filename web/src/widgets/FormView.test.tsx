// @vitest-environment jsdom
import { cleanup, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readDefinitions } from "../graph/definitions";
import { activeTab, useEditor } from "../stores/editorStore";
import { FormView } from "./FormView";

const SEED = { name: "seed", type: "INT", default: 0, required: false, widget: { kind: "seed" } };
const DEFINITIONS = readDefinitions({ KSampler: { inputs: [SEED], outputs: [] } });
const shown = () => activeTab(useEditor.getState())?.history.present;

beforeEach(() => {
  useEditor.setState({ tabs: [], active: "", definitions: DEFINITIONS });
  useEditor.getState().open({
    format: "graphengine",
    version: 1,
    meta: { name: "Text to image", description: "A picture from a prompt." },
    inputs: {
      steps: { type: "INT", default: 20, min: 1, max: 100, doc: "Model evaluations." },
      seed: { type: "INT", default: 7, to: ["sample.seed"] },
    },
    nodes: { sample: { type: "KSampler" } },
  });
});
afterEach(cleanup);

describe("the form", () => {
  it("has a field for each declared input, and sets its default as one edit", async () => {
    render(<FormView />);
    expect(screen.getByRole("form", { name: "Text to image" })).toBeTruthy();
    const steps = screen.getByRole("spinbutton", { name: "Steps" });
    await userEvent.type(steps, "{ArrowUp}{ArrowUp}");
    expect(shown()?.inputs?.["steps"]?.default).toBe(22);
    useEditor.getState().undo();
    expect(shown()?.inputs?.["steps"]?.default).toBe(21);
  });

  it("keeps a seed's mode at the node's input that it leads to", async () => {
    render(<FormView />);
    await userEvent.click(screen.getByRole("button", { name: /After each run/ }));
    await userEvent.keyboard("{ArrowDown}{Enter}");
    expect(shown()?.ui?.["seeds"]).toEqual({ "sample.seed": "random" });
  });

  it("says what to do when nothing is declared", () => {
    useEditor.getState().open({ format: "graphengine", version: 1, nodes: {} });
    render(<FormView />);
    expect(screen.getByText(/no inputs of its own/)).toBeTruthy();
    expect(screen.getByRole<HTMLButtonElement>("button", { name: "Run" }).disabled).toBe(true);
  });
});
