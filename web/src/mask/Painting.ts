/** A mask being painted: its pixels, the stroke under the brush, and what can be undone. */
import {
  type Box,
  type Brush,
  blurOf,
  inverted,
  maskOf,
  opaque,
  type Size,
  type StrokePoint,
  strokeBox,
  strokeOutline,
  type View,
  withMask,
} from "./geometry";
import type { Pixels } from "./png";

/** Further back than this, strokes can't be undone: each keeps the pixels that it changed. */
const KEPT = 60;
const TINT_ALPHA = 0.6;

interface Change {
  box: Box;
  before: ImageData;
  after: ImageData;
}

export type Tool = "brush" | "eraser";

export class Painting {
  readonly size: Size;
  private readonly source: Pixels;
  private readonly picture: HTMLCanvasElement;
  /** Alpha is the mask; the colour is white throughout. */
  private readonly mask: CanvasRenderingContext2D;
  private readonly before: CanvasRenderingContext2D;
  private readonly tinted: CanvasRenderingContext2D;
  private done: Change[] = [];
  private undone: Change[] = [];

  constructor(source: Pixels) {
    this.source = source;
    this.size = { width: source.width, height: source.height };
    const picture = newContext(this.size);
    picture.putImageData(new ImageData(opaque(source.data), source.width), 0, 0);
    this.picture = picture.canvas;
    this.mask = newContext(this.size, true);
    this.before = newContext(this.size, true);
    this.tinted = newContext({ width: 1, height: 1 });
    this.mask.putImageData(new ImageData(maskOf(source.data), source.width), 0, 0);
    this.keep();
  }

  get canUndo(): boolean {
    return this.done.length > 0;
  }

  get canRedo(): boolean {
    return this.undone.length > 0;
  }

  /** Show a stroke as it is so far; `finish` keeps it. */
  stroke(points: readonly StrokePoint[], brush: Brush, tool: Tool, finish: boolean): void {
    const outline = strokeOutline(points, brush, finish);
    const blur = blurOf(brush);
    const { mask } = this;
    this.showKept();
    mask.save();
    mask.globalCompositeOperation = tool === "brush" ? "source-over" : "destination-out";
    mask.fillStyle = "#fff";
    if (blur > 0.2) {
      // a shadow of something beyond the edge: blurs alike in all browsers, as filters on a canvas don't
      const aside = this.size.width * 2 + brush.size;
      mask.shadowColor = "#fff";
      mask.shadowBlur = blur * 2;
      mask.shadowOffsetX = aside;
      mask.translate(-aside, 0);
    }
    mask.beginPath();
    for (const [x, y] of outline) mask.lineTo(x, y);
    mask.closePath();
    mask.fill();
    mask.restore();
    if (finish) this.log(strokeBox(outline, blur, this.size));
  }

  /** Take back what a stroke has shown so far. */
  cancelStroke(): void {
    this.showKept();
  }

  clear(): void {
    this.replace(new Uint8ClampedArray(this.source.data.length));
  }

  invert(): void {
    this.replace(inverted(this.maskPixels()));
  }

  /** Begin again from what is transparent in the picture. */
  fromAlpha(): void {
    this.replace(maskOf(this.source.data));
  }

  undo(): void {
    const change = this.done.pop();
    if (change === undefined) return;
    this.put(change.before, change.box);
    this.undone.push(change);
  }

  redo(): void {
    const change = this.undone.pop();
    if (change === undefined) return;
    this.put(change.after, change.box);
    this.done.push(change);
  }

  /** Draw the picture with its mask in a tint. */
  draw(to: CanvasRenderingContext2D, view: View, ratio: number, tint: string): void {
    const { width, height } = to.canvas;
    to.setTransform(1, 0, 0, 1, 0, 0);
    to.clearRect(0, 0, width, height);
    if (width === 0 || height === 0) return;
    const { tinted } = this;
    tinted.canvas.width = width;
    tinted.canvas.height = height;
    for (const [context, what] of [
      [to, this.picture],
      [tinted, this.mask.canvas],
    ] as const) {
      context.setTransform(view.zoom * ratio, 0, 0, view.zoom * ratio, view.x * ratio, view.y * ratio);
      context.imageSmoothingEnabled = view.zoom * ratio < 2;
      context.drawImage(what, 0, 0);
    }
    tinted.setTransform(1, 0, 0, 1, 0, 0);
    tinted.globalCompositeOperation = "source-in";
    tinted.fillStyle = tint;
    tinted.fillRect(0, 0, width, height);
    to.setTransform(1, 0, 0, 1, 0, 0);
    to.globalAlpha = TINT_ALPHA;
    to.drawImage(tinted.canvas, 0, 0);
    to.globalAlpha = 1;
  }

  /** Give the picture with the mask as its transparency. */
  result(): Pixels {
    return { ...this.size, data: withMask(this.source.data, this.maskPixels()) };
  }

  private replace(pixels: Uint8ClampedArray<ArrayBuffer>): void {
    this.mask.putImageData(new ImageData(pixels, this.size.width), 0, 0);
    this.log({ x: 0, y: 0, ...this.size });
  }

  private maskPixels(): Uint8ClampedArray {
    return this.mask.getImageData(0, 0, this.size.width, this.size.height).data;
  }

  private log(box: Box | null): void {
    if (box === null) return;
    const { x, y, width, height } = box;
    const change = {
      box,
      before: this.before.getImageData(x, y, width, height),
      after: this.mask.getImageData(x, y, width, height),
    };
    this.done = [...this.done, change].slice(-KEPT);
    this.undone = [];
    this.keep();
  }

  private put(pixels: ImageData, box: Box): void {
    this.mask.putImageData(pixels, box.x, box.y);
    this.keep();
  }

  private keep(): void {
    copy(this.mask.canvas, this.before);
  }

  private showKept(): void {
    copy(this.before.canvas, this.mask);
  }
}

function copy(from: HTMLCanvasElement, to: CanvasRenderingContext2D): void {
  to.globalCompositeOperation = "copy";
  to.drawImage(from, 0, 0);
  to.globalCompositeOperation = "source-over";
}

function newContext({ width, height }: Size, isRead = false): CanvasRenderingContext2D {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: isRead });
  if (context === null) throw new Error("this browser gives no canvas to paint on.");
  return context;
}
