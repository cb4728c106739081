/** Joins pages of a list that grows at its newest end while its older end is being read. */
import type { LargePicture } from "./lightboxStore";

export interface Read {
  /** The newest first; null until the first page was read. */
  pictures: readonly LargePicture[] | null;
  /** What to ask for to read on; null at the end. */
  next: number | null;
}

export interface Page {
  pictures: readonly LargePicture[];
  /** When the last of the page was made, be it a picture or not. */
  oldest: number;
  next: number | null;
}

/** Put the first page in the place of what it covers; if it doesn't reach what is known, begin anew. */
export function withNewest(known: Read, page: Page): Read {
  const newest = known.pictures?.[0]?.created ?? 0;
  const isFar = page.next !== null && page.oldest > newest;
  if (known.pictures === null || page.next === null || isFar)
    return { pictures: unique(page.pictures), next: page.next };
  const older = known.pictures.filter(({ created }) => (created ?? 0) < page.oldest);
  return { pictures: unique([...page.pictures, ...older]), next: older.length > 0 ? known.next : page.next };
}

/** Put an older page behind what is known. */
export function joined(known: Read, page: Page): Read {
  return { pictures: unique([...(known.pictures ?? []), ...page.pictures]), next: page.next };
}

/** The same bytes may be known twice: as brought, and as made. */
function unique(pictures: readonly LargePicture[]): LargePicture[] {
  const seen = new Set<string>();
  return pictures.filter(({ asset }) => !seen.has(asset) && seen.add(asset));
}
