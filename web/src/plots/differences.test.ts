import { expect, it } from "vitest";
import type { Json, WorkflowDoc } from "../graph/document";
import { differences } from "./differences";

function workflow(rate: number, steps: number, more: Record<string, Json> = {}): WorkflowDoc {
  return {
    format: "graphengine",
    version: 1,
    nodes: {
      recipe: { type: "TrainRecipe", inputs: { learning_rate: rate, batch_size: 4, ...more } },
      train: { type: "TrainLoop", inputs: { recipe: { $link: "recipe.recipe" }, steps, watch: { $subgraph: "look" } } },
      picture: { type: "KSampler", inputs: { model: { $link: "train.model" }, seed: steps } },
    },
    subgraphs: { look: { nodes: { sample: { type: "KSampler", inputs: { seed: rate } } } } },
  } as unknown as WorkflowDoc;
}

const trained = (...given: Parameters<typeof workflow>) => ({ workflow: workflow(...given), node: "train" });

it("tells the inputs of a training and of what it depends on that aren't alike, its own first", () => {
  const found = differences([trained(0.1, 10), trained(0.1, 20, { ema_decay: 0.9 })]);
  expect(found).toEqual([
    { name: "train.steps", values: ["10", "20"] },
    { name: "recipe.ema_decay", values: [null, "0.9"] },
  ]);
});

it("sees that a sub-graph is another one", () => {
  const [body, rate] = differences([trained(0.1, 10), trained(0.2, 10)]);
  expect(body?.name).toBe("train.watch");
  expect(body?.values[0]).toMatch(/^look #/);
  expect(rate).toEqual({ name: "recipe.learning_rate", values: ["0.1", "0.2"] });
});

it("finds nothing where nothing differs, or where a training is by itself", () => {
  expect(differences([trained(0.1, 10), trained(0.1, 10)])).toEqual([]);
  expect(differences([trained(0.1, 10)])).toEqual([]);
  expect(differences([{ workflow: workflow(0.1, 10), node: "gone" }])).toEqual([]);
});
