import { type KeyboardEvent, type RefObject, useEffect, useLayoutEffect, useRef, useState } from "react";
import * as api from "../api/routes";
import { t } from "../i18n";
import { ASSET_DRAG } from "../widgets/pictures";
import { type Pressed, pressedWith } from "./choosing";
import { readMore, useGallery } from "./galleryStore";
import type { LargePicture } from "./lightboxStore";
import { type Grid, gridOf, shownIn, turnTo } from "./window";

const SMALLEST = 100;
const GAP = 8;
const NEAR_END = 600;
/** In pixels per ms: what flies by faster isn't loaded, or the server would make small pictures that nobody sees. */
const FAST = 3;
const STILL_MS = 120;

interface ThumbnailsProps {
  pictures: readonly LargePicture[];
  /** Null while a press opens a picture. */
  chosen: ReadonlySet<string> | null;
  press(index: number, how: Pressed): void;
  chooseAll(): void;
  leave(): void;
  remove(picture: LargePicture): void;
}

/** A grid of which only what is in view is drawn; one stop of Tab, the arrow keys go through it. */
export function Thumbnails({ pictures, chosen, press, chooseAll, leave, remove }: ThumbnailsProps) {
  const place = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLUListElement>(null);
  const { grid, isFast } = useGrid(place, pictures.length);
  const [at, setAt] = useState(0);
  const current = Math.min(at, pictures.length - 1);
  const goesThere = useRef(false);
  useLayoutEffect(() => {
    const isLost = goesThere.current && document.activeElement === document.body; // the one it was on is gone
    goesThere.current = list.current?.contains(document.activeElement) === true || isLost;
    if (isLost) focusOn(list.current, current);
  });
  const goTo = (index: number) => {
    setAt(index);
    const element = place.current;
    if (element !== null) element.scrollTop = turnTo(grid, index, element.scrollTop, element.clientHeight);
    requestAnimationFrame(() => focusOn(list.current, index));
  };
  const onKey = (event: KeyboardEvent) => {
    const next = stepOf(event.key, current, grid.columns, pictures.length);
    const picture = pictures[current];
    if (next !== null) goTo(next);
    else if (event.key === " ") press(current, event.shiftKey ? "range" : "toggle");
    else if (event.key === "Delete" && picture !== undefined) remove(picture);
    else if (event.key === "a" && (event.ctrlKey || event.metaKey)) chooseAll();
    else if (event.key === "Escape" && chosen !== null) leave();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div ref={place} className="thumbnails">
      <ul
        ref={list}
        style={{ height: grid.height }}
        aria-label={t("panels.gallery")}
        aria-keyshortcuts="Space Delete Control+A"
        onKeyDown={onKey}
      >
        {shownIn(grid, current, pictures.length).map((index) => (
          <Thumbnail
            key={pictures[index]?.asset}
            picture={pictures[index] as LargePicture}
            index={index}
            count={pictures.length}
            grid={grid}
            isCurrent={index === current}
            isFast={isFast}
            chosen={chosen}
            press={(how) => {
              setAt(index);
              press(index, how);
            }}
          />
        ))}
      </ul>
    </div>
  );
}

interface ThumbnailProps {
  picture: LargePicture;
  index: number;
  count: number;
  grid: Grid;
  isCurrent: boolean;
  isFast: boolean;
  chosen: ReadonlySet<string> | null;
  press(how: Pressed): void;
}

function Thumbnail({ picture, index, count, grid, isCurrent, isFast, chosen, press }: ThumbnailProps) {
  const [isLoaded, setLoaded] = useState(!isFast);
  if (!isFast && !isLoaded) setLoaded(true);
  const x = (index % grid.columns) * grid.side;
  const y = Math.floor(index / grid.columns) * grid.side;
  return (
    <li
      aria-setsize={count}
      aria-posinset={index + 1}
      style={{ width: grid.side - GAP, height: grid.side - GAP, transform: `translate(${x}px, ${y}px)` }}
    >
      <button
        type="button"
        data-place={index}
        tabIndex={isCurrent ? 0 : -1}
        aria-label={t(chosen === null ? "data.openPicture" : "data.choosePicture", { name: picture.name })}
        aria-pressed={chosen === null ? undefined : chosen.has(picture.asset)}
        title={picture.name}
        draggable
        onDragStart={(event) => event.dataTransfer.setData(ASSET_DRAG, JSON.stringify(picture))}
        onClick={(event) => press(pressedWith(event))}
      >
        {isLoaded && <img src={api.thumbnailUrl(picture.asset)} alt="" />}
      </button>
    </li>
  );
}

/** Follow how much of the place is in view, and read on before its end is reached. */
function useGrid(place: RefObject<HTMLDivElement | null>, count: number): { grid: Grid; isFast: boolean } {
  const next = useGallery((state) => state.next);
  const view = useView(place);
  const grid = gridOf(count, view.width, view.top, view.shown, SMALLEST, GAP);
  const isNearEnd = view.top + view.shown > grid.height - NEAR_END;
  useEffect(() => {
    if (isNearEnd && next !== null) void readMore(); // again, as long as what comes holds too few pictures
  }, [isNearEnd, next]);
  return { grid, isFast: view.isFast };
}

function useView(place: RefObject<HTMLDivElement | null>) {
  const [view, setView] = useState({ width: 328, top: 0, shown: 800, isFast: false });
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    let before = { top: element.scrollTop, at: 0 };
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = () => {
      const { clientWidth: width, scrollTop: top, clientHeight: shown } = element;
      const at = performance.now();
      const isFast = Math.abs(top - before.top) > FAST * Math.min(at - before.at, STILL_MS);
      before = { top, at };
      setView({ width, top, shown, isFast });
      clearTimeout(timer);
      if (isFast) timer = setTimeout(look, STILL_MS);
    };
    const observer = new ResizeObserver(look);
    observer.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    return () => {
      clearTimeout(timer);
      observer.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, [place]);
  return view;
}

function focusOn(list: HTMLElement | null, index: number): void {
  list?.querySelector<HTMLElement>(`[data-place="${index}"]`)?.focus({ preventScroll: true });
}

/** Where a key leads; null if it leads nowhere. */
function stepOf(key: string, from: number, columns: number, count: number): number | null {
  const last = count - 1;
  const steps: Record<string, number> = {
    ArrowLeft: from - 1,
    ArrowRight: from + 1,
    ArrowUp: from - columns,
    ArrowDown: Math.floor(from / columns) < Math.floor(last / columns) ? Math.min(from + columns, last) : from,
    Home: 0,
    End: last,
  };
  const to = steps[key];
  if (to === undefined) return null;
  return to < 0 || to > last ? from : to;
}
