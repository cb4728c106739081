import { t } from "../i18n";
import { copiedText, pasteText, removeCut, selection } from "./actions";
import { announce } from "./actions/current";
import { isTyping } from "./keys";

/** Copy, cut and paste the graph by the browser's own events, which need no leave; returns what ends it. */
export function listenToClipboard(): () => void {
  const take = (event: ClipboardEvent) => {
    if (!isMeant(event)) return;
    const text = copiedText();
    if (text === null || event.clipboardData === null) return;
    event.clipboardData.setData("text/plain", text);
    event.preventDefault();
    announce(t("editor.didCopy", { count: selection().length }));
    if (event.type === "cut") removeCut();
  };
  const paste = (event: ClipboardEvent) => {
    if (isMeant(event) && pasteText(event.clipboardData?.getData("text/plain") ?? "")) event.preventDefault();
  };
  document.addEventListener("copy", take);
  document.addEventListener("cut", take);
  document.addEventListener("paste", paste);
  return () => {
    document.removeEventListener("copy", take);
    document.removeEventListener("cut", take);
    document.removeEventListener("paste", paste);
  };
}

/** Whether the event is about the graph, not about text in a field, a dialog or a panel. */
function isMeant(event: ClipboardEvent): boolean {
  if (isTyping(event.target) || document.querySelector("dialog[open]") !== null) return false;
  const marked = document.getSelection();
  return marked === null || marked.isCollapsed;
}
