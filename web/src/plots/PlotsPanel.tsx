import { useEffect, useMemo, useRef, useState } from "react";
import type { JobEvent } from "../api/following";
import type { Job } from "../api/routes";
import * as api from "../api/routes";
import { t } from "../i18n";
import { timeText } from "../run/pictures";
import { spanText } from "../run/progress";
import { isOver, reduceEvents, viewOf } from "../run/reduce";
import { attempt } from "../run/tell";
import { type JobView, useRun } from "../stores/runStore";
import { Chart, DASHES } from "./Chart";
import { Differences } from "./Differences";
import "./plots.css";
import { columnsOf, joinResumed, linesOf, metricNames, type Run, secondsLeft, valueAt, viewsOf } from "./series";

const COLORS = ["#4a7dff", "#e0803a", "#2fa36b", "#c257b8", "#b59a1f", "#3aa6b9"];
const SMOOTHING = 0.9;
const MOST_EARLIER = 8;
const TYPING_MS = 200;

/** What training measured, while it runs and afterwards: several runs over each other, and what differs in them. */
export function PlotsPanel() {
  const heard = useRun((state) => state.jobs);
  const [text, setText] = useState("");
  const { earlier, isReading, more } = useEarlierRuns(text);
  const runs = useMemo(() => runsOf({ ...earlier, ...heard }), [earlier, heard]);
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const [chosen, setChosen] = useState<string | null>(null);
  const [logarithmic, setLogarithmic] = useState(false);
  const [smooth, setSmooth] = useState(false);
  /** The step that is pointed at. */
  const [step, setStep] = useState<number | undefined>(undefined);
  const views = viewsOf(metricNames(runs), t("plots.bands"));
  const view = views.find(({ name }) => name === chosen) ?? views.find(({ name }) => name.includes("loss")) ?? views[0];
  const key = view?.metrics.join(" ") ?? "";
  const shown = useMemo(() => runs.filter((run) => !hidden.has(run.id)), [runs, hidden]);
  const lines = useMemo(() => linesOf(shown, { name: "", metrics: key === "" ? [] : key.split(" ") }), [shown, key]);
  const columns = useMemo(
    () => columnsOf(lines, { smoothing: smooth ? SMOOTHING : 0, logarithmic }),
    [lines, smooth, logarithmic],
  );
  if (view === undefined) return <p className="hint">{t("plots.empty")}</p>;
  const colorOf = (run: Run) => COLORS[runs.indexOf(run) % COLORS.length] as string;
  const toggle = (id: string) => {
    const next = new Set(hidden);
    if (!next.delete(id)) next.add(id);
    setHidden(next);
  };
  const listed = runs.filter(({ label }) => label.toLowerCase().includes(text.toLowerCase()));
  return (
    <div className="panelbody">
      <div className="toolrow">
        <select
          className="field narrow"
          aria-label={t("plots.metric")}
          value={view.name}
          onChange={(event) => setChosen(event.target.value)}
        >
          {views.map(({ name }) => (
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
      {lines.length > 0 && (
        <Chart
          metric={view.name}
          labels={lines.map(({ run, metric }) => `${run.label} ${metric}`)}
          colors={lines.map(({ run }) => colorOf(run))}
          dashes={lines.map(({ metric }) => view.metrics.indexOf(metric))}
          columns={columns}
          logarithmic={logarithmic}
          pointAt={setStep}
        />
      )}
      {view.metrics.length > 1 && <DashKey metrics={view.metrics} />}
      <section aria-label={t("plots.runs")}>
        <input
          className="field"
          type="search"
          placeholder={t("data.search")}
          aria-label={t("data.searchHistory")}
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
        <ul className="rows legend">
          {listed.map((run) => (
            <li key={run.id}>
              <label className="check">
                <input type="checkbox" checked={!hidden.has(run.id)} onChange={() => toggle(run.id)} />
                <span className="swatch" style={{ background: colorOf(run) }} />
                <span className="main">{run.label}</span>
                <span className="remedy">{measured(run, view.metrics, step)}</span>
              </label>
            </li>
          ))}
        </ul>
        {more !== null && (
          <button type="button" className="secondary" disabled={isReading} onClick={more}>
            {t(isReading ? "data.loading" : "data.moreJobs")}
          </button>
        )}
      </section>
      {shown.length > 1 && <Differences runs={shown} colorOf={colorOf} />}
    </div>
  );
}

/** Which line is which metric, where a view has several. */
function DashKey({ metrics }: { metrics: readonly string[] }) {
  return (
    <ul className="dashkey">
      {metrics.map((metric, place) => (
        <li key={metric}>
          <svg width="28" height="6" aria-hidden="true">
            <line x1="0" y1="3" x2="28" y2="3" strokeDasharray={DASHES[place % DASHES.length]?.join(" ")} />
          </svg>
          {metric}
        </li>
      ))}
    </ul>
  );
}

function measured(run: Run, metrics: readonly string[], step: number | undefined): string {
  const found = metrics.map((metric) => valueAt(run, metric, step)).filter((each) => each !== null);
  const newest = Math.max(...found.map((each) => each.step));
  const left = run.goesOn ? secondsLeft(run) : null;
  const remaining = left === null ? "" : `${t("run.left", { time: spanText(left) })} · `;
  const value = found.map((each) => each.value.toPrecision(4)).join(" · ");
  return found.length === 0 ? "" : remaining + t("plots.last", { value, step: newest });
}

function runsOf(jobs: Readonly<Record<string, JobView>>): Run[] {
  const runs = Object.values(jobs)
    .sort((one, other) => one.created - other.created)
    .flatMap((job) =>
      Object.entries(job.metrics).map(([node, metrics]) => ({
        id: `${job.id}/${node}`,
        job: job.id,
        node,
        goesOn: !isOver(job),
        origin: `${job.name}/${node}`,
        label: `${job.name || t("app.untitled")} · ${node} · ${timeText(job.created)}`,
        metrics,
      })),
    );
  return joinResumed(runs);
}

interface EarlierRuns {
  earlier: Record<string, JobView>;
  isReading: boolean;
  /** Reads older ones; null where there are none. */
  more: (() => void) | null;
}

/** Jobs of before the page was loaded that measured something, the newest first, of this name. */
function useEarlierRuns(text: string): EarlierRuns {
  const [earlier, setEarlier] = useState<Record<string, JobView>>({});
  const [unread, setUnread] = useState<readonly Job[]>([]);
  const [next, setNext] = useState<number | null>(null);
  const [wanted, setWanted] = useState(MOST_EARLIER);
  const read = useRef(new Set<string>());
  useEffect(() => {
    let ended = false;
    const timer = setTimeout(async () => {
      const page = await attempt(() => api.listEnded(text));
      if (ended || page === null) return;
      setUnread(page.jobs.filter(({ id }) => !read.current.has(id)));
      setNext(page.next ?? null);
      setWanted(MOST_EARLIER);
    }, TYPING_MS);
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }, [text]);
  const job = wanted > 0 ? unread[0] : undefined;
  useEffect(() => {
    if (job === undefined) return;
    let ended = false;
    const take = async () => {
      const { events } = (await attempt(() => api.getJobEvents(job.id))) ?? { events: [] };
      const view = reduceEvents(viewOf(job, null), events as unknown as JobEvent[], Date.now());
      if (ended) return;
      read.current.add(job.id);
      setUnread((now) => now.filter(({ id }) => id !== job.id));
      if (Object.keys(view.metrics).length === 0) return;
      setWanted((count) => count - 1);
      setEarlier((now) => ({ ...now, [job.id]: view }));
    };
    void take();
    return () => {
      ended = true;
    };
  }, [job]);
  const more = async () => {
    setWanted(MOST_EARLIER);
    if (unread.length > 0 || next === null) return;
    const page = await attempt(() => api.listEnded(text, next));
    if (page === null) return;
    setUnread(page.jobs.filter(({ id }) => !read.current.has(id)));
    setNext(page.next ?? null);
  };
  return { earlier, isReading: job !== undefined, more: unread.length > 0 || next !== null ? () => void more() : null };
}
