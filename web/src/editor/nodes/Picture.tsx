import { t } from "../../i18n";
import { nodeRun, useRun } from "../../stores/runStore";

/** The picture that a node made last; while it runs, its newest preview. */
export function Picture({ tab, node, title }: { tab: string; node: string; title: string }) {
  const source = useRun((state) => {
    const run = nodeRun(state, tab, node);
    if (run?.state === "running" && run.preview !== undefined) return run.preview;
    const job = state.jobs[state.jobOfTab[tab] ?? ""];
    const file = job?.outputs.find((output) => output.node === node && output.media_type.startsWith("image/"));
    return file === undefined ? run?.preview : `/api/v1/assets/${file.asset}`;
  });
  if (source === undefined) return null;
  return <img className="card-picture" src={source} alt={t("editor.pictureOf", { node: title })} draggable={false} />;
}
