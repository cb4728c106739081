/** Definitions as a server gave them once, and small graphs, for tests. */
import { enablePatches, produce } from "immer";
import { type Definitions, readDefinitions } from "../definitions";
import { type GraphDoc, type Json, type NodeDoc, parseJson, type WorkflowDoc } from "../document";
import text from "./definitions.json?raw";

enablePatches();

export const definitions: Definitions = readDefinitions(parseJson(text));

export function workflow(nodes: { [id: string]: NodeDoc }, more: Partial<WorkflowDoc> = {}): WorkflowDoc {
  return { format: "graphengine", version: 1, nodes, ...more };
}

export function node(type: string, inputs: { [name: string]: Json } = {}): NodeDoc {
  return { type, type_version: 1, inputs };
}

export function link(reference: string): Json {
  return { $link: reference };
}

/** Text to image: checkpoint → positive, negative, latent → sampler → decode → save. */
export function textToImage(): WorkflowDoc {
  const nodes = {
    checkpoint: node("LoadCheckpoint", { ckpt_name: "embedded" }),
    positive: node("CLIPEncode", { text: "a red circle", clip: link("checkpoint.clip") }),
    negative: node("CLIPEncode", { text: "", clip: link("checkpoint.clip") }),
    latent: node("EmptyLatent", { width: 64, height: 64, model: link("checkpoint.model") }),
    sampler: node("KSampler", {
      model: link("checkpoint.model"),
      positive: link("positive.conditioning"),
      negative: link("negative.conditioning"),
      latent_image: link("latent.latent"),
      seed: 18446744073709551615n,
    }),
    decode: node("VAEDecode", { samples: link("sampler.latent"), vae: link("checkpoint.vae") }),
    save: node("SaveImage", { images: link("decode.image") }),
  };
  const looks = Object.keys(nodes).map((id, place) => [id, { pos: [place * 320, 40] as [number, number] }]);
  return workflow(nodes, { ui: { nodes: Object.fromEntries(looks) } });
}

/** Change a graph as the editor does: on a draft. */
export function change<T extends GraphDoc>(graph: T, recipe: (draft: T) => void): T {
  return produce(graph, (draft) => {
    recipe(draft as T);
  });
}
