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
        <h2>{grid.title}</h2>
        <button type="button" className="quiet icon" aria-label={t("data.close")} onClick={close}>
          <Icon name="close" />
        </button>
      </header>
      {grid.axes.rows === null ? (
        <ul className="sweepgrid" aria-label={t("sweep.grid")}>
          {cells.map((cell, index) => (
            <li key={cell.job}>
              <Result cell={cell} cells={cells} index={index} />
              <span className="label">{cell.label}</span>
            </li>
          ))}
        </ul>
      ) : (
        <Table grid={grid} cells={cells} />
      )}
    </div>
  );
}

function Table({ grid, cells }: { grid: SweepGrid; cells: readonly SweepCell[] }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls has to be reached by keys
    <section className="sweeptable" aria-label={t("sweep.grid")} tabIndex={0}>
      <table>
        <thead>
          <tr>
            <td>{t("sweep.by", { rows: grid.axes.rows ?? "", columns: grid.axes.columns })}</td>
            {grid.columns.map((label, column) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: the same value may come twice
              <th key={column} scope="col">
                {label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {grid.rows.map((row) => (
            <tr key={row.cells[0]?.job ?? row.label}>
              <th scope="row">{row.label}</th>
              {row.cells.map((cell) => (
                <td key={cell.job}>
                  <Result cell={cell} cells={cells} index={cells.indexOf(cell)} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Result({ cell, cells, index }: { cell: SweepCell; cells: readonly SweepCell[]; index: number }) {
  const job = useRun((state) => state.jobs[cell.job]);
  const picture = job?.outputs.findLast(isPicture);
  const preview = Object.values(job?.nodes ?? {}).findLast((run) => run.preview !== undefined)?.preview;
  if (picture !== undefined)
    return (
      <button
        type="button"
        className="picture"
        aria-label={t("data.openPicture", { name: cell.label })}
        onClick={() => showAll(cells, index)}
      >
        <img src={assetUrl(picture.asset)} alt="" />
      </button>
    );
  return (
    <div className="picture">
      {preview !== undefined && <img src={preview} alt="" />}
      {job !== undefined && !isOver(job) && <JobProgress job={job} />}
      {job?.error && <p className="bad">{job.error.message}</p>}
    </div>
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
