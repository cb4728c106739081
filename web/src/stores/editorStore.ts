/** What is being edited: tabs, each a workflow with its history, its place among sub-graphs and its selection. */
import type { Draft } from "immer";
import { create } from "zustand";
import type { Definitions } from "../graph/definitions";
import { emptyWorkflow, type GraphDoc, type WorkflowDoc } from "../graph/document";
import * as log from "../graph/history";
import { subgraphsUsed } from "../graph/scopes";

/** A sub-graph that was entered, and the node it was entered through. */
export interface Entered {
  subgraph: string;
  node: string;
}

export interface Tab {
  id: string;
  /** Its name in the server's library; null until it was saved. */
  name: string | null;
  /** The version in the library that it stems from. */
  version: string | null;
  /** What the library holds; compared by identity with what is shown. */
  saved: WorkflowDoc;
  history: log.History<WorkflowDoc>;
  /** The sub-graphs that were entered, outermost first. */
  path: readonly Entered[];
  /** Ids of selected nodes, notes and groups. */
  selection: ReadonlySet<string>;
}

type Recipe = (graph: Draft<GraphDoc>, document: Draft<WorkflowDoc>) => void;

export interface EditorState {
  definitions: Definitions;
  tabs: readonly Tab[];
  active: string;
  setDefinitions(definitions: Definitions): void;
  open(document: WorkflowDoc, about?: { name?: string | null; version?: string | null; unsaved?: boolean }): string;
  close(id: string): void;
  activate(id: string): void;
  /** Note that the library holds this document now. */
  noteSaved(id: string, document: WorkflowDoc, name: string, version: string): void;
  /**
   * Change the graph that is shown, as one entry of the history.
   *
   * @param merge Edits with the same key follow each other as one entry, until `endGesture`.
   * @param alongside Changed along with it, but no edit by itself.
   */
  edit(label: string, recipe: Recipe, merge?: string, alongside?: Recipe): void;
  endGesture(): void;
  undo(): void;
  redo(): void;
  select(ids: Iterable<string>): void;
  enter(subgraph: string, node: string): void;
  leave(): void;
}

let opened = 0;

export const useEditor = create<EditorState>()((set, get) => {
  function change(id: string, next: (tab: Tab) => Partial<Tab>): void {
    set({ tabs: get().tabs.map((tab) => (tab.id === id ? { ...tab, ...next(tab) } : tab)) });
  }
  return {
    definitions: new Map(),
    tabs: [],
    active: "",
    setDefinitions: (definitions) => set({ definitions }),
    open(document, about = {}) {
      opened += 1;
      const tab: Tab = {
        id: `tab${opened}`,
        name: about.name ?? null,
        version: about.version ?? null,
        saved: about.unsaved ? emptyWorkflow() : document,
        history: log.startHistory(document),
        path: [],
        selection: new Set(),
      };
      set({ tabs: [...get().tabs, tab], active: tab.id });
      return tab.id;
    },
    close(id) {
      const { tabs, active } = get();
      const place = tabs.findIndex((tab) => tab.id === id);
      const left = tabs.filter((tab) => tab.id !== id);
      const next = left[Math.min(place, left.length - 1)];
      set({ tabs: left, active: active === id ? (next?.id ?? "") : active });
    },
    activate: (id) => set({ active: id }),
    noteSaved: (id, document, name, version) => change(id, () => ({ saved: document, name, version })),
    edit: (label, recipe, merge, alongside) =>
      change(get().active, (tab) => {
        const shown = (inner: Recipe) => (document: Draft<WorkflowDoc>) => {
          const graph = graphAt(document as WorkflowDoc, tab.path);
          if (graph !== null) inner(graph as Draft<GraphDoc>, document);
        };
        const also = alongside === undefined ? null : shown(alongside);
        return withPath(tab, log.edit(tab.history, label, shown(recipe), merge ?? null, also));
      }),
    endGesture: () => change(get().active, (tab) => ({ history: log.closeGesture(tab.history) })),
    undo: () => change(get().active, (tab) => withPath(tab, log.undo(tab.history))),
    redo: () => change(get().active, (tab) => withPath(tab, log.redo(tab.history))),
    select: (ids) => change(get().active, () => ({ selection: new Set(ids) })),
    enter: (subgraph, node) =>
      change(get().active, (tab) => ({ path: [...tab.path, { subgraph, node }], selection: new Set<string>() })),
    leave: () => change(get().active, (tab) => ({ path: tab.path.slice(0, -1), selection: new Set<string>() })),
  };
});

/** Give the graph that a path of sub-graphs leads to; each name is looked up there first, then further out. */
export function graphAt(document: WorkflowDoc, path: readonly Entered[]): GraphDoc | null {
  const around: GraphDoc[] = [document];
  for (const { subgraph: name } of path) {
    const inner = around.findLast((graph) => graph.subgraphs?.[name] !== undefined)?.subgraphs?.[name];
    if (inner === undefined) return null;
    around.push(inner);
  }
  return around.at(-1) ?? null;
}

export function activeTab(state: EditorState): Tab | undefined {
  return state.tabs.find((tab) => tab.id === state.active);
}

export function activeGraph(state: EditorState): GraphDoc | null {
  const tab = activeTab(state);
  return tab === undefined ? null : graphAt(tab.history.present, tab.path);
}

/** Give a node's id as jobs and plans have it: below the nodes through which its sub-graph was entered. */
export function fullId(tab: Tab, node: string): string {
  return [...tab.path.map((entered) => entered.node), node].join("/");
}

export function isUnsaved(tab: Tab): boolean {
  return tab.history.present !== tab.saved;
}

/** A change may rename the sub-graph that is shown, or take it away: then the one around it is shown. */
function withPath(tab: Tab, history: log.History<WorkflowDoc>): Pick<Tab, "history" | "path"> {
  if (graphAt(history.present, tab.path) !== null) return { history, path: tab.path };
  let path: Entered[] = [];
  for (const { subgraph, node } of tab.path) {
    const entrance = graphAt(history.present, path)?.nodes[node];
    const names = [subgraph, ...(entrance === undefined ? [] : subgraphsUsed(entrance))];
    const name = names.find((each) => graphAt(history.present, [...path, { subgraph: each, node }]) !== null);
    if (name === undefined) break;
    path = [...path, { subgraph: name, node }];
  }
  return { history, path };
}
