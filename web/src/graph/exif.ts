/**
 * The user's comment in JPEG and WebP files, where the server writes the workflow.
 *
 * It is an entry of a table (EXIF) that another table (the first IFD of a TIFF) points to:
 *
 *     JPEG   segment APP1 "Exif\0\0" ─┐
 *     WebP   chunk "EXIF" ────────────┴─▶ TIFF ─▶ IFD ─▶ 0x8769 EXIF ─▶ 0x9286 comment: "ASCII\0\0\0" and the text
 */
import { inflate } from "./png";

const EXIF = 0x8769;
const COMMENT = 0x9286;
const ENTRY = 12;

/** Give the text of the workflow in a JPEG or WebP; null if it is neither, has none, or it can't be read. */
export async function workflowInExif(bytes: Uint8Array): Promise<string | null> {
  const tiff = tiffInJpeg(bytes) ?? tiffInWebp(bytes);
  const comment = tiff === null ? null : commentIn(tiff);
  const [, kind, body] = comment?.match(/^ASCII\0\0\0graphengine(-deflate)?:([\s\S]*)$/) ?? [];
  if (body === undefined) return null;
  if (kind === undefined) return body;
  try {
    const text = await inflate(Uint8Array.from(atob(body), (each) => each.charCodeAt(0)));
    return text === null ? null : new TextDecoder().decode(text);
  } catch {
    return null; // no base64
  }
}

function tiffInJpeg(bytes: Uint8Array): Uint8Array | null {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return null;
  const view = viewOf(bytes);
  let at = 2;
  while (at + 4 <= bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda) {
    const end = at + 2 + view.getUint16(at + 2);
    if (bytes[at + 1] === 0xe1 && latin1(bytes.subarray(at + 4, at + 10)) === "Exif\0\0")
      return bytes.subarray(at + 10, end);
    at = end;
  }
  return null;
}

function tiffInWebp(bytes: Uint8Array): Uint8Array | null {
  if (!/^RIFF[\s\S]{4}WEBP$/.test(latin1(bytes.subarray(0, 12)))) return null;
  const view = viewOf(bytes);
  let at = 12;
  while (at + 8 <= bytes.length) {
    const size = view.getUint32(at + 4, true);
    const data = bytes.subarray(at + 8, at + 8 + size);
    if (latin1(bytes.subarray(at, at + 4)) === "EXIF")
      return latin1(data.subarray(0, 6)) === "Exif\0\0" ? data.subarray(6) : data;
    at += 8 + size + (size % 2);
  }
  return null;
}

function commentIn(tiff: Uint8Array): string | null {
  const view = viewOf(tiff);
  const isLittle = tiff[0] === 0x49;
  try {
    const first = view.getUint32(4, isLittle);
    const exif = entryIn(view, first, EXIF, isLittle);
    const comment = exif === null ? null : entryIn(view, view.getUint32(exif + 8, isLittle), COMMENT, isLittle);
    if (comment === null) return null;
    const begin = view.getUint32(comment + 8, isLittle);
    const end = begin + view.getUint32(comment + 4, isLittle);
    return end > tiff.length ? null : latin1(tiff.subarray(begin, end));
  } catch {
    return null; // it points out of the file
  }
}

/** Give where a table's entry with this tag begins. */
function entryIn(view: DataView, table: number, tag: number, isLittle: boolean): number | null {
  const count = view.getUint16(table, isLittle);
  for (let number = 0; number < count; number++) {
    const at = table + 2 + number * ENTRY;
    if (view.getUint16(at, isLittle) === tag) return at;
  }
  return null;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function latin1(bytes: Uint8Array): string {
  return new TextDecoder("latin1").decode(bytes);
}
