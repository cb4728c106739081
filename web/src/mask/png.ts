/**
 * PNG files of 8-bit colours with alpha, written and read byte by byte.
 *
 * A canvas keeps colours multiplied with their alpha, so that what lies under a painted mask would come out black. The
 * engine's masks are 1 - alpha, and inpainting needs the picture under them: hence no canvas between bytes and file.
 */

export interface Pixels {
  width: number;
  height: number;
  /** RGBA, row by row; colours not multiplied with alpha. */
  data: Uint8ClampedArray<ArrayBuffer>;
}

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const PAETH = 4;

/** Write pixels as a PNG. */
export async function encodePng({ width, height, data }: Pixels): Promise<Blob> {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, 6, 0, 0, 0], 8); // 8 bits, RGBA, deflate, adaptive filters, not interlaced
  const packed = await piped(filtered(width, height, data), new CompressionStream("deflate"));
  return new Blob(
    [new Uint8Array(SIGNATURE), chunk("IHDR", header), chunk("IDAT", packed), chunk("IEND", new Uint8Array())],
    { type: "image/png" },
  );
}

/** Read a PNG of 8-bit RGB or RGBA; null for all else, which a browser can decode. */
export async function decodePng(bytes: Uint8Array<ArrayBuffer>): Promise<Pixels | null> {
  if (!SIGNATURE.every((byte, at) => bytes[at] === byte)) return null;
  const chunks = chunksOf(bytes);
  const header = chunks.find(({ type }) => type === "IHDR")?.data;
  // transparency as a colour key, a turned picture, an animation: the browser knows how
  if (header === undefined || chunks.some(({ type }) => ["tRNS", "eXIf", "acTL"].includes(type))) return null;
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const channels = { 2: 3, 6: 4 }[header[9] ?? 0];
  if (header[8] !== 8 || channels === undefined || header[12] !== 0) return null;
  const packed = new Blob(chunks.filter(({ type }) => type === "IDAT").map(({ data }) => data));
  const rows = await piped(packed, new DecompressionStream("deflate"));
  if (rows.length < height * (width * channels + 1)) return null;
  return {
    width,
    height,
    data: withAlpha(unfiltered(width * channels, height, channels, rows), width * height, channels),
  };
}

async function piped(
  source: Blob | Uint8Array<ArrayBuffer>,
  through: CompressionStream | DecompressionStream,
): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([source]).stream().pipeThrough(through);
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function filtered(width: number, height: number, data: Uint8ClampedArray): Uint8Array<ArrayBuffer> {
  const stride = width * 4;
  const rows = new Uint8Array(height * (stride + 1));
  for (let y = 0; y < height; y += 1) {
    const to = y * (stride + 1);
    const from = y * stride;
    rows[to] = PAETH;
    for (let x = 0; x < stride; x += 1) {
      const left = x < 4 ? 0 : (data[from + x - 4] as number);
      const up = y === 0 ? 0 : (data[from + x - stride] as number);
      const corner = x < 4 || y === 0 ? 0 : (data[from + x - stride - 4] as number);
      rows[to + 1 + x] = (data[from + x] as number) - paeth(left, up, corner);
    }
  }
  return rows;
}

/** Undo the filters of PNG 1.2, section 6. */
function unfiltered(stride: number, height: number, step: number, rows: Uint8Array): Uint8Array {
  const out = new Uint8Array(stride * height);
  for (let y = 0; y < height; y += 1) {
    const from = y * (stride + 1) + 1;
    const to = y * stride;
    const filter = rows[from - 1];
    for (let x = 0; x < stride; x += 1) {
      const left = x < step ? 0 : (out[to + x - step] as number);
      const up = y === 0 ? 0 : (out[to + x - stride] as number);
      const corner = x < step || y === 0 ? 0 : (out[to + x - stride - step] as number);
      out[to + x] = (rows[from + x] as number) + predicted(filter, left, up, corner);
    }
  }
  return out;
}

function predicted(filter: number | undefined, left: number, up: number, corner: number): number {
  if (filter === 1) return left;
  if (filter === 2) return up;
  if (filter === 3) return (left + up) >> 1;
  return filter === PAETH ? paeth(left, up, corner) : 0;
}

function paeth(left: number, up: number, corner: number): number {
  const toLeft = Math.abs(up - corner);
  const toUp = Math.abs(left - corner);
  const toCorner = Math.abs(left + up - 2 * corner);
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

function withAlpha(colours: Uint8Array, pixels: number, channels: number): Uint8ClampedArray<ArrayBuffer> {
  const data = new Uint8ClampedArray(pixels * 4);
  if (channels === 4) {
    data.set(colours);
    return data;
  }
  for (let at = 0; at < pixels; at += 1) {
    for (let channel = 0; channel < 3; channel += 1) data[at * 4 + channel] = colours[at * 3 + channel] as number;
    data[at * 4 + 3] = 255;
  }
  return data;
}

function chunksOf(bytes: Uint8Array<ArrayBuffer>): { type: string; data: Uint8Array<ArrayBuffer> }[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const chunks = [];
  for (let at = SIGNATURE.length; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    chunks.push({ type, data: bytes.subarray(at + 8, at + 8 + length) });
    at += length + 12;
  }
  return chunks;
}

function chunk(type: string, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(data.length + 12);
  const view = new DataView(out.buffer);
  view.setUint32(0, data.length);
  out.set(
    [...type].map((letter) => letter.charCodeAt(0)),
    4,
  );
  out.set(data, 8);
  view.setUint32(data.length + 8, crc(out.subarray(4, data.length + 8)));
  return out;
}

function crc(bytes: Uint8Array): number {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = (CRC[(sum ^ byte) & 0xff] as number) ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}

const CRC = Uint32Array.from({ length: 256 }, (_, start) => {
  let value = start;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});
