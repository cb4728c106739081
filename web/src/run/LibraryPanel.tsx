import { type FormEvent, type MouseEvent, useCallback, useEffect, useState } from "react";
import * as api from "../api/routes";
import { useCanvas } from "../editor/canvasStore";
import { t } from "../i18n";
import { useEditor } from "../stores/editorStore";
import { useRun } from "../stores/runStore";
import { useData } from "./dataStore";
import { Failed } from "./Failed";
import { Icon } from "./icons";
import { timeText } from "./pictures";
import { refreshLibrary } from "./session";
import { attempt, tell, tellDone } from "./tell";
import { useReading } from "./useReading";

/** Saved workflows, and those that came with the server. */
export function LibraryPanel() {
  const library = useData((state) => state.library);
  const failure = useData((state) => state.libraryFailure);
  const isConnected = useRun((state) => state.connection === "connected");
  const [text, setText] = useState("");
  const [versionsOf, setVersionsOf] = useState<api.Saved | null>(null);
  const [renaming, setRenaming] = useState<string | null>(null);
  useEffect(() => {
    if (isConnected) void refreshLibrary();
  }, [isConnected]);
  if (failure !== null) return <Failed failure={failure} again={refreshLibrary} />;
  if (library === null) return <p className="hint">{t("data.loading")}</p>;
  if (versionsOf !== null) return <Versions saved={versionsOf} back={() => setVersionsOf(null)} />;
  const found = library.filter((saved) => matches(saved, text));
  const list = (title: string, items: readonly api.Saved[], none: string) => (
    <section aria-label={title}>
      <h3>{title}</h3>
      {items.length === 0 && none !== "" && <p className="hint">{none}</p>}
      <ul className="rows">
        {items.map((saved) =>
          renaming === saved.name ? (
            <RenameRow key={saved.name} saved={saved} done={() => setRenaming(null)} />
          ) : (
            <WorkflowRow
              key={saved.name}
              saved={saved}
              showMenu={(event) => showMenu(event, saved, setVersionsOf, setRenaming)}
            />
          ),
        )}
      </ul>
    </section>
  );
  return (
    <div className="panelbody">
      <input
        className="field"
        type="search"
        placeholder={t("data.search")}
        aria-label={t("data.searchWorkflows")}
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      {found.length === 0 && text !== "" && <p className="hint">{t("data.noneFound", { text })}</p>}
      {list(
        t("data.yours"),
        found.filter((saved) => !saved.shipped),
        text === "" ? t("data.noneYours") : "",
      )}
      {list(
        t("data.shipped"),
        found.filter((saved) => saved.shipped),
        "",
      )}
      <TrashList />
    </div>
  );
}

function matches(saved: api.Saved, text: string): boolean {
  const all = `${saved.name} ${saved.title} ${saved.description}`.toLowerCase();
  return text
    .toLowerCase()
    .split(/\s+/)
    .every((word) => all.includes(word));
}

function WorkflowRow({ saved, showMenu }: { saved: api.Saved; showMenu(event: MouseEvent<HTMLButtonElement>): void }) {
  const name = saved.shipped ? saved.title || saved.name : saved.name;
  const about = saved.error || saved.description || (saved.shipped ? "" : timeText(saved.modified));
  return (
    <li className="row">
      <div className="main">
        <button type="button" className="title" disabled={saved.error !== ""} onClick={() => openSaved(saved)}>
          {name}
        </button>
        <span className={saved.error === "" ? "sub" : "sub bad"}>
          {saved.error === "" ? about : `${t("data.damaged")}: ${saved.error}`}
        </span>
      </div>
      {!saved.shipped && (
        <div className="acts">
          <button
            type="button"
            className="quiet icon"
            aria-haspopup="menu"
            aria-label={t("data.actionsFor", { name })}
            onClick={showMenu}
          >
            <Icon name="more" size={16} />
          </button>
        </div>
      )}
    </li>
  );
}

function showMenu(
  event: MouseEvent<HTMLButtonElement>,
  saved: api.Saved,
  showVersions: (saved: api.Saved) => void,
  rename: (name: string) => void,
): void {
  const { left, bottom } = event.currentTarget.getBoundingClientRect();
  useCanvas.getState().set({
    menu: {
      x: left,
      y: bottom,
      label: t("data.actionsFor", { name: saved.name }),
      entries: [
        { label: t("data.open"), run: () => openSaved(saved) },
        { label: t("data.rename"), run: () => rename(saved.name) },
        { label: t("data.versions"), run: () => showVersions(saved) },
        "line",
        { label: t("data.delete"), danger: true, run: () => remove(saved) },
      ],
    },
  });
}

/** Open a workflow, or show it if it is open. A shipped one is a template: what is made of it has no name yet. */
export async function openSaved({ name, shipped }: Pick<api.Saved, "name" | "shipped">): Promise<void> {
  const { tabs, activate, open } = useEditor.getState();
  const isOpen = tabs.find((tab) => tab.name === name);
  if (isOpen !== undefined && !shipped) return activate(isOpen.id);
  const read = await attempt(() => api.readWorkflow(name));
  if (read !== null) open(read.workflow, shipped ? {} : { name, version: read.saved.version });
}

async function remove(saved: api.Saved): Promise<void> {
  const trashed = await attempt(() => api.deleteWorkflow(saved.name, saved.version));
  await refreshLibrary();
  if (trashed === null) return;
  tell(t("data.deleted", { name: saved.name }), { label: t("data.undo"), run: () => restore(trashed) });
}

async function restore(trashed: api.Trashed): Promise<void> {
  if ((await attempt(() => api.restoreTrashed(trashed.id))) !== null)
    tellDone(t("data.restored", { name: trashed.name }));
  await refreshLibrary();
}

function RenameRow({ saved, done }: { saved: api.Saved; done(): void }) {
  const [name, setName] = useState(saved.name);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (name.trim() !== "" && name !== saved.name) await attempt(() => rename(saved, name.trim()));
    await refreshLibrary();
    done();
  };
  return (
    <li className="row">
      <form className="main" onSubmit={submit}>
        <input
          className="field"
          aria-label={t("data.nameOf")}
          ref={(field) => field?.focus()}
          value={name}
          onChange={(event) => setName(event.target.value)}
          onKeyDown={(event) => {
            if (event.key !== "Escape") return;
            event.preventDefault();
            done();
          }}
        />
      </form>
    </li>
  );
}

async function rename(saved: api.Saved, name: string): Promise<void> {
  const renamed = await api.renameWorkflow(saved.name, name, saved.version);
  const { tabs, noteSaved } = useEditor.getState();
  for (const tab of tabs) {
    if (tab.name !== saved.name) continue;
    // a tab that was opened before somebody else saved still has to be told of that
    noteSaved(tab.id, tab.saved, renamed.name, tab.version === saved.version ? renamed.version : (tab.version ?? ""));
  }
}

function Versions({ saved, back }: { saved: api.Saved; back(): void }) {
  const { value, failure, again } = useReading(useCallback(() => api.getRevisions(saved.name), [saved.name]));
  const open = async (version: string) => {
    const read = await attempt(() => api.readWorkflow(saved.name, version));
    if (read !== null) useEditor.getState().open(read.workflow, { unsaved: true });
  };
  return (
    <div className="panelbody">
      <button type="button" className="link" onClick={back}>
        ‹ {t("panels.library")}
      </button>
      <h3>
        {saved.name}: {t("data.versions")}
      </h3>
      {failure !== null && <Failed failure={failure} again={again} />}
      {value?.revisions.length === 0 && <p className="hint">{t("data.noVersions")}</p>}
      <ul className="rows">
        {(value?.revisions ?? []).map((revision) => (
          <li key={revision.version} className="row">
            <div className="main">
              <button type="button" className="title" onClick={() => open(revision.version)}>
                {t("data.version", { time: timeText(revision.saved) })}
              </button>
            </div>
          </li>
        ))}
      </ul>
    </div>
  );
}

function TrashList() {
  const library = useData((state) => state.library);
  const [trashed, setTrashed] = useState<readonly api.Trashed[]>([]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: what is deleted changes with the library
  useEffect(() => {
    void attempt(() => api.listTrash()).then((answer) => setTrashed(answer?.workflows ?? []));
  }, [library]);
  if (trashed.length === 0) return null;
  return (
    <details>
      <summary>
        {t("data.trash")} ({trashed.length})
      </summary>
      <ul className="rows">
        {trashed.map((each) => (
          <li key={each.id} className="row">
            <span className="main title">{each.name}</span>
            <button type="button" className="secondary" onClick={() => restore(each)}>
              {t("data.restore")}
            </button>
          </li>
        ))}
      </ul>
    </details>
  );
}
