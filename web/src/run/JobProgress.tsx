import { useEffect, useState } from "react";
import { t } from "../i18n";
import { type JobView, useRun } from "../stores/runStore";
import { progressOf, spanText } from "./progress";

const NO_PLAN = {};

/** How far a job is along, and how long it may still take. */
export function JobProgress({ job }: { job: JobView }) {
  const plan = useRun((state) => state.plans[job.tab ?? ""] ?? NO_PLAN);
  const now = useNow();
  const { fraction, remainingS } = progressOf(job, plan, now);
  const percent = Math.round(fraction * 100);
  const left = remainingS === null ? "" : t("run.left", { time: spanText(remainingS) });
  const text = job.state === "queued" ? t("run.waiting") : left || `${percent} %`;
  return (
    <div className="jobprogress">
      <div
        className="bar"
        role="progressbar"
        aria-label={t("run.progressOf", { name: job.name || t("app.untitled") })}
        aria-valuenow={percent}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuetext={`${percent} % ${left}`}
      >
        <div style={{ transform: `scaleX(${fraction})` }} />
      </div>
      <span className="figures">{text}</span>
    </div>
  );
}

/** The time in ms, twice a second. */
function useNow(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, []);
  return now;
}
