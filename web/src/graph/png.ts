/** Texts in PNG files: the chunks tEXt, zTXt and iTXt. */

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
/** A text that unpacks to more is no workflow but an attack. */
const LARGEST = 64 * 1024 * 1024;

export function isPng(bytes: Uint8Array): boolean {
  return SIGNATURE.every((byte, place) => bytes[place] === byte);
}

/** Give the text with a keyword; null if it is no PNG, has no such text, or the text can't be read. */
export async function textInPng(bytes: Uint8Array, keyword: string): Promise<string | null> {
  if (!isPng(bytes)) return null;
  for (const { type, data } of chunks(bytes)) {
    if (!["tEXt", "zTXt", "iTXt"].includes(type)) continue;
    const end = data.indexOf(0);
    if (end === -1 || latin1(data.subarray(0, end)) !== keyword) continue;
    return readText(type, data.subarray(end + 1));
  }
  return null;
}

function* chunks(bytes: Uint8Array): Generator<{ type: string; data: Uint8Array }> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = SIGNATURE.length;
  while (at + 12 <= bytes.length) {
    const length = view.getUint32(at);
    if (at + 12 + length > bytes.length) return;
    yield { type: latin1(bytes.subarray(at + 4, at + 8)), data: bytes.subarray(at + 8, at + 8 + length) };
    at += 12 + length;
  }
}

async function readText(type: string, data: Uint8Array): Promise<string | null> {
  if (type === "tEXt") return latin1(data);
  if (type === "zTXt") {
    const text = await inflate(data.subarray(1));
    return text === null ? null : latin1(text);
  }
  const isCompressed = data[0] === 1;
  const language = data.indexOf(0, 2);
  const translated = language === -1 ? -1 : data.indexOf(0, language + 1);
  if (translated === -1) return null;
  const body = data.subarray(translated + 1);
  const text = isCompressed ? await inflate(body) : body;
  return text === null ? null : new TextDecoder().decode(text);
}

/** Unpack zlib's format; null if it is damaged, or unpacks to more than any workflow has. */
export async function inflate(data: Uint8Array): Promise<Uint8Array | null> {
  const stream = new Blob([data.slice()]).stream().pipeThrough(new DecompressionStream("deflate"));
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    const reader = stream.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      parts.push(part.value);
      size += part.value.length;
      if (size > LARGEST) {
        await reader.cancel();
        return null;
      }
    }
  } catch {
    return null;
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function latin1(bytes: Uint8Array): string {
  return new TextDecoder("latin1").decode(bytes);
}
