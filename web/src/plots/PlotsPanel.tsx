import { useEffect, useMemo, useState } from "react";
import type { JobEvent } from "../api/following";
import * as api from "../api/routes";
import { t } from "../i18n";
import { timeText } from "../run/pictures";
import { reduceEvents, viewOf } from "../run/reduce";
import { attempt } from "../run/tell";
import { type JobView, useRun } from "../stores/runStore";
import { Chart } from "./Chart";
import { columnsOf, joinResumed, metricNames, type Run, valueAt } from "./series";

const COLORS = ["#4a7dff", "#e0803a", "#2fa36b", "#c257b8", "#b59a1f", "#3aa6b9"];
const SMOOTHING = 0.9;
const MOST_EARLIER = 8;

/** What training measured, while it runs: several runs over each other. */
export function PlotsPanel() {
  const heard = useRun((state) => state.jobs);
  const earlier = useEarlierRuns();
  const runs = useMemo(() => runsOf({ ...earlier, ...heard }), [earlier, heard]);
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const [chosen, setChosen] = useState<string | null>(null);
  const [logarithmic, setLogarithmic] = useState(false);
  const [smooth, setSmooth] = useState(false);
  /** The step that is pointed at. */
  const [step, setStep] = useState<number | undefined>(undefined);
  const names = metricNames(runs);
  const metric =
    chosen !== null && names.includes(chosen) ? chosen : (names.find((name) => name.includes("loss")) ?? names[0]);
  const shown = useMemo(() => runs.filter((run) => !hidden.has(run.id)), [runs, hidden]);
  const columns = useMemo(
    () => columnsOf(shown, metric ?? "", { smoothing: smooth ? SMOOTHING : 0, logarithmic }),
    [shown, metric, smooth, logarithmic],
  );
  if (metric === undefined) return <p className="hint">{t("plots.empty")}</p>;
  const colorOf = (run: Run) => COLORS[runs.indexOf(run) % COLORS.length] as string;
  const toggle = (id: string) => {
    const next = new Set(hidden);
    if (!next.delete(id)) next.add(id);
    setHidden(next);
  };
  return (
    <div className="panelbody">
      <div className="toolrow">
        <select
          className="field narrow"
          aria-label={t("plots.metric")}
          value={metric}
          onChange={(event) => setChosen(event.target.value)}
        >
          {names.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        <label className="check">
          <input type="checkbox" checked={logarithmic} onChange={() => setLogarithmic(!logarithmic)} /> {t("plots.log")}
        </label>
        <label className="check">
          <input type="checkbox" checked={smooth} onChange={() => setSmooth(!smooth)} /> {t("plots.smooth")}
        </label>
      </div>
      {shown.length > 0 && (
        <Chart
          metric={metric}
          labels={shown.map((run) => run.label)}
          colors={shown.map(colorOf)}
          columns={columns}
          logarithmic={logarithmic}
          pointAt={setStep}
        />
      )}
      <section aria-label={t("plots.runs")}>
        <ul className="rows legend">
          {runs.map((run) => (
            <li key={run.id}>
              <label className="check">
                <input type="checkbox" checked={!hidden.has(run.id)} onChange={() => toggle(run.id)} />
                <span className="swatch" style={{ background: colorOf(run) }} />
                <span className="main">{run.label}</span>
                <span className="remedy">{measured(run, metric, step)}</span>
              </label>
            </li>
          ))}
        </ul>
      </section>
    </div>
  );
}

function measured(run: Run, metric: string, step: number | undefined): string {
  const found = valueAt(run, metric, step);
  return found === null ? "" : t("plots.last", { value: found.value.toPrecision(4), step: found.step });
}

function runsOf(jobs: Readonly<Record<string, JobView>>): Run[] {
  const runs = Object.values(jobs)
    .sort((one, other) => one.created - other.created)
    .flatMap((job) =>
      Object.entries(job.metrics).map(([node, metrics]) => ({
        id: `${job.id}/${node}`,
        origin: `${job.name}/${node}`,
        label: `${job.name || t("app.untitled")} · ${node} · ${timeText(job.created)}`,
        metrics,
      })),
    );
  return joinResumed(runs);
}

/** The newest jobs of before the page was loaded that measured something. */
function useEarlierRuns(): Record<string, JobView> {
  const [runs, setRuns] = useState<Record<string, JobView>>({});
  useEffect(() => {
    let ended = false;
    const read = async () => {
      const page = await attempt(() => api.listEnded(""));
      for (const job of (page?.jobs ?? []).slice(0, MOST_EARLIER)) {
        if (ended) return;
        const { events } = (await attempt(() => api.getJobEvents(job.id))) ?? { events: [] };
        const view = reduceEvents(viewOf(job, null), events as unknown as JobEvent[], Date.now());
        if (Object.keys(view.metrics).length > 0 && !ended) setRuns((now) => ({ ...now, [job.id]: view }));
      }
    };
    void read();
    return () => {
      ended = true;
    };
  }, []);
  return runs;
}
