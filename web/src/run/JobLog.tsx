import { useCallback, useEffect } from "react";
import { getJobLog } from "../api/routes";
import { t } from "../i18n";
import { Failed } from "./Failed";
import { useReading } from "./useReading";

const REFRESH_MS = 2000;

/** What a job's nodes printed. */
export function JobLog({ job, isRunning = false }: { job: string; isRunning?: boolean }) {
  const { value: log, failure, again } = useReading(useCallback(() => getJobLog(job), [job]));
  useEffect(() => {
    const timer = isRunning ? setInterval(again, REFRESH_MS) : undefined;
    return () => clearInterval(timer);
  }, [again, isRunning]);
  if (failure !== null) return <Failed failure={failure} again={again} />;
  if (log === null) return <p className="hint">{t("data.loading")}</p>;
  if (log.text === "") return <p className="hint">{t("data.noLog")}</p>;
  return (
    <>
      {log.truncated && <p className="hint">{t("data.logCut")}</p>}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard */}
      <pre className="log" tabIndex={0}>
        {log.text}
      </pre>
    </>
  );
}
