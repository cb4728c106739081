/** The pictures among what jobs wrote. */
import type { LargePicture } from "../gallery/lightboxStore";
import type { JobView, ShownFile } from "../stores/runStore";
import { isOver } from "./reduce";

export function isPicture(file: { media_type: string }): boolean {
  return file.media_type.startsWith("image/");
}

/** Tell whether a file is something to look at, listen to or take away; texts are part of the log. */
export function isResult(file: { media_type: string }): boolean {
  return !file.media_type.startsWith("text/") && !file.media_type.startsWith("inode/");
}

export function large(file: ShownFile, job: Pick<JobView, "id" | "finished">): LargePicture {
  const name = file.path.split("/").at(-1) ?? file.path;
  return { asset: file.asset, name, sizeBytes: file.size_bytes, job: job.id, created: job.finished };
}

export function sizeText(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(0)} kB`;
  if (bytes < 1e9) return `${(bytes / 1e6).toFixed(1)} MB`;
  return `${(bytes / 1e9).toFixed(2)} GB`;
}

export function timeText(seconds: number): string {
  const date = new Date(seconds * 1000);
  const isToday = date.toDateString() === new Date().toDateString();
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return isToday ? time : `${date.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
}

/** What the result of a tab is now: what its running job is drawing, and its newest finished job with something to show. */
export interface Shown {
  running: JobView | null;
  /** The node whose preview is newest, and the preview. */
  preview: { node: string; url: string } | null;
  result: JobView | null;
}

export function shownOf(jobs: Readonly<Record<string, JobView>>, tab: string): Shown {
  let running: JobView | null = null;
  let result: JobView | null = null;
  for (const job of Object.values(jobs)) {
    if (job.tab !== tab) continue;
    if (job.state === "running" || (job.state === "queued" && running === null)) running = job;
    const hasResult = isOver(job) && (job.outputs.some(isResult) || Object.keys(job.values).length > 0);
    if (hasResult && (result === null || (job.finished ?? 0) >= (result.finished ?? 0))) result = job;
  }
  return { running, preview: previewOf(running), result };
}

function previewOf(job: JobView | null): Shown["preview"] {
  let newest: Shown["preview"] = null;
  let since = -1;
  for (const [node, run] of Object.entries(job?.nodes ?? {})) {
    if (run.preview === undefined) continue;
    const begun = run.state === "running" ? Number.POSITIVE_INFINITY : (run.since ?? 0);
    if (begun >= since) {
      newest = { node, url: run.preview };
      since = begun;
    }
  }
  return newest;
}
