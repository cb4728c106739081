/** Tell of what went wrong or right, in words and for screen readers. */
import { ApiError } from "../api/client";
import { PartMissing, reloadPage } from "../app/lazily";
import { t } from "../i18n";
import { type Notice, useUi } from "../stores/uiStore";

export function tellError(error: unknown): void {
  if (error instanceof DOMException && error.name === "AbortError") return;
  if (error instanceof ApiError && (error.status === 401 || error.code === "unreachable")) return; // shown as a state
  if (error instanceof PartMissing) {
    const action = { label: t("state.reload"), run: reloadPage };
    useUi.getState().notify({ kind: "error", text: t("data.failed"), remedy: error.message, action });
    return;
  }
  const text = error instanceof Error ? error.message : String(error);
  const remedy = error instanceof ApiError ? error.remedy : "";
  useUi.getState().notify({ kind: "error", text, ...(remedy !== "" && { remedy }) });
}

export function tell(text: string, action?: Notice["action"]): void {
  useUi.getState().notify({ kind: "info", text, ...(action && { action }) });
}

export function tellDone(text: string, action?: Notice["action"]): void {
  useUi.getState().notify({ kind: "done", text, ...(action && { action }) });
}

/** Do something that the server may refuse, and tell if it does. */
export async function attempt<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    tellError(error);
    return null;
  }
}
