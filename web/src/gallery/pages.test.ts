import { describe, expect, it } from "vitest";
import type { LargePicture } from "./lightboxStore";
import { joined, type Read, withNewest } from "./pages";

function picture(created: number, asset = `${created}`): LargePicture {
  return { asset, name: asset, sizeBytes: 1, job: null, created };
}
const page = (times: number[], next: number | null) => ({
  pictures: times.map((time) => picture(time)),
  oldest: times.at(-1) ?? 0,
  next,
});
const assets = (read: Read) => read.pictures?.map(({ asset }) => asset).join(" ");

describe("withNewest", () => {
  const known = joined(withNewest({ pictures: null, next: null }, page([9, 8, 7], 7)), page([6, 5, 4], 4));

  it("keeps what was read of older pages", () => {
    const read = withNewest(known, page([11, 10, 9], 9));
    expect(assets(read)).toBe("11 10 9 8 7 6 5 4");
    expect(read.next).toBe(4);
  });
  it("drops what others deleted", () => {
    expect(assets(withNewest(known, page([9, 7, 6], 6)))).toBe("9 7 6 5 4");
  });
  it("begins anew if there is more between", () => {
    const read = withNewest(known, page([30, 29, 28], 28));
    expect(assets(read)).toBe("30 29 28");
    expect(read.next).toBe(28);
  });
  it("is empty when everything was deleted", () => {
    expect(withNewest(known, page([], null)).pictures).toEqual([]);
  });
  it("reads on from the page if nothing older is left", () => {
    const read = withNewest({ pictures: [picture(9)], next: 9 }, page([9, 8, 7], 7));
    expect(read.next).toBe(7);
  });
});

it("shows the same bytes once, where they are newest", () => {
  const read = withNewest({ pictures: null, next: null }, page([5, 4], 4));
  expect(assets(joined(read, { pictures: [picture(3, "5"), picture(2)], oldest: 2, next: null }))).toBe("5 4 2");
});
