import { useEffect, useState } from "react";
import { getJobLog } from "../api/routes";
import { t } from "../i18n";
import { attempt } from "./tell";

const REFRESH_MS = 2000;

/** What a job's nodes printed. */
export function JobLog({ job, isRunning = false }: { job: string; isRunning?: boolean }) {
  const [log, setLog] = useState<{ text: string; truncated: boolean } | null>(null);
  useEffect(() => {
    const read = () => void attempt(() => getJobLog(job)).then((answer) => answer !== null && setLog(answer));
    read();
    const timer = isRunning ? setInterval(read, REFRESH_MS) : undefined;
    return () => clearInterval(timer);
  }, [job, isRunning]);
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
