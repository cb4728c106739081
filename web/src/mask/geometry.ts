/** Where things are: the view onto a picture, and what a brush covers of it. */
import { getStroke } from "perfect-freehand";

export interface Size {
  width: number;
  height: number;
}

/** A point of the picture at `p` is shown at `p * zoom + (x, y)`. */
export interface View {
  x: number;
  y: number;
  zoom: number;
}

export interface Box extends Size {
  x: number;
  y: number;
}

export type Place = readonly [x: number, y: number];

/** Of a stroke; pressure from 0 to 1. */
export type StrokePoint = readonly [x: number, y: number, pressure: number];

export interface Brush {
  /** Its diameter, in the picture's pixels. */
  size: number;
  /** 1 has a sharp edge; 0 fades from the middle on. */
  hardness: number;
  /** Whether a pen's pressure makes it narrower. */
  hasPressure: boolean;
}

const MARGIN = 24;
const SMALLEST = 0.05;
const LARGEST = 40;

/** Show the whole picture, in the middle; small ones no larger than eight times. */
export function fitView(picture: Size, frame: Size): View {
  const zoom = Math.min(8, (frame.width - 2 * MARGIN) / picture.width, (frame.height - 2 * MARGIN) / picture.height);
  const safe = limited(zoom);
  return { zoom: safe, x: (frame.width - picture.width * safe) / 2, y: (frame.height - picture.height * safe) / 2 };
}

/** Zoom so that what is under a place of the frame stays there. */
export function zoomAt(view: View, factor: number, [x, y]: Place): View {
  const zoom = limited(view.zoom * factor);
  const by = zoom / view.zoom;
  return { zoom, x: x - (x - view.x) * by, y: y - (y - view.y) * by };
}

export function toPicture(view: View, [x, y]: Place): Place {
  return [(x - view.x) / view.zoom, (y - view.y) / view.zoom];
}

export function toFrame(view: View, [x, y]: Place): Place {
  return [x * view.zoom + view.x, y * view.zoom + view.y];
}

/** How far the brush's edge is blurred (the deviation of the Gaussian), in the picture's pixels. */
export function blurOf({ size, hardness }: Brush): number {
  return ((1 - hardness) * size) / 5;
}

/** Give the outline of a stroke; a soft brush's is narrower, for its blur reaches further out. */
export function strokeOutline(points: readonly StrokePoint[], brush: Brush, isDone: boolean): Place[] {
  const outline = getStroke(points as StrokePoint[] as [number, number, number][], {
    size: Math.max(0.5, brush.size - 2 * blurOf(brush)),
    thinning: brush.hasPressure ? 0.7 : 0,
    smoothing: 0.5,
    streamline: 0.2,
    simulatePressure: false,
    last: isDone,
  });
  return outline.map(([x, y]) => [x as number, y as number]);
}

/** Give the pixels that a stroke can have changed: its outline with its blur, within the picture. */
export function strokeBox(outline: readonly Place[], blur: number, picture: Size): Box | null {
  if (outline.length === 0) return null;
  const reach = Math.ceil(3 * blur) + 1;
  const xs = outline.map(([x]) => x);
  const ys = outline.map(([, y]) => y);
  const left = Math.max(0, Math.floor(Math.min(...xs)) - reach);
  const top = Math.max(0, Math.floor(Math.min(...ys)) - reach);
  const right = Math.min(picture.width, Math.ceil(Math.max(...xs)) + reach);
  const bottom = Math.min(picture.height, Math.ceil(Math.max(...ys)) + reach);
  return right <= left || bottom <= top ? null : { x: left, y: top, width: right - left, height: bottom - top };
}

/** Put a mask into a picture: what is painted becomes transparent, as the engine's masks are 1 - alpha. */
export function withMask(picture: Uint8ClampedArray, mask: Uint8ClampedArray): Uint8ClampedArray<ArrayBuffer> {
  const data = new Uint8ClampedArray(picture);
  for (let at = 3; at < data.length; at += 4) data[at] = 255 - (mask[at] as number);
  return data;
}

/** Give the mask that a picture has: painted where it is transparent. Colours don't matter, so they are white. */
export function maskOf(picture: Uint8ClampedArray): Uint8ClampedArray<ArrayBuffer> {
  const data = new Uint8ClampedArray(picture.length).fill(255);
  for (let at = 3; at < data.length; at += 4) data[at] = 255 - (picture[at] as number);
  return data;
}

export function opaque(picture: Uint8ClampedArray): Uint8ClampedArray<ArrayBuffer> {
  const data = new Uint8ClampedArray(picture);
  for (let at = 3; at < data.length; at += 4) data[at] = 255;
  return data;
}

export function inverted(mask: Uint8ClampedArray): Uint8ClampedArray<ArrayBuffer> {
  return maskOf(mask);
}

function limited(zoom: number): number {
  return Math.max(SMALLEST, Math.min(LARGEST, zoom));
}
