/** Fetch a picture's pixels, with the colours under what is transparent where the file has them. */
import { t } from "../i18n";
import { decodePng, type Pixels } from "./png";

/** Painting keeps several copies; beyond this a browser's tab may die. */
const MOST_PIXELS = 40_000_000;

export async function openPicture(address: string): Promise<Pixels> {
  const answer = await fetch(address, { credentials: "same-origin" });
  if (!answer.ok) throw new Error(t("mask.cantOpen", { status: answer.status }));
  const blob = await answer.blob();
  const bitmap = await createImageBitmap(blob);
  try {
    if (bitmap.width * bitmap.height > MOST_PIXELS)
      throw new Error(t("mask.tooLarge", { width: bitmap.width, height: bitmap.height }));
    return (await decodePng(new Uint8Array(await blob.arrayBuffer()))) ?? pixelsOf(bitmap);
  } finally {
    bitmap.close();
  }
}

function pixelsOf(bitmap: ImageBitmap): Pixels {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  if (context === null) throw new Error("this browser gives no canvas to paint on.");
  context.drawImage(bitmap, 0, 0);
  const { width, height, data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  return { width, height, data: new Uint8ClampedArray(data) };
}
