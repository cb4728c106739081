/** Files: opened, dropped, saved and exported. Loaded when first needed. */
import { ApiError } from "../api/client";
import * as api from "../api/routes";
import { nameOf } from "../app/Tabs";
import { useCanvas } from "../editor/canvasStore";
import { type DeclaredInput, DocumentError, dumpJson, type Json } from "../graph/document";
import { addNode } from "../graph/edits";
import { dumpWorkflow, readDropped } from "../graph/files";
import { t } from "../i18n";
import { activeTab, useEditor } from "../stores/editorStore";
import { useRun } from "../stores/runStore";
import { useUi } from "../stores/uiStore";
import { askName } from "./askStore";
import { saveTab } from "./autosave";
import { isPicture, shownOf } from "./pictures";
import { withWorkflow } from "./pngText";
import { refreshLibrary } from "./session";
import { attempt, tellDone } from "./tell";

const BETWEEN_PICTURES = 40;

/** Open the workflows among files, and make nodes of the pictures, where they were dropped. */
export async function takeFiles(files: readonly File[], at: { x: number; y: number } | null): Promise<void> {
  let pictures = 0;
  for (const file of files) {
    try {
      const dropped = await readDropped(file);
      if (dropped.kind === "workflow") {
        useEditor.getState().open(dropped.workflow, { unsaved: true });
        useUi.getState().announce(t("data.opened", { name: file.name }));
      } else {
        await addPicture(file, at, pictures * BETWEEN_PICTURES);
        pictures += 1;
      }
    } catch (error) {
      tellUnreadable(file.name, error);
    }
  }
}

function tellUnreadable(name: string, error: unknown): void {
  const remedy = error instanceof ApiError ? error.remedy : t("data.notReadableRemedy");
  const text =
    error instanceof DocumentError || error instanceof ApiError
      ? `${name}: ${error.message}`
      : t("data.notReadable", { name });
  useUi.getState().notify({ kind: "error", text, remedy });
}

async function addPicture(file: File, at: { x: number; y: number } | null, shift: number): Promise<void> {
  const asset = await api.uploadAsset(file, file.name);
  const { definitions, edit, select } = useEditor.getState();
  const { flow } = useCanvas.getState();
  const screen = at ?? { x: window.innerWidth / 2, y: window.innerHeight / 2 };
  const place = flow?.screenToFlowPosition(screen) ?? { x: 0, y: 0 };
  let id = "";
  edit(t("data.addImage"), (graph) => {
    const kind = definitions.get("LoadImage") ?? "LoadImage";
    id = addNode(graph, kind, [Math.round(place.x + shift), Math.round(place.y + shift)], {
      image: asset.input ?? asset.name,
    });
  });
  select([id]);
  useUi.getState().announce(t("data.imageAdded", { name: file.name }));
}

export function chooseFile(): void {
  const field = document.createElement("input");
  field.type = "file";
  field.accept = ".json,.png,application/json,image/*";
  field.multiple = true;
  field.onchange = () => void takeFiles([...(field.files ?? [])], null);
  field.click();
}

/** Save under its name; ask for one if it has none. */
export async function save(): Promise<void> {
  const tab = activeTab(useEditor.getState());
  if (tab === undefined) return;
  if (tab.name === null) return saveAs();
  if (await saveTab(tab)) useUi.getState().announce(t("data.saved", { name: tab.name }));
}

export async function saveAs(): Promise<void> {
  const tab = activeTab(useEditor.getState());
  if (tab === undefined) return;
  const name = await askName(t("data.saveAs"), nameOf(tab));
  if (name === null) return;
  const document = tab.history.present;
  const saved = await attempt(() => api.saveWorkflow(name, document, null));
  if (saved === null) return;
  useEditor.getState().noteSaved(tab.id, document, saved.name, saved.version);
  tellDone(t("data.saved", { name: saved.name }));
  await refreshLibrary();
}

export function exportFile(): void {
  const tab = activeTab(useEditor.getState());
  if (tab === undefined) return;
  const text = dumpWorkflow(tab.history.present);
  download(new Blob([text], { type: "application/json" }), `${fileName(nameOf(tab))}.json`);
}

/** The newest result, with the workflow as it is now in it. */
export async function exportImage(): Promise<void> {
  const tab = activeTab(useEditor.getState());
  if (tab === undefined) return;
  const { result } = shownOf(useRun.getState().jobs, tab.id);
  const file = result?.outputs.filter(isPicture).findLast((each) => each.media_type === "image/png");
  if (file === undefined) {
    useUi.getState().notify({ kind: "info", text: t("data.noPictureYet") });
    return;
  }
  const bytes = await attempt(async () => new Uint8Array(await (await fetch(api.assetUrl(file.asset))).arrayBuffer()));
  if (bytes === null) return;
  const png = withWorkflow(bytes, dumpJson(tab.history.present));
  download(new Blob([png], { type: "image/png" }), `${fileName(nameOf(tab))}.png`);
}

export async function copyCommand(): Promise<void> {
  const tab = activeTab(useEditor.getState());
  if (tab === undefined) return;
  const command = commandFor(`${fileName(nameOf(tab))}.json`, tab.history.present.inputs ?? {});
  await attempt(() => navigator.clipboard.writeText(command));
  tellDone(t("data.commandCopied", { command }));
}

/** Give the command that runs a workflow's file with its inputs as they are. */
export function commandFor(file: string, inputs: Readonly<Record<string, DeclaredInput>>): string {
  const settings = Object.entries(inputs).flatMap(([name, { default: value }]) =>
    value === undefined || value === null ? [] : [`--set ${quoted(`${name}=${valueText(value)}`)}`],
  );
  return ["graphengine run", quoted(file), ...settings].join(" ");
}

function valueText(value: Json): string {
  return typeof value === "string" ? value : dumpJson(value);
}

/** Quote a word for a POSIX shell. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

export function fileName(name: string): string {
  return name.replace(/[^\p{L}\p{N}._-]+/gu, "_").replace(/^[-._]+|_+$/g, "") || "workflow";
}

export function download(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  useUi.getState().announce(t("data.exported", { name }));
}
