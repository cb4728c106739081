import { useCallback, useEffect, useRef, useState } from "react";
import * as api from "../api/routes";
import { t } from "../i18n";
import { useData } from "../run/dataStore";
import { isPicture } from "../run/pictures";
import { attempt } from "../run/tell";
import { ASSET_DRAG } from "../widgets/pictures";
import { type LargePicture, useLightbox } from "./lightboxStore";
import { gridOf } from "./window";

const SMALLEST = 100;
const GAP = 8;
const NEAR_END = 600;

/** Every picture that was made or brought, the newest first. */
export function GalleryPanel() {
  const { pictures, more } = usePictures();
  const [chosen, setChosen] = useState<readonly string[] | null>(null);
  const choose = (asset: string) => {
    const now = chosen?.includes(asset) ? chosen.filter((each) => each !== asset) : [...(chosen ?? []), asset];
    setChosen(now);
    const [one, other] = now.map((each) => pictures?.find((picture) => picture.asset === each));
    if (one === undefined || other === undefined) return;
    useLightbox.getState().compare(one, other);
    setChosen(null);
  };
  if (pictures === null) return <p className="hint">{t("data.loading")}</p>;
  if (pictures.length === 0) return <p className="hint">{t("data.galleryEmpty")}</p>;
  return (
    <div className="panelbody filling">
      <div className="toolrow">
        <button
          type="button"
          className="secondary"
          aria-pressed={chosen !== null}
          onClick={() => setChosen(chosen === null ? [] : null)}
        >
          {t("data.compareTwo")}
        </button>
        <span className="remedy" role="status">
          {chosen !== null && t("data.chooseTwo")}
        </span>
      </div>
      <Thumbnails pictures={pictures} chosen={chosen} choose={choose} more={more} />
    </div>
  );
}

interface ThumbnailsProps {
  pictures: readonly LargePicture[];
  chosen: readonly string[] | null;
  choose(asset: string): void;
  more(): void;
}

function Thumbnails({ pictures, chosen, choose, more }: ThumbnailsProps) {
  const place = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ width: 328, top: 0, shown: 800 });
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const look = () => setView({ width: element.clientWidth, top: element.scrollTop, shown: element.clientHeight });
    const observer = new ResizeObserver(look);
    observer.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, []);
  const grid = gridOf(pictures.length, view.width, view.top, view.shown, SMALLEST, GAP);
  const isNearEnd = view.top + view.shown > grid.height - NEAR_END;
  useEffect(() => {
    if (isNearEnd) more();
  }, [isNearEnd, more]);
  return (
    <div ref={place} className="thumbnails">
      <ul style={{ height: grid.height }} aria-label={t("panels.gallery")}>
        {pictures.slice(grid.first, grid.end).map((picture, offset) => {
          const index = grid.first + offset;
          const isChosen = chosen?.includes(picture.asset) === true;
          return (
            <li
              key={picture.asset}
              style={{
                width: grid.side - GAP,
                height: grid.side - GAP,
                transform: `translate(${(index % grid.columns) * grid.side}px, ${Math.floor(index / grid.columns) * grid.side}px)`,
              }}
            >
              <button
                type="button"
                aria-label={t(chosen === null ? "data.openPicture" : "data.choosePicture", { name: picture.name })}
                aria-pressed={chosen === null ? undefined : isChosen}
                draggable
                onDragStart={(event) => event.dataTransfer.setData(ASSET_DRAG, JSON.stringify(picture))}
                onClick={() => (chosen === null ? useLightbox.getState().show(pictures, index) : choose(picture.asset))}
              >
                <img src={api.thumbnailUrl(picture.asset)} alt="" />
              </button>
            </li>
          );
        })}
      </ul>
    </div>
  );
}

function usePictures(): { pictures: readonly LargePicture[] | null; more(): void } {
  const ended = useData((state) => state.ended);
  const [pictures, setPictures] = useState<readonly LargePicture[] | null>(null);
  const next = useRef<number | null>(null);
  const reading = useRef(false);
  const read = useCallback(async (before?: number) => {
    if (reading.current) return;
    reading.current = true;
    const answer = await attempt(() => api.listAssets(before));
    reading.current = false;
    if (answer === null) return;
    next.current = answer.next ?? null;
    const found = answer.assets.filter(isPicture).map(largeOf);
    setPictures((now) => unique(before === undefined ? found : [...(now ?? []), ...found]));
  }, []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: there may be more when a job ends
  useEffect(() => {
    void read();
  }, [read, ended]);
  const more = useCallback(() => {
    if (next.current !== null) void read(next.current);
  }, [read]);
  return { pictures, more };
}

function unique(pictures: readonly LargePicture[]): LargePicture[] {
  return [...new Map(pictures.map((picture) => [picture.asset, picture])).values()];
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
