/** Bring files to the server, telling how far it is: fetch can't tell that, XMLHttpRequest can. */
import { API, ApiError, errorOf } from "../api/client";
import type { Asset } from "../api/routes";
import { t } from "../i18n";

/**
 * Upload a file.
 *
 * @param onProgress Is told the share that was sent, 0 to 1.
 */
export function upload(file: Blob, name: string, onProgress: (share: number) => void): Promise<Asset> {
  const form = new FormData();
  form.append("file", file, name);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${API}/assets`);
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onload = () => {
      const answer = new Response(request.responseText, { status: request.status });
      if (request.status < 400) resolve(answer.json() as Promise<Asset>);
      else void errorOf(answer).then(reject);
    };
    request.onerror = () => reject(new ApiError(0, "unreachable", t("widgets.unreachable"), t("widgets.lookRunning")));
    request.send(form);
  });
}

/** Say what went wrong and what to do, in one text. */
export function inWords(error: unknown): string {
  if (error instanceof ApiError) return `${sentence(error.message)} ${error.remedy}`.trim();
  return error instanceof Error ? error.message : String(error);
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
