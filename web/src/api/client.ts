/** Requests to the server: JSON without lost digits, and errors that say what to do. */
import { dumpJson, isObject, type Json, parseJson } from "../graph/document";
import type { Problem } from "../stores/runStore";

export const API = "/api/v1";

/** The server refused, or could not be reached; as RFC 9457 has it. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly remedy: string;
  readonly problems: readonly Problem[];
  /** More that the server tells, such as the version that is in the way. */
  readonly members: Readonly<Record<string, unknown>>;

  constructor(status: number, code: string, message: string, remedy = "", members: Record<string, unknown> = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.remedy = remedy;
    this.members = members;
    this.problems = Array.isArray(members["problems"]) ? (members["problems"] as Problem[]) : [];
  }
}

export interface Options {
  query?: Record<string, string | number | undefined>;
  headers?: Record<string, string>;
  /** Sent as JSON. */
  body?: unknown;
  signal?: AbortSignal;
}

let onTokenNeeded: () => void = () => {};
let onUnreachable: () => void = () => {};

/** Say who is told that a request was refused for want of a token, or found no server. */
export function whenRefused(tokenNeeded: () => void, unreachable: () => void): void {
  onTokenNeeded = tokenNeeded;
  onUnreachable = unreachable;
}

/** Send a request and give the answer, whatever its status below 400. */
export async function send(method: string, path: string, options: Options = {}, raw?: BodyInit): Promise<Response> {
  const init: RequestInit = { method, credentials: "same-origin", headers: { ...options.headers } };
  if (options.signal !== undefined) init.signal = options.signal;
  if (raw !== undefined) init.body = raw;
  else if (options.body !== undefined) {
    init.body = dumpJson(options.body);
    init.headers = { ...options.headers, "Content-Type": "application/json" };
  }
  let answer: Response;
  try {
    answer = await fetch(`${API}${path}${queryOf(options.query)}`, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    onUnreachable();
    throw new ApiError(0, "unreachable", "The server can't be reached.", "Look whether it is running.");
  }
  if (answer.status >= 400) throw await errorOf(answer);
  return answer;
}

/** Send a request and read its JSON answer. */
export async function call<T>(method: string, path: string, options: Options = {}): Promise<T> {
  const answer = await send(method, path, options);
  const text = await answer.text();
  return (text === "" ? null : parseJson(text)) as T;
}

/** Write a name as a part of an address; names may have folders. */
export function inPath(name: string): string {
  return name.split("/").map(encodeURIComponent).join("/");
}

function queryOf(query: Options["query"]): string {
  const given = Object.entries(query ?? {}).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)]],
  );
  return given.length === 0 ? "" : `?${new URLSearchParams(given)}`;
}

/** Read a refusal; what is no problem document, such as a proxy's page, is told by its status. */
export async function errorOf(answer: Response): Promise<ApiError> {
  let told: Json = null;
  try {
    told = parseJson(await answer.text());
  } catch {
    // not from our server; its status is all there is to tell
  }
  const members = isObject(told) ? told : {};
  const code = typeof members["code"] === "string" ? members["code"] : `http_${answer.status}`;
  const message = [members["detail"], members["title"]].find((each) => typeof each === "string" && each !== "");
  const remedy = typeof members["remedy"] === "string" ? members["remedy"] : "";
  if (answer.status === 401) onTokenNeeded();
  else if (answer.status >= 502 && answer.status <= 504 && members["code"] === undefined) onUnreachable();
  return new ApiError(
    answer.status,
    code,
    (message as string) ?? `The server answered ${answer.status}.`,
    remedy,
    members,
  );
}
