import { type PointerEvent, useRef, useState } from "react";
import { assetUrl } from "../api/routes";
import { t } from "../i18n";
import { timeText } from "../run/pictures";
import type { LargePicture } from "./lightboxStore";

/** Two pictures over each other, and a line between them that can be moved by pointer and by keys. */
export function CompareSlider({ one, other }: { one: LargePicture; other: LargePicture }) {
  const [percent, setPercent] = useState(50);
  const place = useRef<HTMLDivElement>(null);
  const move = (event: PointerEvent) => {
    if (event.buttons === 0 || place.current === null) return;
    const { left, width } = place.current.getBoundingClientRect();
    setPercent(Math.max(0, Math.min(100, ((event.clientX - left) / width) * 100)));
  };
  return (
    <div className="comparing">
      <div
        ref={place}
        className="compare"
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          move(event);
        }}
        onPointerMove={move}
      >
        <img src={assetUrl(other.asset)} alt={other.name} draggable={false} />
        <img
          src={assetUrl(one.asset)}
          alt={one.name}
          draggable={false}
          style={{ clipPath: `inset(0 ${100 - percent}% 0 0)` }}
        />
        <Label picture={one} side="left" />
        <Label picture={other} side="right" />
        <div className="divider" style={{ left: `${percent}%` }} aria-hidden="true" />
      </div>
      <input
        type="range"
        min={0}
        max={100}
        step={1}
        value={Math.round(percent)}
        aria-label={t("data.slider")}
        onChange={(event) => setPercent(event.target.valueAsNumber)}
      />
    </div>
  );
}

/** Which picture is on a side; jobs give files the same names, so when it was made is told too. */
function Label({ picture, side }: { picture: LargePicture; side: "left" | "right" }) {
  return (
    <span className={`side ${side}`}>
      {picture.name}
      {picture.created !== null && ` · ${timeText(picture.created)}`}
    </span>
  );
}
