import { BaseEdge, type EdgeProps, getBezierPath, Position, useReactFlow } from "@xyflow/react";
import { type CSSProperties, type KeyboardEvent, memo, type PointerEvent, useState } from "react";
import { t } from "../../i18n";
import { moveReroute, removeReroute } from "../actions";
import { useCanvas } from "../canvasStore";
import type { FlowEdge } from "../flow";
import { snapped } from "../grid";
import { focusCanvas } from "../view";

type Point = [number, number];

/** A link between two sockets, through its reroutes. */
export const LinkEdge = memo(function LinkEdge(props: EdgeProps<FlowEdge>) {
  const { id, sourceX, sourceY, targetX, targetY, data, interactionWidth } = props;
  const flow = useReactFlow();
  const [moving, setMoving] = useState<{ place: number; point: Point } | null>(null);
  const points = (data?.points ?? []).map((point, place) => (moving?.place === place ? moving.point : point));
  const path = pathThrough([sourceX, sourceY], points, [targetX, targetY]);
  const end = data?.end ?? id;
  const isSplice = useCanvas((state) => state.spliceEnd === end);

  const grab = (event: PointerEvent<SVGCircleElement>, place: number) => {
    if (event.button !== 0) return;
    event.stopPropagation();
    event.currentTarget.setPointerCapture(event.pointerId);
    setMoving({ place, point: points[place] ?? [0, 0] });
  };
  const drag = (event: PointerEvent<SVGCircleElement>) => {
    if (moving === null) return;
    const { x, y } = flow.screenToFlowPosition({ x: event.clientX, y: event.clientY });
    setMoving({ place: moving.place, point: [snapped(x), snapped(y)] });
  };
  const drop = () => {
    if (moving === null) return;
    setMoving(null);
    moveReroute(end, moving.place, moving.point);
  };
  const press = (event: KeyboardEvent, place: number) => {
    const step = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, -10], ArrowDown: [0, 10] }[event.key];
    const [x, y] = points[place] ?? [0, 0];
    if (step !== undefined) moveReroute(end, place, [x + (step[0] ?? 0), y + (step[1] ?? 0)]);
    else if (event.key === "Delete" || event.key === "Backspace") {
      removeReroute(end, place);
      focusCanvas();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };

  return (
    <g className={isSplice ? "splice" : undefined} style={{ "--socket": data?.color } as CSSProperties}>
      <BaseEdge id={id} path={path} interactionWidth={interactionWidth ?? 16} />
      {points.map(([x, y], place) => (
        // biome-ignore lint/a11y/useSemanticElements: SVG has no button
        <circle
          // biome-ignore lint/suspicious/noArrayIndexKey: a reroute is its place along the link
          key={place}
          className="reroute nopan"
          cx={x}
          cy={y}
          r={7}
          role="button"
          tabIndex={0}
          aria-label={t("editor.reroute", { place: place + 1, link: end })}
          onPointerDown={(event) => grab(event, place)}
          onPointerMove={drag}
          onPointerUp={drop}
          onDoubleClick={(event) => {
            event.stopPropagation();
            removeReroute(end, place);
          }}
          onKeyDown={(event) => press(event, place)}
        />
      ))}
    </g>
  );
});

/** A smooth path; it leaves to the right and arrives from the left, at reroutes too. */
export function pathThrough(from: Point, points: readonly Point[], to: Point): string {
  let path = "";
  let [x, y] = from;
  for (const [nextX, nextY] of [...points, to]) {
    const [part] = getBezierPath({
      sourceX: x,
      sourceY: y,
      sourcePosition: Position.Right,
      targetX: nextX,
      targetY: nextY,
      targetPosition: Position.Left,
    });
    path += part;
    x = nextX;
    y = nextY;
  }
  return path;
}
