import { useState } from "react";
import { assetUrl } from "../api/routes";
import { lazily } from "../app/lazily";
import { useLightbox } from "../gallery/lightboxStore";
import { Pager } from "../gallery/Pager";
import { dumpJson } from "../graph/document";
import { t } from "../i18n";
import { useEditor } from "../stores/editorStore";
import { type JobView, type ShownFile, useRun } from "../stores/runStore";
import { Icon } from "./icons";
import { isPicture, isResult, large, type Shown, shownOf } from "./pictures";
import { spanText } from "./progress";

/** The newest picture of the workflow that is shown, or what is being drawn. */
export function ResultView() {
  const tab = useEditor((state) => state.active);
  const jobs = useRun((state) => state.jobs);
  const [hidden, setHidden] = useState(false);
  const shown = shownOf(jobs, tab);
  if (shown.result === null && shown.preview === null) return null;
  if (hidden)
    return (
      <button type="button" className="result folded" onClick={() => setHidden(false)}>
        <Icon name="gallery" size={16} /> {t("run.result")}
      </button>
    );
  return <Result shown={shown} hide={() => setHidden(true)} />;
}

function Result({ shown, hide }: { shown: Shown; hide(): void }) {
  const { preview, result, running } = shown;
  return (
    <section className="result" aria-label={t("run.result")}>
      {preview !== null ? (
        <img className="picture" src={preview.url} alt={t("run.previewOf", { node: preview.node })} />
      ) : (
        result !== null && <Results key={result.id} job={result} isOld={running !== null} />
      )}
      <footer>
        <span>{caption(shown)}</span>
        <button type="button" className="quiet icon" aria-label={t("run.hideResult")} onClick={hide}>
          <Icon name="hide" size={14} />
        </button>
      </footer>
    </section>
  );
}

function caption({ preview, result, running }: Shown): string {
  const [node, now] = Object.entries(running?.nodes ?? {}).find(([, run]) => run.state === "running") ?? [];
  if (running !== null && node !== undefined)
    return now?.total === undefined ? node : t("run.atNode", { node, done: now.done ?? 0, total: now.total });
  if (preview !== null) return t("run.preview");
  if (result === null || running !== null) return t("run.waiting");
  if (result.started === null || result.finished === null) return t("run.result");
  const runs = Object.values(result.nodes);
  if (runs.length > 0 && runs.every((run) => run.state === "cached")) return t("run.unchanged");
  return t("run.took", { time: spanText(result.finished - result.started) });
}

const Media = lazily(async () => (await import("./Media")).Media);

/** What a job made: pictures, then what is played or saved; where there is neither, its values. */
function Results({ job, isOld }: { job: JobView; isOld: boolean }) {
  const pictures = job.outputs.filter(isPicture);
  const others = job.outputs.filter((file) => isResult(file) && !isPicture(file));
  return (
    <>
      {pictures.length > 0 && <Pictures job={job} pictures={pictures} isOld={isOld} />}
      {others.length > 0 && <Media files={others} />}
      {pictures.length + others.length === 0 && <Values job={job} />}
    </>
  );
}

function Pictures({ job, pictures, isOld }: { job: JobView; pictures: readonly ShownFile[]; isOld: boolean }) {
  // what is kept comes after what is only for looking
  const ordered = [...pictures.filter((file) => file.temporary), ...pictures.filter((file) => !file.temporary)];
  const [index, setIndex] = useState(ordered.length - 1);
  const file = ordered[index];
  if (file === undefined) return null;
  return (
    <>
      <button
        type="button"
        className={isOld ? "picture old" : "picture"}
        aria-label={t("run.enlarge")}
        onClick={() =>
          useLightbox.getState().show(
            ordered.map((each) => large(each, job)),
            index,
          )
        }
      >
        <img src={assetUrl(file.asset)} alt={t("run.resultOf", { name: job.name || t("app.untitled") })} />
      </button>
      <Pager index={index} count={ordered.length} go={setIndex} />
    </>
  );
}

/** The plain values that a workflow gives, where it draws nothing. */
function Values({ job }: { job: JobView }) {
  return (
    <dl className="values">
      {Object.entries(job.values).map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{typeof value === "string" ? value : dumpJson(value)}</dd>
        </div>
      ))}
    </dl>
  );
}
