/** Tell of what went wrong or right, in words and for screen readers. */
import { ApiError } from "../api/client";
import { PartMissing, reloadPage } from "../app/lazily";
import { t } from "../i18n";
import { useRun } from "../stores/runStore";
import { type Notice, useUi } from "../stores/uiStore";

/** What went wrong, and what to do about it, if that is known. */
export interface Failure {
  text: string;
  remedy: string;
}

export function failureOf(error: unknown): Failure {
  if (error instanceof PartMissing) return { text: t("data.failed"), remedy: error.message };
  const text = error instanceof Error ? error.message : String(error);
  return { text, remedy: error instanceof ApiError ? error.remedy : "" };
}

export function tellError(error: unknown): void {
  if (error instanceof DOMException && error.name === "AbortError") return;
  const { connection } = useRun.getState();
  if (error instanceof ApiError && error.status === 401) return; // asked for by a dialog
  if (error instanceof ApiError && error.code === "unreachable" && connection === "lost") return; // told by a banner
  const { text, remedy } = failureOf(error);
  const action = error instanceof PartMissing ? { label: t("state.reload"), run: reloadPage } : null;
  useUi.getState().notify({ kind: "error", text, ...(remedy !== "" && { remedy }), ...(action && { action }) });
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
