import * as clipboard from "../../graph/clipboard";
import { duplicate, removeNodes } from "../../graph/edits";
import { t } from "../../i18n";
import { useEditor } from "../../stores/editorStore";
import { useUi } from "../../stores/uiStore";
import { centerOfView, pointerPlace } from "../view";
import { announce, change, current } from "./current";
import { selection } from "./selection";

/** Give what is selected as text; null if nothing is. */
export function copiedText(): string | null {
  const now = current();
  const ids = selection();
  return now === null || ids.length === 0
    ? null
    : clipboard.copySelection(now.graph, ids, now.document, { outerLinks: true });
}

export async function copySelection(): Promise<void> {
  const text = copiedText();
  if (text === null) return;
  await navigator.clipboard.writeText(text);
  announce(t("editor.didCopy", { count: selection().length }));
}

export async function cutSelection(): Promise<void> {
  await copySelection();
  removeCut();
}

export function removeCut(): void {
  const ids = selection();
  change(t("editor.cut"), (graph) => removeNodes(graph, ids));
  useEditor.getState().select([]);
}

export async function pasteFromClipboard(): Promise<void> {
  try {
    pasteText(await navigator.clipboard.readText());
  } catch {
    // The browser's user may forbid reading; the key needs no leave.
    useUi.getState().notify({ kind: "info", text: t("editor.cantPaste"), remedy: t("editor.cantPasteRemedy") });
  }
}

/** Paste where the pointer is, or else into the middle of the view. Tells whether the text was ours. */
export function pasteText(text: string): boolean {
  const now = current();
  if (now === null || !clipboard.isClipboardText(text)) return false;
  const { x, y } = pointerPlace() ?? centerOfView();
  let ids: string[] = [];
  const pasted = change(t("editor.paste"), (graph, document) => {
    ids = clipboard.pasteSelection(graph, text, [x, y], document);
  });
  if (!pasted) return true;
  useEditor.getState().select(ids);
  announce(t("editor.didPaste", { count: ids.length }));
  return true;
}

export function duplicateSelection(): void {
  let ids: string[] = [];
  change(t("editor.duplicate"), (graph) => {
    ids = duplicate(graph, selection());
  });
  useEditor.getState().select(ids);
}
