import { useCallback, useEffect, useState } from "react";
import * as api from "../api/routes";
import { useLightbox } from "../gallery/lightboxStore";
import { diffWorkflows } from "../graph/diff";
import { t } from "../i18n";
import { activeTab, useEditor } from "../stores/editorStore";
import { useRun } from "../stores/runStore";
import { useData } from "./dataStore";
import { Failed } from "./Failed";
import { Icon, type IconName } from "./icons";
import { JobLog } from "./JobLog";
import { showJob } from "./jobs";
import { isPicture, large, timeText } from "./pictures";
import { spanText } from "./progress";
import { attempt, type Failure, failureOf } from "./tell";
import { useReading } from "./useReading";

const TYPING_MS = 200;

/** Jobs that ended: each brings its workflow and its results back. */
export function HistoryPanel() {
  const ended = useData((state) => state.ended);
  const isConnected = useRun((state) => state.connection === "connected");
  const [text, setText] = useState("");
  const [jobs, setJobs] = useState<readonly api.Job[] | null>(null);
  const [next, setNext] = useState<number | null>(null);
  const [failure, setFailure] = useState<Failure | null>(null);
  const read = useCallback(
    async (before?: number) => {
      try {
        const answer = await api.listEnded(text, before);
        setJobs((now) => (before === undefined ? answer.jobs : [...(now ?? []), ...answer.jobs]));
        setNext(answer.next ?? null);
        setFailure(null);
      } catch (error) {
        setFailure(failureOf(error));
      }
    },
    [text],
  );
  // biome-ignore lint/correctness/useExhaustiveDependencies: there is more to read when a job ends, or the server is back
  useEffect(() => {
    const timer = setTimeout(read, TYPING_MS);
    return () => clearTimeout(timer);
  }, [read, ended, isConnected]);
  return (
    <div className="panelbody">
      <input
        className="field"
        type="search"
        placeholder={t("data.search")}
        aria-label={t("data.searchHistory")}
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      {failure !== null && <Failed failure={failure} again={read} />}
      {failure === null && jobs === null && <p className="hint">{t("data.loading")}</p>}
      {failure === null && jobs?.length === 0 && (
        <p className="hint">{text === "" ? t("data.historyEmpty") : t("data.noneFound", { text })}</p>
      )}
      <ul className="rows">
        {(jobs ?? []).map((job) => (
          <EndedJob key={job.id} job={job} />
        ))}
      </ul>
      {next !== null && (
        <button type="button" className="secondary" onClick={() => read(next)}>
          {t("data.moreJobs")}
        </button>
      )}
    </div>
  );
}

type Shown = "log" | "diff" | null;

function EndedJob({ job }: { job: api.Job }) {
  const [shown, setShown] = useState<Shown>(null);
  const name = job.name || t("app.untitled");
  const pictures = job.outputs.filter(isPicture);
  const newest = pictures.at(-1);
  const took = job.started !== null && job.finished !== null ? ` · ${spanText(job.finished - job.started)}` : "";
  const act = (icon: IconName, label: string, run: () => void, expanded?: boolean) => (
    <button
      type="button"
      className="quiet icon"
      aria-label={`${label}: ${name}`}
      title={label}
      aria-expanded={expanded}
      onClick={run}
    >
      <Icon name={icon} size={16} />
    </button>
  );
  return (
    <li>
      <div className="row">
        {newest === undefined ? (
          <span className="thumb">
            <Icon name="log" size={18} />
          </span>
        ) : (
          <img className="thumb" loading="lazy" src={api.thumbnailUrl(newest.asset, 128)} alt="" />
        )}
        <div className="main">
          <button type="button" className="title" onClick={() => restoreJob(job)}>
            {name}
          </button>
          <span className="sub">
            <span className={`state ${job.state}`}>{t(`data.state_${job.state}`)}</span>{" "}
            {timeText(job.finished ?? job.created)}
            {took}
          </span>
          {job.error !== null && <span className="sub bad">{job.error.message}</span>}
        </div>
        <div className="acts">
          {newest !== undefined &&
            act("enlarge", t("data.results"), () =>
              useLightbox.getState().show(
                pictures.map((file) => large(file, job)),
                pictures.length - 1,
              ),
            )}
          {act("compare", t("data.diff"), () => setShown(shown === "diff" ? null : "diff"), shown === "diff")}
          {act("log", t("data.showLog"), () => setShown(shown === "log" ? null : "log"), shown === "log")}
          {act("restore", t("data.retry"), () => retry(job))}
        </div>
      </div>
      {shown === "log" && <JobLog job={job.id} />}
      {shown === "diff" && <Diff job={job.id} />}
    </li>
  );
}

/** Open a job's workflow as it was, with what came of it. */
export async function restoreJob(job: Pick<api.Job, "id" | "name">): Promise<void> {
  const workflow = await attempt(() => api.getJobWorkflow(job.id));
  if (workflow === null) return;
  const tab = useEditor.getState().open(workflow, { unsaved: true });
  const read = await attempt(() => api.getJob(job.id));
  if (read !== null) showJob(read.job, tab);
}

async function retry(job: api.Job): Promise<void> {
  const again = await attempt(() => api.retryJob(job.id));
  if (again !== null) showJob(again.job, null);
}

/** What the open workflow has that the job's hadn't. */
function Diff({ job }: { job: string }) {
  const now = useEditor((state) => activeTab(state)?.history.present);
  const { value: then, failure, again } = useReading(useCallback(() => api.getJobWorkflow(job), [job]));
  if (failure !== null) return <Failed failure={failure} again={again} />;
  if (then === null || now === undefined) return <p className="hint">{t("data.loading")}</p>;
  const changes = diffWorkflows(then, now).filter((change) => change.kind !== "layout");
  if (changes.length === 0) return <p className="hint">{t("data.diffNone")}</p>;
  return (
    <ul className="diff" aria-label={t("data.diffTitle")}>
      {changes.map((change) => (
        <li key={`${change.kind} ${change.node} ${change.input} ${change.text}`} className={change.kind}>
          {change.text}
        </li>
      ))}
    </ul>
  );
}
