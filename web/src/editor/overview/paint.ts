/** Drawing a large graph from far away, as one picture. */
import type { Rectangle } from "../../graph/arrange";
import { shareOf } from "../../graph/heat";
import { linksOf } from "../../graph/links";
import { fullId } from "../../stores/editorStore";
import { nodeRun, useRun } from "../../stores/runStore";
import type { Current } from "../actions/current";
import { boxesOf } from "../boxes";
import { useHeat } from "../heatStore";

const COLORS = ["line", "muted", "accent", "hot", "bad", "text", "canvas"] as const;
export type Colors = Readonly<Record<(typeof COLORS)[number], string>>;

export type View = readonly [x: number, y: number, zoom: number];

/** What is dragged, and how far, in the graph's units. */
export interface Offset {
  ids: ReadonlySet<string>;
  dx: number;
  dy: number;
}

/** Where links meet a node's sides, below its top. */
const SOCKET_Y = 40;
/** In pixels of the screen, as lines are. */
const LABEL_SIZE = 12;

/** Give the colours of the theme that is shown. */
export function colorsOf(canvas: HTMLCanvasElement): Colors {
  const read = (name: string) => {
    // Variables hold a light and a dark colour; the element's own colour comes out as the one that counts.
    canvas.style.color = `var(--${name})`;
    return getComputedStyle(canvas).color;
  };
  return Object.fromEntries(COLORS.map((name) => [name, read(name)])) as unknown as Colors;
}

/** Paint everything; `over` is what the pointer is on. */
export function paint(
  canvas: HTMLCanvasElement,
  now: Current,
  [x, y, zoom]: View,
  { colors, offset, over }: { colors: Colors; offset: Offset | null; over: string | null },
): void {
  const context = canvas.getContext("2d");
  if (context === null) return;
  const ratio = window.devicePixelRatio;
  const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width, height);
  context.setTransform(ratio * zoom, 0, 0, ratio * zoom, ratio * x, ratio * y);

  const boxes = new Map<string, Rectangle>();
  for (const box of boxesOf(now)) {
    const moved = offset?.ids.has(box.id) ? { ...box, x: box.x + offset.dx, y: box.y + offset.dy } : box;
    boxes.set(box.id, moved);
  }
  const { groups = [], notes = [] } = now.graph.ui ?? {};
  const isSelected = (id: string) => now.tab.selection.has(id);
  for (const { id, color } of groups) {
    paintFrame(context, boxes.get(id), {
      zoom,
      color: color ?? colors.muted,
      edge: isSelected(id) ? colors.accent : null,
    });
  }
  paintLinks(context, now, boxes, { zoom, colors });
  for (const id of Object.keys(now.graph.nodes)) paintNode(context, now, boxes.get(id), { zoom, colors });
  for (const { id, color } of notes) {
    paintFrame(context, boxes.get(id), {
      zoom,
      color: color ?? colors.text,
      edge: isSelected(id) ? colors.accent : null,
    });
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  for (const { id, title } of groups) paintTitle(context, boxes.get(id), title, { view: [x, y, zoom], colors });
  const title = over === null ? undefined : (now.graph.nodes[over]?.title ?? over);
  if (title !== undefined && over !== null) paintLabel(context, boxes.get(over), title, { view: [x, y, zoom], colors });
}

type Context = CanvasRenderingContext2D;

function paintFrame(
  context: Context,
  box: Rectangle | undefined,
  { zoom, color, edge }: { zoom: number; color: string; edge: string | null },
): void {
  if (box === undefined) return;
  context.fillStyle = color;
  context.strokeStyle = edge ?? color;
  context.lineWidth = (edge === null ? 1 : 3) / zoom;
  context.globalAlpha = 0.14;
  context.fillRect(box.x, box.y, box.width, box.height);
  context.globalAlpha = edge === null ? 0.5 : 1;
  context.strokeRect(box.x, box.y, box.width, box.height);
  context.globalAlpha = 1;
}

function paintLinks(
  context: Context,
  now: Current,
  boxes: ReadonlyMap<string, Rectangle>,
  { zoom, colors }: { zoom: number; colors: Colors },
): void {
  context.lineWidth = 1 / zoom;
  context.strokeStyle = colors.muted;
  context.globalAlpha = 0.6;
  context.beginPath();
  for (const { end, from, to } of linksOf(now.graph)) {
    const [source, target] = [boxes.get(from.node), boxes.get(to.node)];
    if (source === undefined || target === undefined) continue;
    context.moveTo(source.x + source.width, source.y + SOCKET_Y);
    for (const [x, y] of now.graph.ui?.reroutes?.[end] ?? []) context.lineTo(x, y);
    context.lineTo(target.x, target.y + SOCKET_Y);
  }
  context.stroke();
  context.globalAlpha = 1;
}

function paintNode(
  context: Context,
  now: Current,
  box: Rectangle | undefined,
  { zoom, colors }: { zoom: number; colors: Colors },
): void {
  if (box === undefined) return;
  const edge = edgeOf(now, box.id, colors);
  const isOff = (now.graph.nodes[box.id]?.mode ?? "normal") !== "normal";
  context.fillStyle = now.graph.ui?.nodes?.[box.id]?.color ?? colors.line;
  context.strokeStyle = edge ?? colors.muted;
  context.lineWidth = (edge === null ? 1 : 3) / zoom;
  context.globalAlpha = isOff ? 0.4 : 1;
  context.fillRect(box.x, box.y, box.width, box.height);
  const share = shareOf(useHeat.getState().heat, box.id);
  if (share !== null) {
    context.globalAlpha = 0.08 + 0.72 * share;
    context.fillStyle = colors.hot;
    context.fillRect(box.x, box.y, box.width, box.height);
  }
  context.globalAlpha = 1;
  context.strokeRect(box.x, box.y, box.width, box.height);
}

/** What is wrong, what runs and what is selected can be told from afar. */
function edgeOf(now: Current, id: string, colors: Colors): string | null {
  const run = useRun.getState();
  const full = fullId(now.tab, id);
  const state = nodeRun(run, now.tab.id, full)?.state;
  if (now.tab.selection.has(id)) return colors.accent;
  const isWrong = run.problems[now.tab.id]?.some((problem) => problem.node === full && !problem.warning) ?? false;
  if (state === "failed" || isWrong) return colors.bad;
  return state === "running" ? colors.accent : null;
}

interface Lettering {
  view: View;
  colors: Colors;
}

/** A frame's title, as large as on a map, if there is room for it. */
function paintTitle(
  context: Context,
  box: Rectangle | undefined,
  title: string,
  { view: [x, y, zoom], colors }: Lettering,
): void {
  if (box === undefined || box.width * zoom < 3 * LABEL_SIZE) return;
  context.font = `600 ${LABEL_SIZE}px ${getComputedStyle(context.canvas).fontFamily}`;
  context.fillStyle = colors.text;
  context.fillText(title, box.x * zoom + x, box.y * zoom + y - 4, box.width * zoom);
}

function paintLabel(
  context: Context,
  box: Rectangle | undefined,
  title: string,
  { view: [x, y, zoom], colors }: Lettering,
): void {
  if (box === undefined) return;
  context.font = `${LABEL_SIZE}px ${getComputedStyle(context.canvas).fontFamily}`;
  const width = context.measureText(title).width + 12;
  const left = Math.max(4, Math.min(box.x * zoom + x, context.canvas.clientWidth - width - 4));
  const top = Math.max(4, box.y * zoom + y - LABEL_SIZE - 12);
  context.fillStyle = colors.text;
  context.beginPath();
  context.roundRect(left, top, width, LABEL_SIZE + 8, 4);
  context.fill();
  context.fillStyle = colors.canvas;
  context.fillText(title, left + 6, top + LABEL_SIZE + 2);
}
