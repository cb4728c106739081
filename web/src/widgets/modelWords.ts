/** Words that the models of a graph know, asked for once for each set of models. */
import { create } from "zustand";
import { getWords } from "../api/routes";
import { modelsBefore } from "../graph/models";
import { activeGraph, activeTab, useEditor } from "../stores/editorStore";

interface ModelWords {
  words: Readonly<Record<string, readonly string[]>>;
  need(models: readonly string[]): void;
}

export const NO_WORDS: readonly string[] = [];

export const useModelWords = create<ModelWords>()((set, get) => {
  const asking = new Set<string>();
  return {
    words: {},
    need(models) {
      const key = keyOf(models);
      if (get().words[key] !== undefined || asking.has(key)) return;
      asking.add(key);
      getWords(models)
        .then(({ words }) => set({ words: { ...get().words, [key]: words } }))
        .catch(() => {}) // without a server, those that were used before are offered all the same
        .finally(() => asking.delete(key));
    },
  };
});

/** Give the models before a node (by its full id) of the graph that is shown. */
export function modelsOf(node: string): string[] {
  const state = useEditor.getState();
  const [tab, graph] = [activeTab(state), activeGraph(state)];
  if (tab === undefined || graph === null) return [];
  return modelsBefore(graph, node.slice(node.lastIndexOf("/") + 1), state.definitions, tab.history.present);
}

/** By what `words` has those of some models. */
export function keyOf(models: readonly string[]): string {
  return models.join("\n");
}
