/** What changed between two workflows, in words. */
import { t } from "../i18n";
import { type GraphDoc, isLink, type Json, type NodeDoc } from "./document";
import { shown } from "./literals";
import { subgraphNamed } from "./scopes";
import { isEqual } from "./values";

/** One thing that differs. */
export interface Change {
  kind: "added" | "removed" | "changed" | "linked" | "mode" | "declared" | "layout";
  /** The node, below the sub-graphs that it lies in (`hires/sampler`); null for what is no node's. */
  node: string | null;
  input?: string;
  text: string;
}

/** Give all that differs, nodes first; where things lie is one change at most. */
export function diffWorkflows(before: GraphDoc, after: GraphDoc): Change[] {
  const changes = diffGraphs(before, after, "");
  return isEqual(layout(before), layout(after))
    ? changes
    : [...changes, { kind: "layout", node: null, text: t("graph.layoutChanged") }];
}

function diffGraphs(before: GraphDoc, after: GraphDoc, place: string): Change[] {
  const changes: Change[] = [];
  for (const id of names(before.nodes, after.nodes)) {
    const [old, now] = [before.nodes[id], after.nodes[id]];
    const node = place + id;
    if (old !== undefined && now !== undefined && old.type === now.type) changes.push(...diffNodes(node, old, now));
    else {
      if (old !== undefined)
        changes.push({ kind: "removed", node, text: t("graph.removed", { node, kind: old.type }) });
      if (now !== undefined) changes.push({ kind: "added", node, text: t("graph.added", { node, kind: now.type }) });
    }
  }
  changes.push(...diffDeclared(before, after, place));
  for (const name of names(before.subgraphs, after.subgraphs)) {
    const [old, now] = [before.subgraphs?.[name], after.subgraphs?.[name]];
    const inner = { subgraph: place + name };
    if (old !== undefined && now !== undefined) changes.push(...diffGraphs(old, now, `${place}${name}/`));
    else if (old !== undefined) changes.push({ kind: "removed", node: null, text: t("graph.subgraphRemoved", inner) });
    else changes.push({ kind: "added", node: null, text: t("graph.subgraphAdded", inner) });
  }
  return changes;
}

function diffNodes(node: string, before: NodeDoc, after: NodeDoc): Change[] {
  const changes: Change[] = [];
  for (const input of names(before.inputs, after.inputs)) {
    const [old, now] = [before.inputs?.[input], after.inputs?.[input]];
    if (isEqual(old, now)) continue;
    const kind = isLink(old) || isLink(now) ? "linked" : "changed";
    const values = { place: `${node}.${input}`, before: inWords(old), after: inWords(now) };
    changes.push({ kind, node, input, text: t("graph.changed", values) });
  }
  const [old, now] = [before.mode ?? "normal", after.mode ?? "normal"];
  if (old !== now) changes.push({ kind: "mode", node, text: t("graph.modeChanged", { node, mode: now }) });
  if (before.title !== after.title) {
    const values = { place: node, before: inWords(before.title), after: inWords(after.title) };
    changes.push({ kind: "changed", node, text: t("graph.titleChanged", values) });
  }
  return changes;
}

function diffDeclared(before: GraphDoc, after: GraphDoc, place: string): Change[] {
  const changes: Change[] = [];
  const tell = (text: string) => changes.push({ kind: "declared", node: null, text });
  for (const name of names(before.inputs, after.inputs)) {
    const [old, now] = [before.inputs?.[name], after.inputs?.[name]];
    const input = place + name;
    if (old === undefined) tell(t("graph.inputDeclared", { input }));
    else if (now === undefined) tell(t("graph.inputUndeclared", { input }));
    else if (!isEqual(old.default ?? null, now.default ?? null)) {
      tell(t("graph.changed", { place: input, before: inWords(old.default), after: inWords(now.default) }));
    } else if (!isEqual(old, now)) tell(t("graph.inputChanged", { input }));
  }
  for (const name of names(before.outputs, after.outputs)) {
    const [old, now] = [before.outputs?.[name]?.from, after.outputs?.[name]?.from];
    if (old === now) continue;
    tell(
      t("graph.outputChanged", {
        output: place + name,
        before: old ?? t("graph.nothing"),
        after: now ?? t("graph.nothing"),
      }),
    );
  }
  return changes;
}

function names(before: object | undefined, after: object | undefined): string[] {
  return [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
}

function inWords(value: Json | undefined): string {
  if (value === undefined || value === null) return t("graph.nothing");
  if (isLink(value)) return value.$link;
  return subgraphNamed(value) ?? shown(value);
}

/** Where the view stands is nobody's change. */
function layout(graph: GraphDoc): unknown {
  const { view: _, ...ui } = graph.ui ?? {};
  return [ui, Object.entries(graph.subgraphs ?? {}).map(([name, inner]) => [name, layout(inner)])];
}
