/** A page's life with the server: what it reads at first, what it opens, what it does when things change. */
import { ApiError, whenRefused } from "../api/client";
import * as api from "../api/routes";
import { onDemand } from "../app/lazily";
import { nameOf } from "../app/Tabs";
import { readDefinitions as completed } from "../graph/definitions";
import { emptyWorkflow } from "../graph/document";
import { t } from "../i18n";
import { isUnsaved, useEditor } from "../stores/editorStore";
import { type JobView, useRun } from "../stores/runStore";
import { useUi } from "../stores/uiStore";
import { takeNewer, watchForSaving } from "./autosave";
import { lookAgain, watchWorkflow } from "./checking";
import { useData } from "./dataStore";
import { dumpDrafts, keep, pageId, readDrafts, readKept } from "./drafts";
import { hearJobs, isHearing, reconnect, showJob } from "./jobs";
import { jumpTo } from "./jump";
import { isOver } from "./reduce";
import { openJobs } from "./submit";
import { attempt, failureOf, tell, tellDone } from "./tell";

const FIRST_WORKFLOW = "text_to_image";
const KEEP_AFTER_MS = 400;
const RETRY_AFTER_MS = 2000;

const ownSockets = onDemand(() => import("./ownSockets"));

let session: { end(): void } | null = null;
let users = 0;
let tryAgain: () => void = () => {};

/** Begin: open what was open, read definitions, hear of jobs. The returned function ends it. */
export function startSession(): () => void {
  users += 1;
  session ??= begin();
  return () => {
    users -= 1;
    // React's strict mode ends and starts effects at once; that is no end of the session
    setTimeout(() => {
      if (users > 0) return;
      session?.end();
      session = null;
    });
  };
}

function begin(): { end(): void } {
  const { setConnection } = useRun.getState();
  whenRefused(
    () => setConnection("token-needed"),
    () => {
      if (!isHearing() && useRun.getState().connection !== "token-needed") setConnection("lost");
    },
  );
  const ends: (() => void)[] = [];
  void open(ends);
  return {
    end() {
      for (const end of ends) end();
    },
  };
}

async function open(ends: (() => void)[]): Promise<void> {
  let ended = false;
  ends.push(() => {
    ended = true;
  });
  const page = await pageId();
  const jobs = reopen(page); // before the server is asked: what was open can be seen and edited without it
  ends.push(watchWorkflow(), watchForSaving(), keepDrafts(page), offerReopening());
  while (!(await readServer())) {
    await new Promise<void>((again) => {
      tryAgain = again;
      if (useRun.getState().connection !== "token-needed") setTimeout(again, RETRY_AFTER_MS);
    });
    if (ended) return;
  }
  ends.push(hearJobs(connected, jobEnded), whenLookedAt(refreshLibrary));
  void attempt(async () => {
    const { watchSockets } = await ownSockets();
    if (!ended) ends.push(watchSockets());
  });
  for (const { job, tab } of jobs) void takeUp(job, tab);
  if (useEditor.getState().tabs.length === 0) await openFirst();
  else lookAgain();
  useData.getState().set({ started: true });
  void refreshLibrary();
}

/** Do something whenever the page is looked at again. */
function whenLookedAt(work: () => void): () => void {
  const look = () => {
    if (!document.hidden) work();
  };
  document.addEventListener("visibilitychange", look);
  return () => document.removeEventListener("visibilitychange", look);
}

/** Read what everything else needs; false if there is no server, or it wants a token. */
async function readServer(): Promise<boolean> {
  try {
    await readDefinitions();
    useRun.getState().setConnection("connected");
    useData.getState().set({ startFailure: null });
    return true;
  } catch (error) {
    // that it is gone or wants a token is shown as a state of its own
    const isState = error instanceof ApiError && (error.status === 401 || error.code === "unreachable");
    useData.getState().set({ startFailure: isState ? null : failureOf(error) });
    return false;
  }
}

async function readDefinitions(): Promise<void> {
  const answer = await api.getDefinitions();
  const { definitions, setDefinitions } = useEditor.getState();
  if (definitions.size === 0 || shown !== answer) setDefinitions(completed(answer.nodes));
  shown = answer;
  useData.getState().set({ packFailures: answer.failures ?? {} });
}

let shown: api.DefinitionsAnswer | null = null;

/** Read what the library holds; the panel that shows it says if it can't be read. */
export async function refreshLibrary(): Promise<void> {
  const { set } = useData.getState();
  try {
    const { workflows } = await api.listWorkflows();
    set({ library: workflows, libraryFailure: null });
    await attempt(() => takeNewer(workflows));
  } catch (error) {
    set({ libraryFailure: failureOf(error) });
  }
}

/** Open what was open, and give the jobs that were started from there. */
function reopen(page: string): { job: string; tab: string }[] {
  const { drafts, active } = readDrafts(readKept(page));
  const editor = useEditor.getState();
  const opened = drafts.map(({ document, jobs, ...about }) => ({
    jobs: jobs ?? [],
    tab: editor.open(document, about),
  }));
  const chosen = opened[active];
  if (chosen !== undefined) editor.activate(chosen.tab);
  return opened.flatMap(({ jobs, tab }) => jobs.map((job) => ({ job, tab })));
}

async function openFirst(): Promise<void> {
  const { open } = useEditor.getState();
  try {
    open((await api.readWorkflow(FIRST_WORKFLOW)).workflow);
  } catch {
    open(emptyWorkflow());
  }
}

/** Show a job of before the page was loaded, and tell if it ended meanwhile. */
async function takeUp(id: string, tab: string): Promise<void> {
  try {
    const { job } = await api.getJob(id);
    showJob(job, tab);
    const wasHere = Number(sessionStorage.getItem("graphengine.left") ?? 0) / 1000;
    if (job.finished !== null && wasHere > 0 && job.finished > wasHere)
      tellOfEnd(useRun.getState().jobs[id] as JobView, true);
  } catch {
    // the server has forgotten it
  }
}

/** A tab with work that is nowhere else can be opened again after it was closed. */
function offerReopening(): () => void {
  return useEditor.subscribe(({ tabs }, before) => {
    if (tabs === before.tabs) return;
    const left = new Set(tabs.map((tab) => tab.id));
    for (const tab of before.tabs.filter((each) => !left.has(each.id) && isUnsaved(each))) {
      const { name, version, history } = tab;
      const reopen = () => useEditor.getState().open(history.present, { name, version, unsaved: true });
      tell(t("data.closed", { name: nameOf(tab) }), { label: t("data.undo"), run: () => void reopen() });
    }
  });
}

/** The jobs that are to be shown again after a reload. */
function jobsOf(tab: string): string[] {
  const shown = useRun.getState().jobOfTab[tab];
  return [...new Set([...openJobs(tab), ...(shown === undefined ? [] : [shown])])];
}

function keepDrafts(page: string): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let told = false;
  const now = () => {
    const { tabs, active } = useEditor.getState();
    if (keep(page, dumpDrafts(tabs, active, jobsOf)) || told) return;
    told = true;
    useUi.getState().notify({ kind: "error", text: t("data.noRoom"), remedy: t("data.noRoomRemedy") });
  };
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(now, KEEP_AFTER_MS);
  };
  const leaving = () => {
    sessionStorage.setItem("graphengine.left", String(Date.now()));
    now();
  };
  const ends = [
    useEditor.subscribe(soon),
    useRun.subscribe((state, before) => {
      if (state.jobOfTab !== before.jobOfTab) soon();
    }),
  ];
  window.addEventListener("pagehide", leaving);
  soon();
  return () => {
    clearTimeout(timer);
    window.removeEventListener("pagehide", leaving);
    for (const end of ends) end();
  };
}

/** The connection is there, for the first time or again. */
async function connected(): Promise<void> {
  await attempt(readDefinitions);
  lookAgain();
}

function jobEnded(job: JobView): void {
  lookAgain();
  if (job.state === "done" && job.tab !== null && openJobs(job.tab).length > 0) return; // of many, the last one tells
  tellOfEnd(job, document.hidden || (job.tab !== null && job.tab !== useEditor.getState().active));
}

function tellOfEnd(job: JobView, wasAway: boolean): void {
  if (job.tab === null || !isOver(job)) return;
  const name = job.name || t("app.untitled");
  const text = t(
    job.state === "done" ? "run.endedDone" : job.state === "cancelled" ? "run.endedCancelled" : "run.endedFailed",
    { name },
  );
  useUi.getState().announce(text);
  const tab = job.tab;
  const failed = Object.entries(job.nodes).find(([, node]) => node.state === "failed")?.[0];
  const action = {
    label: t("run.show"),
    run() {
      useEditor.getState().activate(tab);
      if (failed !== undefined) jumpTo(failed);
    },
  };
  if (job.state !== "done" && job.state !== "cancelled")
    useUi.getState().notify({ kind: "error", text, remedy: job.error?.message ?? "", action });
  else if (wasAway) (job.state === "done" ? tellDone : tell)(text, action);
}

/** Log in, and go on where the page stopped. */
export async function logIn(token: string): Promise<void> {
  await api.login(token);
  useRun.getState().setConnection("connecting");
  tryAgain();
  reconnect();
}
