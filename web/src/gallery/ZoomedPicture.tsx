import { type KeyboardEvent, type PointerEvent, useEffect, useRef, useState } from "react";
import { t } from "../i18n";

interface Props {
  src: string;
  name: string;
  measured(size: { width: number; height: number }): void;
}

interface View {
  /** Times the size at which it fits. */
  zoom: number;
  x: number;
  y: number;
}

const FIT: View = { zoom: 1, x: 0, y: 0 };
const STEP = 1.25;
const LARGEST = 32;
const PAN = 60;

/** A picture that can be enlarged: by wheel and drag, by buttons, by + − 0 and the arrow keys. */
export function ZoomedPicture({ src, name, measured }: Props) {
  const [view, setView] = useState(FIT);
  const [pixel, setPixel] = useState(1);
  const place = useRef<HTMLDivElement>(null);
  const picture = useRef<HTMLImageElement>(null);
  const drag = useRef<{ x: number; y: number } | null>(null);
  const zoomBy = (factor: number) => setView((now) => zoomed(now, factor));
  useEffect(() => {
    const element = place.current;
    const wheel = (event: WheelEvent) => {
      event.preventDefault(); // React's own wheel listeners can't
      setView((now) => zoomed(now, event.deltaY < 0 ? STEP : 1 / STEP));
    };
    element?.addEventListener("wheel", wheel, { passive: false });
    return () => element?.removeEventListener("wheel", wheel);
  }, []);
  const press = (event: KeyboardEvent) => {
    if (event.key === "+" || event.key === "=") zoomBy(STEP);
    else if (event.key === "-") zoomBy(1 / STEP);
    else if (event.key === "0") setView(FIT);
    else if (view.zoom > 1 && event.key.startsWith("Arrow")) pan(event.key, setView);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const move = (event: PointerEvent) => {
    if (drag.current === null) return;
    const { x, y } = drag.current;
    drag.current = { x: event.clientX, y: event.clientY };
    setView((now) => ({ ...now, x: now.x + event.clientX - x, y: now.y + event.clientY - y }));
  };
  const load = () => {
    const image = picture.current;
    if (image === null) return;
    measured({ width: image.naturalWidth, height: image.naturalHeight });
    setPixel(Math.min(image.clientWidth / image.naturalWidth, image.clientHeight / image.naturalHeight));
  };
  return (
    <>
      {/* biome-ignore lint/a11y/useSemanticElements: a picture that takes keys has no element of its own */}
      <div
        ref={place}
        className="zoomed"
        role="group"
        aria-label={name}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: its keys enlarge and move it
        tabIndex={0}
        onKeyDown={press}
        onPointerDown={(event) => {
          drag.current = { x: event.clientX, y: event.clientY };
          event.currentTarget.setPointerCapture(event.pointerId);
        }}
        onPointerMove={move}
        onPointerUp={() => {
          drag.current = null;
        }}
        onDoubleClick={() => setView(view.zoom === 1 ? zoomed(FIT, 1 / pixel) : FIT)}
      >
        <img
          ref={picture}
          src={src}
          alt={name}
          draggable={false}
          onLoad={load}
          style={{
            transform: `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`,
            imageRendering: pixel * view.zoom >= 3 ? "pixelated" : "auto",
          }}
        />
      </div>
      <div className="zoombar">
        <button type="button" className="secondary" aria-label={t("data.zoomOut")} onClick={() => zoomBy(1 / STEP)}>
          −
        </button>
        <span>{t("data.zoom", { percent: Math.round(pixel * view.zoom * 100) })}</span>
        <button type="button" className="secondary" aria-label={t("data.zoomIn")} onClick={() => zoomBy(STEP)}>
          +
        </button>
        <button type="button" className="secondary" onClick={() => setView(FIT)}>
          {t("data.fit")}
        </button>
        <button type="button" className="secondary" onClick={() => setView(zoomed(FIT, 1 / pixel))}>
          {t("data.actualSize")}
        </button>
      </div>
    </>
  );
}

function zoomed(view: View, factor: number): View {
  const zoom = Math.max(0.1, Math.min(LARGEST, view.zoom * factor));
  const by = zoom / view.zoom;
  return { zoom, x: view.x * by, y: view.y * by };
}

function pan(key: string, setView: (next: (now: View) => View) => void): void {
  const x = key === "ArrowLeft" ? PAN : key === "ArrowRight" ? -PAN : 0;
  const y = key === "ArrowUp" ? PAN : key === "ArrowDown" ? -PAN : 0;
  setView((now) => ({ ...now, x: now.x + x, y: now.y + y }));
}
