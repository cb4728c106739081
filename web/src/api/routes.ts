/** What the server can be asked, one function each; the types come from its OpenAPI description. */
import type { NodeDefinition } from "../graph/definitions";
import { type Json, parseJson, type WorkflowDoc } from "../graph/document";
import type { PlannedNode, Problem } from "../stores/runStore";
import { API, call, inPath, send } from "./client";
import type { components } from "./schema";

type Schemas = components["schemas"];
export type Job = Schemas["Job"];
export type JobOutput = Schemas["JobOutput"];
export type Queue = Schemas["QueueAnswer"];
export type QueuedJob = Schemas["QueuedJob"];
export type Saved = Schemas["Saved"];
export type Asset = Schemas["AssetAnswer"];
export type Revision = Schemas["RevisionAnswer"];
export type Probed = Schemas["ProbeAnswer"];
export type Trashed = Schemas["Trashed"];

export interface DefinitionsAnswer {
  nodes: Record<string, NodeDefinition>;
  failures?: Record<string, string>;
  conflicts?: Json;
}

export interface SavedDocument {
  saved: Saved;
  workflow: WorkflowDoc;
}

export interface Plan {
  steps: ({ node: string; node_type: string } & PlannedNode)[];
  seconds: number;
  size_bytes: number;
  unknown: number;
  problems: Problem[];
  warnings: Problem[];
}

export interface RunOptions {
  name?: string;
  targets?: readonly string[] | null;
  priority?: number;
  inputs?: Record<string, Json>;
}

let known: { etag: string; answer: DefinitionsAnswer } | null = null;

/** Give all node definitions; the same object again while the server has the same. */
export async function getDefinitions(): Promise<DefinitionsAnswer> {
  const headers = known === null ? {} : { "If-None-Match": known.etag };
  const answer = await send("GET", "/nodes", { headers });
  if (answer.status === 304 && known !== null) return known.answer;
  const read = parseJson(await answer.text()) as unknown as DefinitionsAnswer;
  known = { etag: answer.headers.get("ETag") ?? "", answer: read };
  return read;
}

export const getQueue = (signal?: AbortSignal) => call<Queue>("GET", "/queue", signal ? { signal } : {});
export const pauseQueue = (paused: boolean) => call<null>("POST", paused ? "/queue/pause" : "/queue/resume");

export const submitJob = (workflow: WorkflowDoc, options: RunOptions, key: string) =>
  call<{ job: Job; is_new: boolean; warnings: Problem[] }>("POST", "/jobs", {
    body: { ...options, workflow },
    headers: { "Idempotency-Key": key },
  });
export const getJob = (id: string) => call<{ job: Job }>("GET", `/jobs/${id}`);
export const getJobWorkflow = (id: string) => call<WorkflowDoc>("GET", `/jobs/${id}/workflow`);
export const getJobEvents = (id: string) => call<{ events: Json[] }>("GET", `/jobs/${id}/events`);
export const getJobLog = (id: string) => call<{ text: string; truncated: boolean }>("GET", `/jobs/${id}/log`);
export const cancelJob = (id: string) => call<{ job: Job }>("POST", `/jobs/${id}/cancel`);
export const retryJob = (id: string) => call<{ job: Job }>("POST", `/jobs/${id}/retry`);
export const moveJob = (id: string, to: { before?: string | null; priority?: number }) =>
  call<{ job: Job }>("POST", `/jobs/${id}/move`, { body: to });
/** List ended jobs, the newest first. */
export function listEnded(text: string, before?: number): Promise<{ jobs: Job[]; next?: number | null }> {
  const states = ["done", "failed", "cancelled", "poison"].map((state) => `state=${state}`).join("&");
  const query = new URLSearchParams({ limit: "40" });
  if (text !== "") query.set("text", text);
  if (before !== undefined) query.set("before", String(before));
  return call("GET", `/jobs?${states}&${query}`);
}

export const checkWorkflow = (workflow: WorkflowDoc, signal: AbortSignal) =>
  call<{ sound: boolean; problems: Problem[] }>("POST", "/check", { body: { workflow }, signal });
/** Say which sockets a wire from one would bring together with what wasn't made for them; node ids are full ones. */
export const checkWire = (
  workflow: WorkflowDoc,
  from: { node: string; name: string; side: "input" | "output" },
  signal: AbortSignal,
) =>
  call<{ misfits: { node: string; name: string; problem: Problem }[] }>("POST", "/check/wire", {
    body: { workflow, ...from },
    signal,
  });
export const planWorkflow = (workflow: WorkflowDoc, signal: AbortSignal) =>
  call<{ plan: Plan }>("POST", "/plan", { body: { workflow }, signal });

/** Describe the value that an output gave last, if a worker has it in memory; node ids are full ones. */
export const probeOutput = (workflow: WorkflowDoc, node: string, output: string, signal: AbortSignal) =>
  call<Probed>("POST", "/probe", { body: { workflow, node, output }, signal });

export const listWorkflows = () => call<{ workflows: Saved[] }>("GET", "/workflows");
export const readWorkflow = (name: string, version?: string) =>
  call<SavedDocument>("GET", `/workflows/${inPath(name)}`, { query: { version } });
export const saveWorkflow = (name: string, workflow: WorkflowDoc, version: string | null) =>
  call<Saved>("PUT", `/workflows/${inPath(name)}`, { body: { workflow, version } });
export const renameWorkflow = (name: string, newName: string, version: string) =>
  call<Saved>("POST", `/workflows/${inPath(name)}/rename`, { body: { name: newName, version } });
export const deleteWorkflow = (name: string, version: string) =>
  call<Trashed>("DELETE", `/workflows/${inPath(name)}`, { query: { version } });
export const getRevisions = (name: string) =>
  call<{ revisions: Revision[] }>("GET", `/workflows/${inPath(name)}/history`);
export const listTrash = () => call<{ workflows: Trashed[] }>("GET", "/trash");
export const restoreTrashed = (id: string) => call<Saved>("POST", `/trash/${encodeURIComponent(id)}/restore`);

export const listAssets = (before?: number) =>
  call<{ assets: Asset[]; next?: number | null }>("GET", "/assets", { query: { before, limit: 100 } });
export const deleteAsset = (asset: string) => call<null>("DELETE", `/assets/${asset}`);
export async function uploadAsset(file: Blob, name: string): Promise<Asset> {
  const form = new FormData();
  form.append("file", file, name);
  return (await send("POST", "/assets", {}, form)).json() as Promise<Asset>;
}
/** Words that model files (`KIND/NAME`) know, and those that were learned beside them. */
export const getWords = (of: readonly string[]) =>
  call<{ words: string[] }>("GET", `/words?${new URLSearchParams(of.map((each) => ["of", each]))}`);
export const listFiles = (kind: string) => call<{ names: string[] }>("GET", `/files/${encodeURIComponent(kind)}`);

/** Where the picture is that an input names; with a size, a small one of it. */
export const fileUrl = (kind: string, name: string, size?: 128 | 256 | 512) =>
  `${API}/files/${encodeURIComponent(kind)}/${inPath(name)}${size === undefined ? "" : `?size=${size}`}`;

export const assetUrl = (asset: string) => `${API}/assets/${asset}`;
export const thumbnailUrl = (asset: string, side: 128 | 256 | 512 = 256) =>
  `${API}/assets/${asset}/thumbnail?side=${side}`;

export const login = (token: string) => call<{ name: string; owner: string }>("POST", "/login", { body: { token } });
