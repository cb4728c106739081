/** The pictures that the server has, as far as they were read; kept while the gallery is closed. */
import { create } from "zustand";
import { ApiError } from "../api/client";
import * as api from "../api/routes";
import { t } from "../i18n";
import { isPicture } from "../run/pictures";
import { attempt, type Failure, failureOf, tellError } from "../run/tell";
import { useUi } from "../stores/uiStore";
import { type LargePicture, useLightbox } from "./lightboxStore";
import { joined, type Read, withNewest } from "./pages";

interface GalleryState extends Read {
  /** Asked to be deleted; null if nothing is asked. */
  doomed: readonly LargePicture[] | null;
  /** Why the newest couldn't be read. */
  failure: Failure | null;
}

export const useGallery = create<GalleryState>()(() => ({ pictures: null, next: null, doomed: null, failure: null }));

let turn: Promise<void> = Promise.resolve();

/** Do one thing after the other, so that an answer never comes into a list that another one changed. */
function inTurn(work: () => Promise<void>): Promise<void> {
  turn = turn.then(work);
  return turn;
}

export function readNewest(): Promise<void> {
  return inTurn(async () => {
    try {
      const answer = await api.listAssets();
      useGallery.setState({ ...withNewest(useGallery.getState(), pageOf(answer)), failure: null });
    } catch (error) {
      useGallery.setState({ failure: failureOf(error) });
    }
  });
}

export function readMore(): Promise<void> {
  return inTurn(async () => {
    const { next } = useGallery.getState();
    if (next === null) return;
    const answer = await attempt(() => api.listAssets(next));
    if (answer !== null) useGallery.setState(joined(useGallery.getState(), pageOf(answer)));
  });
}

export function askToDelete(pictures: readonly LargePicture[]): void {
  if (pictures.length > 0) useGallery.setState({ doomed: pictures });
}

/** Delete files on the server, and show them no more. */
export function deletePictures(pictures: readonly LargePicture[]): Promise<void> {
  return inTurn(async () => {
    const gone = new Set<string>();
    for (const { asset } of pictures) {
      try {
        await api.deleteAsset(asset);
      } catch (error) {
        const isGone = error instanceof ApiError && error.status === 404;
        if (!isGone) {
          tellError(error);
          break; // the others would be refused for the same reason
        }
      }
      gone.add(asset);
    }
    useGallery.setState({ pictures: without(useGallery.getState().pictures ?? [], gone) });
    useLightbox.getState().drop(gone);
    useUi.getState().announce(t("data.picturesDeleted", { count: gone.size }));
  });
}

function without(pictures: readonly LargePicture[], gone: ReadonlySet<string>): LargePicture[] {
  return pictures.filter(({ asset }) => !gone.has(asset));
}

function pageOf(answer: Awaited<ReturnType<typeof api.listAssets>>) {
  return {
    pictures: answer.assets.filter(isPicture).map(largeOf),
    oldest: answer.assets.at(-1)?.created ?? 0,
    next: answer.next ?? null,
  };
}

function largeOf(asset: api.Asset): LargePicture {
  return {
    asset: asset.asset,
    name: asset.name,
    sizeBytes: asset.size_bytes,
    job: asset.job ?? null,
    created: asset.created,
  };
}
