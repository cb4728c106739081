import { assetUrl } from "../api/routes";
import { useLightbox } from "../gallery/lightboxStore";
import { t } from "../i18n";
import { useRun } from "../stores/runStore";
import { Icon } from "./icons";
import { JobProgress } from "./JobProgress";
import { isPicture, large } from "./pictures";
import { isOver } from "./reduce";
import type { SweepCell, SweepGrid } from "./sweepStore";

/** What came of each value of a sweep. */
export function SweepResults({ grid, close }: { grid: SweepGrid; close(): void }) {
  const cells = grid.rows.flatMap((row) => row.cells);
  return (
    <div className="body">
      <header className="toolrow spread">
        <h2 id="sweep-title">{grid.title}</h2>
        <button type="button" className="quiet icon" aria-label={t("data.close")} onClick={close}>
          <Icon name="close" />
        </button>
      </header>
      <ul className="sweepgrid" aria-label={t("sweep.grid")}>
        {cells.map((cell, index) => (
          <Cell key={cell.job} cell={cell} cells={cells} index={index} />
        ))}
      </ul>
    </div>
  );
}

function Cell({ cell, cells, index }: { cell: SweepCell; cells: readonly SweepCell[]; index: number }) {
  const job = useRun((state) => state.jobs[cell.job]);
  const picture = job?.outputs.findLast(isPicture);
  const preview = Object.values(job?.nodes ?? {}).findLast((run) => run.preview !== undefined)?.preview;
  return (
    <li>
      {picture !== undefined ? (
        <button
          type="button"
          className="picture"
          aria-label={t("data.openPicture", { name: cell.label })}
          onClick={() => showAll(cells, index)}
        >
          <img src={assetUrl(picture.asset)} alt="" />
        </button>
      ) : (
        <div className="picture">
          {preview !== undefined && <img src={preview} alt="" />}
          {job !== undefined && !isOver(job) && <JobProgress job={job} />}
          {job?.error && <p className="bad">{job.error.message}</p>}
        </div>
      )}
      <span className="label">{cell.label}</span>
    </li>
  );
}

function showAll(cells: readonly SweepCell[], index: number): void {
  const { jobs } = useRun.getState();
  const pictures = cells.flatMap((cell, place) => {
    const job = jobs[cell.job];
    const file = job?.outputs.findLast(isPicture);
    return job === undefined || file === undefined
      ? []
      : [{ place, picture: { ...large(file, job), name: cell.label } }];
  });
  useLightbox.getState().show(
    pictures.map(({ picture }) => picture),
    pictures.findIndex(({ place }) => place === index),
  );
}
