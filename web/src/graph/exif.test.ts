import { expect, test } from "vitest";
import { workflowInExif } from "./exif";
import { readDropped } from "./files";

// Pictures of 2 × 2 red pixels as the server saves them, the third with a workflow that is compressed.
const JPEG =
  "/9j/4AAQSkZJRgABAQAAAQABAAD/4QC0RXhpZgAATU0AKgAAAAgAAYdpAAQAAAABAAAAGgAAAAAAAZKGAAEAAACAAAAALAAAAABBU0NJSQAAAGdyYXBoZW5naW5lOnsiZm9ybWF0IjoiZ3JhcGhlbmdpbmUiLCJ2ZXJzaW9uIjoxLCJub2RlcyI6eyJhIjp7InR5cGUiOiJOdW1iZXIiLCJpbnB1dHMiOnsibm90ZSI6Ilx1NzA2Zlx1NTNmMCBcdTAwZTkifX19ff/bAEMAGxIUFxQRGxcWFx4cGyAoQisoJSUoUTo9MEJgVWVkX1VdW2p4mYFqcZBzW12FtYaQnqOrratngLzJuqbHmairpP/bAEMBHB4eKCMoTisrTqRuXW6kpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpP/AABEIAAIAAgMBIgACEQEDEQH/xAAfAAABBQEBAQEBAQAAAAAAAAAAAQIDBAUGBwgJCgv/xAC1EAACAQMDAgQDBQUEBAAAAX0BAgMABBEFEiExQQYTUWEHInEUMoGRoQgjQrHBFVLR8CQzYnKCCQoWFxgZGiUmJygpKjQ1Njc4OTpDREVGR0hJSlNUVVZXWFlaY2RlZmdoaWpzdHV2d3h5eoOEhYaHiImKkpOUlZaXmJmaoqOkpaanqKmqsrO0tba3uLm6wsPExcbHyMnK0tPU1dbX2Nna4eLj5OXm5+jp6vHy8/T19vf4+fr/xAAfAQADAQEBAQEBAQEBAAAAAAAAAQIDBAUGBwgJCgv/xAC1EQACAQIEBAMEBwUEBAABAncAAQIDEQQFITEGEkFRB2FxEyIygQgUQpGhscEJIzNS8BVictEKFiQ04SXxFxgZGiYnKCkqNTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqCg4SFhoeIiYqSk5SVlpeYmZqio6Slpqeoqaqys7S1tre4ubrCw8TFxsfIycrS09TV1tfY2dri4+Tl5ufo6ery8/T19vf4+fr/2gAMAwEAAhEDEQA/AKFFFFcZ9If/2Q==";
const WEBP =
  "UklGRv4AAABXRUJQVlA4WAoAAAAIAAAAAQAAAQAAVlA4ICwAAACQAQCdASoCAAIABABoJaACdLoAA5gA/us2/6E2Paiv/0JP/ibP+Js+AAAAAEVYSUasAAAATU0AKgAAAAgAAYdpAAQAAAABAAAAGgAAAAAAAZKGAAEAAACAAAAALAAAAABBU0NJSQAAAGdyYXBoZW5naW5lOnsiZm9ybWF0IjoiZ3JhcGhlbmdpbmUiLCJ2ZXJzaW9uIjoxLCJub2RlcyI6eyJhIjp7InR5cGUiOiJOdW1iZXIiLCJpbnB1dHMiOnsibm90ZSI6Ilx1NzA2Zlx1NTNmMCBcdTAwZTkifX19fQ==";
const COMPRESSED =
  "/9j/4AAQSkZJRgABAQAAAQABAAD/4QEoRXhpZgAATU0AKgAAAAgAAYdpAAQAAAABAAAAGgAAAAAAAZKGAAEAAAD0AAAALAAAAABBU0NJSQAAAGdyYXBoZW5naW5lLWRlZmxhdGU6ZU5ydHlqRU93akFRQk1DdlJGZlQwUEliaTVpUUlrN2tSQWdwOHQ4eDRndVVNOVh1M3AzeFdPdVNqcmdOTWRXMFBYT1o1cExqTXNRcjEzMWVTNzljZXl2cm1QZWV6OWJMa28vMHpkRzNlNTIzNC9jWGJ3QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQURnNzZLMUR4cGRUaGM9/9sAQwAbEhQXFBEbFxYXHhwbIChCKyglJShROj0wQmBVZWRfVV1baniZgWpxkHNbXYW1hpCeo6utq2eAvMm6pseZqKuk/9sAQwEcHh4oIyhOKytOpG5dbqSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSk/8AAEQgAAgACAwEiAAIRAQMRAf/EAB8AAAEFAQEBAQEBAAAAAAAAAAABAgMEBQYHCAkKC//EALUQAAIBAwMCBAMFBQQEAAABfQECAwAEEQUSITFBBhNRYQcicRQygZGhCCNCscEVUtHwJDNicoIJChYXGBkaJSYnKCkqNDU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6g4SFhoeIiYqSk5SVlpeYmZqio6Slpqeoqaqys7S1tre4ubrCw8TFxsfIycrS09TV1tfY2drh4uPk5ebn6Onq8fLz9PX29/j5+v/EAB8BAAMBAQEBAQEBAQEAAAAAAAABAgMEBQYHCAkKC//EALURAAIBAgQEAwQHBQQEAAECdwABAgMRBAUhMQYSQVEHYXETIjKBCBRCkaGxwQkjM1LwFWJy0QoWJDThJfEXGBkaJicoKSo1Njc4OTpDREVGR0hJSlNUVVZXWFlaY2RlZmdoaWpzdHV2d3h5eoKDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uLj5OXm5+jp6vLz9PX29/j5+v/aAAwDAQACEQMRAD8AoUUUVxn0h//Z";

function bytes(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
}

test.each([
  ["JPEG", JPEG],
  ["WebP", WEBP],
])("a dropped %s with a workflow inside opens it", async (_kind, picture) => {
  const dropped = await readDropped(new Blob([bytes(picture)]));
  expect(dropped).toMatchObject({ kind: "workflow", workflow: { nodes: { a: { inputs: { note: "灯台 é" } } } } });
});

test("a compressed workflow is unpacked", async () => {
  expect(await workflowInExif(bytes(COMPRESSED))).toContain("x".repeat(70000));
});

test("a picture without a workflow, cut off or scribbled in, is only a picture", async () => {
  const whole = bytes(JPEG);
  expect(await readDropped(new Blob([bytes("/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgICAgMCAgIDAwMD")]))).toEqual({
    kind: "picture",
  });
  for (let length = 0; length < 200; length++) {
    expect(await workflowInExif(whole.slice(0, length))).toBeNull();
  }
  for (let place = 20; place < 90; place++) {
    const harmed = whole.slice();
    harmed[place] = 0xff;
    await workflowInExif(harmed);
  }
  expect(await workflowInExif(new TextEncoder().encode("RIFF....WEBP"))).toBeNull();
});
