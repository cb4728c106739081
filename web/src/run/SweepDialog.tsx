import { type FormEvent, useEffect, useRef, useState } from "react";
import * as api from "../api/routes";
import { nameOf } from "../app/Tabs";
import type { InputDefinition } from "../graph/definitions";
import { dumpJson, type Json } from "../graph/document";
import { t } from "../i18n";
import { activeGraph, activeTab, useEditor } from "../stores/editorStore";
import { showJob } from "./jobs";
import { SweepResults } from "./SweepResults";
import { MOST_JOBS, readValues, SweepError } from "./sweep";
import { type SweepTarget, useSweep } from "./sweepStore";
import { attempt } from "./tell";

/** Asks for an input's values, then shows what came of each. */
export function SweepDialog() {
  const { target, grid, set } = useSweep();
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const close = () => set({ target: null, grid: null });
  return (
    <dialog
      ref={dialog}
      className={grid === null ? "sheet" : "sheet wide"}
      aria-labelledby="sweep-title"
      onClose={close}
    >
      {grid !== null ? (
        <SweepResults grid={grid} close={close} />
      ) : (
        target !== null && <Ask target={target} close={close} />
      )}
    </dialog>
  );
}

function Ask({ target, close }: { target: SweepTarget; close(): void }) {
  const input = inputOf(target);
  const [text, setText] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const values = parse(text, input);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (values instanceof SweepError) return setProblem(t("sweep.bad", { value: values.message }));
    if (values.length === 0) return setProblem(t("sweep.none"));
    if (values.length > MOST_JOBS) return setProblem(t("sweep.tooMany", { count: MOST_JOBS }));
    setBusy(true);
    await attempt(() => start(target, values));
    setBusy(false);
  };
  const count = values instanceof SweepError ? 0 : values.length;
  return (
    <form onSubmit={submit}>
      <h2 id="sweep-title">{t("sweep.title", { input: `${target.node} · ${target.input}` })}</h2>
      <label>
        {input?.choices ? input.choices.join(", ") : t("sweep.values")}
        <textarea
          className="field"
          rows={6}
          value={text}
          aria-invalid={problem !== ""}
          aria-describedby="sweep-problem"
          onChange={(event) => {
            setText(event.target.value);
            setProblem("");
          }}
        />
      </label>
      <p id="sweep-problem" className="bad" role="alert">
        {problem}
      </p>
      <div className="buttons">
        <button type="button" className="secondary" onClick={close}>
          {t("data.cancel")}
        </button>
        <button type="submit" className="primary" disabled={busy}>
          {t("sweep.run", { count })}
        </button>
      </div>
    </form>
  );
}

function inputOf(target: SweepTarget): InputDefinition | undefined {
  const state = useEditor.getState();
  const node = activeGraph(state)?.nodes[target.node.split("/").at(-1) ?? ""];
  return state.definitions.get(node?.type ?? "")?.inputs.find((each) => each.name === target.input);
}

function parse(text: string, input: InputDefinition | undefined): Json[] | SweepError {
  try {
    return readValues(text, input ?? { type: "STRING" });
  } catch (error) {
    if (error instanceof SweepError) return error;
    throw error;
  }
}

/** Queue one job for each value; what doesn't depend on it is computed once, as the server keeps it. */
async function start(target: SweepTarget, values: readonly Json[]): Promise<void> {
  const tab = activeTab(useEditor.getState());
  if (tab === undefined) return;
  const document = tab.history.present;
  const place = `${target.node}.${target.input}`;
  // a declared input's default goes before what is set on the node
  const declared = Object.entries(document.inputs ?? {}).find(([, each]) => each.to?.includes(place))?.[0];
  const cells = [];
  for (const [number, value] of values.entries()) {
    const label = typeof value === "string" ? value : dumpJson(value);
    const options = {
      name: `${nameOf(tab)}: ${target.input} = ${label}`.slice(0, 200),
      inputs: { [declared ?? place]: value },
    };
    const { job } = await api.submitJob(document, options, `${tab.id}-${Date.now()}-${number}`);
    showJob(job, tab.id);
    cells.push({ label, job: job.id });
  }
  const title = t("sweep.title", { input: place });
  useSweep
    .getState()
    .set({ grid: { title, columns: cells.map((cell) => cell.label), rows: [{ label: target.input, cells }] } });
}
