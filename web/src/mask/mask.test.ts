import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as geometry from "./geometry";
import { decodePng, encodePng } from "./png";

const place = fc.tuple(fc.integer({ min: -2000, max: 2000 }), fc.integer({ min: -2000, max: 2000 }));

describe("the view", () => {
  it("shows the whole picture in the middle", () => {
    const view = geometry.fitView({ width: 1000, height: 500 }, { width: 548, height: 600 });
    expect(view.zoom).toBe(0.5);
    expect(geometry.toFrame(view, [500, 250])).toEqual([274, 300]);
  });
  it("keeps what is under the pointer there, however it zooms", () => {
    fc.assert(
      fc.property(place, fc.double({ min: 0.1, max: 10, noNaN: true }), (at, factor) => {
        const view = { x: 13, y: -7, zoom: 1.5 };
        const zoomed = geometry.zoomAt(view, factor, at);
        const [x, y] = geometry.toPicture(view, at);
        const [sameX, sameY] = geometry.toPicture(zoomed, at);
        expect(sameX).toBeCloseTo(x, 6);
        expect(sameY).toBeCloseTo(y, 6);
      }),
    );
  });
  it("goes there and back", () => {
    const view = { x: 40, y: 20, zoom: 0.25 };
    expect(geometry.toPicture(view, geometry.toFrame(view, [12, 34]))).toEqual([12, 34]);
  });
});

describe("strokes", () => {
  const hard = { size: 40, hardness: 1, hasPressure: false };
  it("are as wide as the brush", () => {
    const box = geometry.strokeBox(geometry.strokeOutline([[100, 100, 1]], hard, true), 0, { width: 400, height: 400 });
    expect(box?.width).toBeGreaterThanOrEqual(38);
    expect(box?.width).toBeLessThanOrEqual(46);
  });
  it("are narrower where a pen presses less", () => {
    const at = (pressure: number): geometry.StrokePoint[] =>
      [0, 1, 2, 3, 4].map((step) => [100 + step * 20, 100, pressure]);
    const height = (pressure: number) => {
      const outline = geometry.strokeOutline(at(pressure), { ...hard, hasPressure: true }, true);
      return geometry.strokeBox(outline, 0, { width: 400, height: 400 })?.height ?? 0;
    };
    expect(height(0.1)).toBeLessThan(height(0.9));
  });
  it("change nothing outside the picture", () => {
    const size = { width: 50, height: 50 };
    const box = geometry.strokeBox(geometry.strokeOutline([[0, 0, 1]], hard, true), 4, size);
    expect(box).toMatchObject({ x: 0, y: 0 });
    expect((box?.width ?? 99) <= 50).toBe(true);
    expect(geometry.strokeBox(geometry.strokeOutline([[500, 500, 1]], hard, true), 0, size)).toBeNull();
  });
  it("reach as far when soft, about", () => {
    const soft = { ...hard, hardness: 0 };
    expect(geometry.blurOf(hard)).toBe(0);
    expect(geometry.blurOf(soft)).toBe(8);
  });
});

describe("masks", () => {
  it("are 1 - alpha, and inverting twice is nothing", () => {
    const picture = new Uint8ClampedArray([10, 20, 30, 255, 40, 50, 60, 0]);
    const mask = geometry.maskOf(picture);
    expect([mask[3], mask[7]]).toEqual([0, 255]);
    expect(geometry.withMask(picture, mask)).toEqual(picture);
    expect(geometry.inverted(geometry.inverted(mask))).toEqual(mask);
    expect([...geometry.opaque(picture)]).toEqual([10, 20, 30, 255, 40, 50, 60, 255]);
  });
});

describe("PNG", () => {
  it("keeps each colour, under full transparency too", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 9 }),
        fc.infiniteStream(fc.nat(255)),
        async (width, height, bytes) => {
          const data = Uint8ClampedArray.from({ length: width * height * 4 }, () => bytes.next().value as number);
          const file = await encodePng({ width, height, data });
          expect(await decodePng(new Uint8Array(await file.arrayBuffer()))).toEqual({ width, height, data });
        },
      ),
      { numRuns: 30 },
    );
  });
  it("leaves all else to the browser", async () => {
    expect(await decodePng(new Uint8Array([255, 216, 255, 224]))).toBeNull();
  });
});
