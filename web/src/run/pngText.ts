/**
 * Text in PNG files: the workflow in a picture, where the server's own pictures have it.
 *
 * A PNG is its signature and chunks: length, type, data, and a CRC over type and data.
 */

const KEYWORD = "graphengine";
const SIGNATURE = 8;
const BESIDE_DATA = 12;

/** Give a PNG with this text in it, in place of one that it may have. */
export function withWorkflow(png: Uint8Array, text: string): Uint8Array<ArrayBuffer> {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  const parts: Uint8Array[] = [png.subarray(0, SIGNATURE)];
  let place = SIGNATURE;
  while (place + BESIDE_DATA <= png.length) {
    const end = place + BESIDE_DATA + view.getUint32(place);
    const type = ascii(png, place + 4, 4);
    if (type === "IEND") parts.push(textChunk(text));
    if (!(type === "iTXt" && ascii(png, place + 8, KEYWORD.length + 1) === `${KEYWORD}\0`))
      parts.push(png.subarray(place, end));
    place = end;
  }
  return joined(parts);
}

function textChunk(text: string): Uint8Array {
  // keyword, then: not compressed, its method, no language, no translated keyword
  const data = joined([new TextEncoder().encode(`iTXt${KEYWORD}\0\0\0\0\0`), new TextEncoder().encode(text)]);
  const chunk = new Uint8Array(data.length + 8);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, data.length - 4);
  chunk.set(data, 4);
  view.setUint32(data.length + 4, crc32(data));
  return chunk;
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of parts) {
    whole.set(part, place);
    place += part.length;
  }
  return whole;
}

function ascii(bytes: Uint8Array, start: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(start, start + length));
}

/** The CRC of ISO 3309, as PNG has it. */
export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}
