/** The jobs of a sweep, and the inputs that can be swept. */
import * as api from "../api/routes";
import { nameOf } from "../app/Tabs";
import type { InputDefinition } from "../graph/definitions";
import { dumpJson, isLink, type Json, type WorkflowDoc } from "../graph/document";
import { shapesOf } from "../graph/resolve";
import { isScalar } from "../graph/sockets";
import { t } from "../i18n";
import { activeGraph, activeTab, fullId, useEditor } from "../stores/editorStore";
import { showJob } from "./jobs";
import { type Axis, pairsOf } from "./sweep";
import { type SweepTarget, useSweep } from "./sweepStore";

export interface Sweepable {
  target: SweepTarget;
  input: InputDefinition;
}

/** Give the inputs of the shown graph that hold a value. */
export function sweepables(): Sweepable[] {
  const state = useEditor.getState();
  const [tab, graph] = [activeTab(state), activeGraph(state)];
  if (tab === undefined || graph === null) return [];
  return [...shapesOf(graph, state.definitions, tab.history.present)].flatMap(([id, shape]) =>
    shape.inputs
      .filter((input) => isScalar(input.type) && !isLink(graph.nodes[id]?.inputs?.[input.name]))
      .map((input) => ({ target: { node: fullId(tab, id), input: input.name }, input })),
  );
}

export function placeOf({ node, input }: SweepTarget): string {
  return `${node}.${input}`;
}

/**
 * Queue one job for each value or pair of values.
 *
 * What doesn't depend on them is computed once, as workers keep it; where there are several, at most once in each, since
 * none waits for another one's result.
 */
export async function startJobs(columns: Axis<SweepTarget>, rows: Axis<SweepTarget> | null): Promise<void> {
  const tab = activeTab(useEditor.getState());
  if (tab === undefined) return;
  const document = tab.history.present;
  const begun = Date.now();
  const labels = columns.values.map(labelOf);
  const lines = (rows?.values.map(labelOf) ?? [columns.target.input]).map((label) => ({ label, cells: [] as Cell[] }));
  for (const [number, { set, column, row }] of pairsOf(columns, rows).entries()) {
    const said = set.map(([target, value]) => `${target.input} = ${labelOf(value)}`).join(", ");
    const options = {
      name: `${nameOf(tab)}: ${said}`.slice(0, 200),
      inputs: Object.fromEntries(set.map(([target, value]) => [nameIn(document, target), value])),
    };
    const { job } = await api.submitJob(document, options, `${tab.id}-${begun}-${number}`);
    showJob(job, tab.id);
    lines[row]?.cells.push({ label: rows === null ? (labels[column] ?? "") : said, job: job.id });
  }
  const axes = { columns: columns.target.input, rows: rows?.target.input ?? null };
  const title = t("sweep.title", {
    input: [columns, rows].flatMap((axis) => (axis ? [placeOf(axis.target)] : [])).join(" × "),
  });
  useSweep.getState().set({ grid: { title, axes, columns: labels, rows: lines } });
}

interface Cell {
  label: string;
  job: string;
}

/** A declared input's default goes before what is set on the node: that one is set then. */
function nameIn(document: WorkflowDoc, target: SweepTarget): string {
  const place = placeOf(target);
  return Object.entries(document.inputs ?? {}).find(([, each]) => each.to?.includes(place))?.[0] ?? place;
}

function labelOf(value: Json): string {
  return typeof value === "string" ? value : dumpJson(value);
}
