import { type FormEvent, useId, useMemo, useState } from "react";
import { Dialog } from "../app/Dialog";
import type { InputDefinition } from "../graph/definitions";
import type { Json } from "../graph/document";
import { t } from "../i18n";
import { SweepResults } from "./SweepResults";
import { type Axis, MOST_JOBS, readValues, SweepError } from "./sweep";
import { placeOf, type Sweepable, startJobs, sweepables } from "./sweepJobs";
import { type SweepTarget, useSweep } from "./sweepStore";
import { attempt } from "./tell";

const MOST_NAMED = 14;

/** Asks for values of an input, or of two, then shows what came of each. */
export function SweepDialog() {
  const { target, grid, set } = useSweep();
  const close = () => set({ target: null, grid: null });
  return (
    <Dialog
      className={grid === null ? "sheet" : "sheet wide"}
      label={grid?.title ?? titleOf(target)}
      hasEntries
      onClose={close}
    >
      {grid !== null ? (
        <SweepResults grid={grid} close={close} />
      ) : (
        target !== null && <Ask target={target} close={close} />
      )}
    </Dialog>
  );
}

function titleOf(target: SweepTarget | null): string {
  return target === null ? "" : t("sweep.title", { input: `${target.node} · ${target.input}` });
}

function Ask({ target, close }: { target: SweepTarget; close(): void }) {
  const choices = useMemo(sweepables, []);
  const first = choices.find((each) => placeOf(each.target) === placeOf(target));
  const [texts, setTexts] = useState({ across: "", down: "" });
  const [second, setSecond] = useState<Sweepable | null>(null);
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const across = parse(texts.across, first?.input);
  const down = second === null ? null : parse(texts.down, second.input);
  const count = countOf(across) * (down === null ? 1 : countOf(down));
  const write = (change: Partial<typeof texts>) => {
    setTexts({ ...texts, ...change });
    setProblem("");
  };
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    for (const values of [across, down]) {
      if (values instanceof SweepError) return setProblem(t("sweep.bad", { value: values.message }));
    }
    if (count === 0) return setProblem(t("sweep.none"));
    if (count > MOST_JOBS) return setProblem(t("sweep.tooMany", { count: MOST_JOBS }));
    const rows: Axis<SweepTarget> | null = second && { target: second.target, values: down as Json[] };
    setBusy(true);
    await attempt(() => startJobs({ target, values: across as Json[] }, rows));
    setBusy(false);
  };
  const others = choices.filter((each) => placeOf(each.target) !== placeOf(target));
  return (
    <form onSubmit={submit}>
      <h2>{titleOf(target)}</h2>
      <Values
        input={first?.input}
        text={texts.across}
        wrong={problem !== ""}
        write={(text) => write({ across: text })}
      />
      <label>
        {t("sweep.second")}
        <select
          className="field"
          value={second === null ? "" : placeOf(second.target)}
          onChange={(event) => {
            setSecond(others.find((each) => placeOf(each.target) === event.target.value) ?? null);
            write({ down: "" });
          }}
        >
          <option value="">{t("sweep.noSecond")}</option>
          {others.map((each) => (
            <option key={placeOf(each.target)} value={placeOf(each.target)}>
              {`${each.target.node} · ${each.target.input}`}
            </option>
          ))}
        </select>
      </label>
      {second !== null && (
        <Values input={second.input} text={texts.down} wrong={problem !== ""} write={(text) => write({ down: text })} />
      )}
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

interface ValuesProps {
  input: InputDefinition | undefined;
  text: string;
  wrong: boolean;
  write(text: string): void;
}

function Values({ input, text, wrong, write }: ValuesProps) {
  const hint = useId();
  return (
    <label>
      {t("sweep.valuesOf", { input: input?.name ?? "" })}
      <small id={hint}>{input?.choices ? listed(input.choices) : t("sweep.values")}</small>
      <textarea
        className="field"
        rows={4}
        value={text}
        aria-invalid={wrong}
        aria-describedby={`${hint} sweep-problem`}
        onChange={(event) => write(event.target.value)}
      />
    </label>
  );
}

/** Name some of the choices; the node's own widget lists them all. */
function listed(choices: readonly Json[]): string {
  const names = choices.slice(0, MOST_NAMED).map(String);
  return [...names, ...(choices.length > MOST_NAMED ? ["…"] : [])].join(", ");
}

function countOf(values: Json[] | SweepError): number {
  return values instanceof SweepError ? 0 : values.length;
}

function parse(text: string, input: InputDefinition | undefined): Json[] | SweepError {
  try {
    return readValues(text, input ?? { type: "STRING" });
  } catch (error) {
    if (error instanceof SweepError) return error;
    throw error;
  }
}
