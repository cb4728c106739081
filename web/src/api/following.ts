/**
 * Which events of a job were heard, so that none is lost, and none counted twice, when a connection breaks.
 *
 * Events of a job are numbered without gaps, but for progress and previews: these carry the number of the event before
 * them and are worth nothing later. A gap means that something was missed; the job is then followed from the last number
 * on, and what comes meanwhile waits for it. A server that ended at once may give numbers a second time: such an event
 * is newer than the last one that was heard.
 */

export interface JobEvent {
  job: string;
  number: number;
  time: number | null;
  type: string;
  [field: string]: unknown;
}

export type Verdict = "new" | "known" | "gap";

const TRANSIENT = new Set(["node_progress", "node_preview"]);

interface Heard {
  number: number;
  time: number;
  ended: boolean;
}

export class Following {
  private readonly heard = new Map<string, Heard>();

  /** Say that a job is to be heard from its first event on. */
  begin(job: string): void {
    if (!this.heard.has(job)) this.heard.set(job, { number: 0, time: 0, ended: false });
  }

  /** Say what an event is: new, known already, or one with others missing before it. */
  judge(event: JobEvent): Verdict {
    this.begin(event.job);
    const last = this.heard.get(event.job) as Heard;
    if (TRANSIENT.has(event.type)) return last.ended ? "known" : "new";
    const time = event.time ?? last.time;
    if (event.number <= last.number && time <= last.time) return "known";
    if (event.number > last.number + 1) return "gap";
    last.number = event.number;
    last.time = Math.max(time, last.time);
    last.ended = event.type === "job_ended";
    return "new";
  }

  lastOf(job: string): number {
    return this.heard.get(job)?.number ?? 0;
  }

  forget(job: string): void {
    this.heard.delete(job);
  }

  /** The jobs that may go on, and from which number to hear of them again. */
  unfinished(): { job: string; after: number }[] {
    return [...this.heard].flatMap(([job, { number, ended }]) => (ended ? [] : [{ job, after: number }]));
  }
}

/** Give how long to wait before trying to connect again, in ms: longer each time, and not all browsers at once. */
export function backOff(failures: number, random: number = Math.random()): number {
  return Math.min(500 * 2 ** Math.min(failures, 6), 15_000) * (0.75 + random / 2);
}
