/** Events of jobs over a websocket that comes back by itself; what was missed meanwhile is heard then. */
import { parseJson } from "../graph/document";
import { API } from "./client";
import { backOff, Following, type JobEvent } from "./following";

export interface Hearer {
  events(events: readonly JobEvent[]): void;
  preview(event: JobEvent, jpeg: Blob): void;
  connected(): void;
  lost(): void;
  /** The server knows nothing of a job any more. */
  unknown(job: string): void;
}

export class EventSocket {
  readonly following = new Following();
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;
  private ended = false;
  private watched = true;
  /** Jobs whose missing events were asked for, over this connection. */
  private catchingUp = new Set<string>();

  constructor(private readonly hearer: Hearer) {}

  get isOpen(): boolean {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  connect(): void {
    clearTimeout(this.timer);
    if (this.ended || this.socket !== null) return;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}${API}/events`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      this.failures = 0;
      this.catchingUp.clear();
      this.say({ subscribe: { previews: this.watched } });
      for (const { job } of this.following.unfinished()) this.catchUp(job);
      this.hearer.connected();
    };
    socket.onmessage = (message) => {
      if (typeof message.data === "string") this.hear(message.data);
      else this.hearPreview(message.data as ArrayBuffer);
    };
    socket.onclose = () => {
      if (this.socket !== socket) return;
      this.socket = null;
      if (this.ended) return;
      this.hearer.lost();
      this.timer = setTimeout(() => this.connect(), backOff(this.failures));
      this.failures += 1;
    };
  }

  /** Say whether somebody looks: previews are made only while one does. */
  watch(watched: boolean): void {
    if (this.watched === watched) return;
    this.watched = watched;
    if (this.isOpen) this.say({ subscribe: { previews: watched } });
  }

  /** Hear of a job from its first event on. */
  follow(job: string): void {
    this.following.begin(job);
    if (this.following.lastOf(job) === 0) this.catchUp(job);
  }

  close(): void {
    this.ended = true;
    clearTimeout(this.timer);
    this.socket?.close();
    this.socket = null;
  }

  private catchUp(job: string): void {
    if (this.catchingUp.has(job) || this.socket?.readyState !== WebSocket.OPEN) return;
    this.catchingUp.add(job);
    this.say({ subscribe: { job, after: this.following.lastOf(job), previews: false } });
  }

  private say(wish: object): void {
    this.socket?.send(JSON.stringify(wish));
  }

  private hear(text: string): void {
    const told = parseJson(text) as unknown as JobEvent[] | { type: string; code?: string; message?: string };
    if (!Array.isArray(told)) {
      if (told.type === "refused" && told.code === "unknown_job") this.forgetUnknown(told.message ?? "");
      return;
    }
    const events = told.filter((event) => {
      const verdict = this.following.judge(event);
      if (verdict === "gap") this.catchUp(event.job);
      if (verdict === "new" && event.type === "job_ended") this.catchingUp.delete(event.job);
      return verdict === "new";
    });
    if (events.length > 0) this.hearer.events(events);
  }

  private hearPreview(frame: ArrayBuffer): void {
    const length = new DataView(frame).getUint32(0);
    const header = new TextDecoder().decode(new Uint8Array(frame, 4, length));
    const event = parseJson(header) as unknown as JobEvent;
    if (this.following.judge(event) === "new")
      this.hearer.preview(event, new Blob([new Uint8Array(frame, 4 + length)], { type: "image/jpeg" }));
  }

  private forgetUnknown(message: string): void {
    for (const { job } of this.following.unfinished())
      if (message.includes(job)) {
        this.following.forget(job);
        this.catchingUp.delete(job);
        this.hearer.unknown(job);
      }
  }
}
