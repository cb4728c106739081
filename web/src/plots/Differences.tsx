import { useCallback, useMemo } from "react";
import * as api from "../api/routes";
import { t } from "../i18n";
import { Failed } from "../run/Failed";
import { useReading } from "../run/useReading";
import { differences } from "./differences";
import type { Run } from "./series";

interface Props {
  runs: readonly Run[];
  colorOf(run: Run): string;
}

/** What the trainings that are shown were given that others of them weren't. */
export function Differences({ runs, colorOf }: Props) {
  const jobs = runs.map(({ job }) => job).join(" ");
  const read = useCallback(
    async () => ({ jobs, workflows: await Promise.all(jobs.split(" ").map((job) => api.getJobWorkflow(job))) }),
    [jobs],
  );
  const { value, failure, again } = useReading(read);
  const found = useMemo(() => {
    if (value?.jobs !== jobs) return null; // of those that were shown before
    return differences(
      value.workflows.map((workflow, place) => ({ workflow, node: outermost(runs[place]?.node ?? "") })),
    );
  }, [value, jobs, runs]);
  if (failure !== null) return <Failed failure={failure} again={again} />;
  if (found === null) return <p className="hint">{t("data.loading")}</p>;
  return (
    <section className="differences" aria-label={t("plots.differs")}>
      <h3>{t("plots.differs")}</h3>
      {found.length === 0 ? (
        <p className="hint">–</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table is scrolled by keyboard, too
        <div className="scrolled" tabIndex={0}>
          <table>
            <thead>
              <tr>
                <td />
                {runs.map((run) => (
                  <th key={run.id} scope="col" title={run.label}>
                    <span className="swatch" style={{ background: colorOf(run) }} />
                    <span className="unseen">{run.label}</span>
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {found.map(({ name, values }) => (
                <tr key={name}>
                  <th scope="row">{name}</th>
                  {values.map((value, place) => (
                    <td key={runs[place]?.id} title={value ?? undefined}>
                      {value ?? "–"}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function outermost(node: string): string {
  return node.split("/", 1)[0] as string;
}
