import { type DragEvent, useEffect, useState } from "react";
import * as api from "../api/routes";
import { t } from "../i18n";
import { useRun } from "../stores/runStore";
import { useUi } from "../stores/uiStore";
import { useData } from "./dataStore";
import { Failed } from "./Failed";
import { Icon } from "./icons";
import { JobLog } from "./JobLog";
import { JobProgress } from "./JobProgress";
import { cancelJobs, refreshQueueSoon } from "./jobs";
import { spanText } from "./progress";
import { unheardJob } from "./reduce";
import { attempt } from "./tell";

const REFRESH_MS = 4000; // estimates change with time

/** What runs and what waits, in order. */
export function QueuePanel() {
  const queue = useData((state) => state.queue);
  const failure = useData((state) => state.queueFailure);
  useEffect(() => {
    refreshQueueSoon();
    const timer = setInterval(refreshQueueSoon, REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
  if (failure !== null) return <Failed failure={failure} again={refreshQueueSoon} />;
  if (queue === null) return <p className="hint">{t("data.loading")}</p>;
  const running = queue.jobs.filter(({ job }) => job.state === "running");
  const waiting = queue.jobs.filter(({ job }) => job.state !== "running");
  const pause = async () => {
    await attempt(() => api.pauseQueue(!queue.paused));
    refreshQueueSoon();
  };
  return (
    <div className="panelbody">
      <div>
        <button type="button" className="secondary" onClick={pause}>
          {queue.paused ? t("data.resume") : t("data.pause")}
        </button>
      </div>
      {queue.paused && <p className="hint warn">{t("data.paused")}</p>}
      {queue.jobs.length === 0 && <p className="hint">{t("data.queueEmpty")}</p>}
      {running.length > 0 && (
        <section aria-label={t("data.running")}>
          <h3>{t("data.running")}</h3>
          <ul className="rows">
            {running.map((queued) => (
              <RunningRow key={queued.job.id} queued={queued} />
            ))}
          </ul>
        </section>
      )}
      {waiting.length > 0 && <WaitingList waiting={waiting} />}
    </div>
  );
}

function RunningRow({ queued: { job } }: { queued: api.QueuedJob }) {
  const heard = useRun((state) => state.jobs[job.id]);
  const [showsLog, setShowsLog] = useState(false);
  const name = job.name || t("app.untitled");
  return (
    <li>
      <div className="row">
        <div className="main">
          <span className="title">{name}</span>
          <JobProgress
            job={
              heard ?? {
                ...unheardJob(job.id, job.name),
                state: "running",
                started: job.started,
                estimateS: job.estimate_s,
              }
            }
          />
        </div>
        <div className="acts always">
          <button
            type="button"
            className="quiet icon"
            aria-label={t("data.log", { name })}
            aria-expanded={showsLog}
            onClick={() => setShowsLog(!showsLog)}
          >
            <Icon name="log" size={16} />
          </button>
          <CancelButton id={job.id} name={name} />
        </div>
      </div>
      {showsLog && <JobLog job={job.id} isRunning />}
    </li>
  );
}

function CancelButton({ id, name }: { id: string; name: string }) {
  return (
    <button
      type="button"
      className="quiet icon"
      aria-label={t("data.cancelJob", { name })}
      onClick={async () => {
        await attempt(() => cancelJobs([id]));
        refreshQueueSoon();
      }}
    >
      <Icon name="close" size={16} />
    </button>
  );
}

function WaitingList({ waiting }: { waiting: readonly api.QueuedJob[] }) {
  const [dragged, setDragged] = useState<string | null>(null);
  const [over, setOver] = useState<string | null>(null);
  const drop = (before: string | null) => {
    if (dragged !== null && dragged !== before) void move(dragged, before, waiting);
    setDragged(null);
    setOver(null);
  };
  return (
    <section aria-label={t("data.waitingJobs")}>
      <h3>{t("data.waitingJobs")}</h3>
      <ol className="rows">
        {waiting.map((queued, place) => (
          <li
            key={queued.job.id}
            className={over === queued.job.id ? "row dropbefore" : "row"}
            draggable
            onDragStart={(event: DragEvent) => {
              event.dataTransfer.effectAllowed = "move";
              event.dataTransfer.setData("text/x-graphengine-job", queued.job.id);
              setDragged(queued.job.id);
            }}
            onDragEnd={() => drop(over)}
            onDragOver={(event) => {
              if (dragged === null) return;
              event.preventDefault();
              setOver(queued.job.id);
            }}
          >
            <WaitingRow queued={queued} place={place} waiting={waiting} />
          </li>
        ))}
      </ol>
    </section>
  );
}

function WaitingRow({
  queued,
  place,
  waiting,
}: {
  queued: api.QueuedJob;
  place: number;
  waiting: readonly api.QueuedJob[];
}) {
  const { job } = queued;
  const name = job.name || t("app.untitled");
  const begins = queued.estimated_start;
  const ends = queued.estimated_finish;
  const now = Date.now() / 1000;
  return (
    <>
      <span className="remedy" title={t("data.dragHint")}>
        <Icon name="drag" size={16} />
      </span>
      <div className="main">
        <span className="title">{name}</span>
        <span className="sub">
          {begins == null ? t("data.unknownTime") : t("data.startsIn", { time: spanText(Math.max(0, begins - now)) })}
          {ends != null && `, ${t("data.endsIn", { time: spanText(Math.max(0, ends - now)) })}`}
        </span>
      </div>
      <div className="acts always">
        <input
          className="number"
          type="number"
          min={-100}
          max={100}
          aria-label={t("data.priority", { name })}
          title={t("data.priority", { name })}
          defaultValue={job.priority}
          key={job.priority}
          onBlur={(event) => prioritise(job, event.target.valueAsNumber)}
          onKeyDown={(event) => {
            if (event.key === "Enter") prioritise(job, event.currentTarget.valueAsNumber);
          }}
        />
        <button
          type="button"
          className="quiet icon"
          aria-label={t("data.moveUp", { name })}
          disabled={place === 0}
          onClick={() => move(job.id, waiting[place - 1]?.job.id ?? null, waiting)}
        >
          <Icon name="up" size={16} />
        </button>
        <button
          type="button"
          className="quiet icon"
          aria-label={t("data.moveDown", { name })}
          disabled={place === waiting.length - 1}
          onClick={() => move(job.id, waiting[place + 2]?.job.id ?? null, waiting)}
        >
          <Icon name="down" size={16} />
        </button>
        <CancelButton id={job.id} name={name} />
      </div>
    </>
  );
}

async function move(id: string, before: string | null, waiting: readonly api.QueuedJob[]): Promise<void> {
  const moved = await attempt(() => api.moveJob(id, { before }));
  refreshQueueSoon();
  if (moved === null) return;
  const others = waiting.filter(({ job }) => job.id !== id);
  const place = before === null ? others.length : others.findIndex(({ job }) => job.id === before);
  useUi.getState().announce(t("data.moved", { name: moved.job.name || t("app.untitled"), place: place + 1 }));
}

async function prioritise(job: api.Job, priority: number): Promise<void> {
  if (!Number.isInteger(priority) || priority === job.priority) return;
  await attempt(() => api.moveJob(job.id, { priority }));
  refreshQueueSoon();
}
