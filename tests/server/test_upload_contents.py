"""What a file is, its bytes say: not its name, and not what it claims about itself."""

from __future__ import annotations

import contextlib
import json
import random
import struct
import time
import wave
import zlib
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image as pillow

from graphengine.diffusion.picture_size import MAX_PIXELS
from graphengine.server.uploads import Upload, UploadRefused, inspect_upload
from tests.server.upload_files import picture_bytes

KINDS = {
    "PNG": ("image/png", ".png"),
    "JPEG": ("image/jpeg", ".jpg"),
    "WEBP": ("image/webp", ".webp"),
    "GIF": ("image/gif", ".gif"),
    "BMP": ("image/bmp", ".bmp"),
    "TIFF": ("image/tiff", ".tif"),
}
REFUSED_KINDS = {
    "drawing.svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script/></svg>',
    "page.html": b"<!doctype html><script>alert(1)</script>",
    "paper.pdf": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF\n",
    "layers.psd": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 4, 4, 8, 3) + bytes(80),
    "print.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n",
    "weights.ckpt": b"\x80\x02}q\0.",
    "archive.zip": b"PK\3\4" + bytes(40),
    "nothing.png": b"",
    "short.safetensors": b"\x08\0\0\0",
}


def inspected(folder: Path, content: bytes, name: str = "some.png") -> Upload:
    path = folder / "arrived"
    path.write_bytes(content)
    return inspect_upload(path, name, sha256(content).hexdigest())


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(begin: int, end: int, dtype: str = "U8", shape: object = None) -> dict[str, object]:
    return {"dtype": dtype, "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}


LATENT = {"__metadata__": {"format": "pt"}, "samples": tensor(0, 64, "F32", [1, 4, 2, 2]), "mask": tensor(64, 72)}


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_known_by_content(tmp_path: Path, kind: str) -> None:
    content = picture_bytes(tmp_path, kind)
    media_type, extension = KINDS[kind]
    expected = Upload(f"photo{extension}", media_type, sha256(content).hexdigest(), len(content), 40, 30)
    assert inspected(tmp_path, content, "photo.html") == expected


def test_tensors_are_known_by_content(tmp_path: Path) -> None:
    content = safetensors(LATENT, bytes(72))
    found = inspected(tmp_path, content, "latent.png")
    digest = sha256(content).hexdigest()
    assert found == Upload("latent.safetensors", "application/x-safetensors", digest, len(content), None, None)


def test_sound_is_known_by_content_and_refused_if_it_is_not_whole(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "tone"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(200))
    content = (tmp_path / "tone").read_bytes()
    found = inspected(tmp_path, content, "tone.mp3")
    assert (found.name, found.media_type, found.width) == ("tone.wav", "audio/wav", None)
    for length in (12, 30, 50, len(content) - 2):
        with pytest.raises(UploadRefused, match="is damaged"):
            inspected(tmp_path, content[:length], "tone.wav")


@pytest.mark.parametrize("name", REFUSED_KINDS)
def test_other_kinds_are_refused_whatever_they_are_called(tmp_path: Path, name: str) -> None:
    for claimed in (name, "picture.png", "x.safetensors"):
        with pytest.raises(UploadRefused, match="no picture of a known kind") as refused:
            inspected(tmp_path, REFUSED_KINDS[name], claimed)
        assert "Give a PNG, JPEG" in refused.value.remedy


def test_a_picture_on_its_side_has_the_size_that_is_seen(tmp_path: Path) -> None:
    exif = pillow.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        found = inspected(tmp_path, picture_bytes(tmp_path, kind, exif=exif))
        assert (kind, found.width, found.height) == (kind, 30, 40)


def test_an_animation_has_the_size_of_its_first_frame(tmp_path: Path) -> None:
    frames = [pillow.new("RGB", (20, 10), colour) for colour in ("red", "green", "blue")]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        path = tmp_path / "frames"
        frames[0].save(path, kind, save_all=True, append_images=frames[1:])
        found = inspect_upload(path, "frames", sha256(path.read_bytes()).hexdigest())
        assert (found.media_type, found.width, found.height) == (KINDS[kind][0], 20, 10)


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_that_are_cut_off_are_refused(tmp_path: Path, kind: str) -> None:
    content = picture_bytes(tmp_path, kind)
    lengths = [len(content) * part // 20 for part in range(20)] + [len(content) - 3]
    for length in lengths:
        with pytest.raises(UploadRefused):
            inspected(tmp_path, content[:length])


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_pictures_never_crash(tmp_path: Path, kind: str) -> None:
    content, draw = picture_bytes(tmp_path, kind), random.Random(3)
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(draw.choice([1, 1, 8])):
            damaged[draw.randrange(draw.choice([64, len(content)]))] ^= draw.randrange(1, 256)
        with contextlib.suppress(UploadRefused):
            inspected(tmp_path, bytes(damaged))


def test_a_damaged_png_is_refused(tmp_path: Path) -> None:
    content = picture_bytes(tmp_path)
    for position in range(8, len(content), 97):
        with pytest.raises(UploadRefused):
            inspected(tmp_path, content[:position] + bytes([content[position] ^ 16]) + content[position + 1 :])


def test_a_polyglot_is_what_it_begins_with(tmp_path: Path) -> None:
    found = inspected(tmp_path, picture_bytes(tmp_path) + b"<html><script>alert(1)</script>", "page.html")
    assert (found.media_type, found.name) == ("image/png", "page.png")


def png(width: int, height: int, pixels: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)  # 1 bit, grey
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    packer, block = zlib.compressobj(1), bytes(2**20)
    parts = [packer.compress(block) for _ in range(count >> 20)]
    return b"".join([*parts, packer.compress(block[: count % 2**20]), packer.flush()])


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    content = png(60000, 60000, zeros(60000 * 7501))
    assert len(content) < 4_000_000
    with pytest.raises(UploadRefused, match="too large") as refused:
        inspected(tmp_path, content)
    assert "89,478,485 pixels" in refused.value.remedy


def test_the_limit_is_what_a_node_can_load(tmp_path: Path) -> None:
    """Up to 178 million Pillow would only warn, and here warnings are errors."""
    height, width = 16, MAX_PIXELS // 16
    assert inspected(tmp_path, png(width, height, zeros(height * (width // 8 + 2)))).width == width
    with pytest.raises(UploadRefused, match="5592406x16 pixels"):
        inspected(tmp_path, png(width + 1, height, b""))


def test_the_limit_is_over_all_frames(tmp_path: Path) -> None:
    large = [pillow.new("1", (6000, 5000), shade) for shade in (0, 1, 0)]
    large[0].save(tmp_path / "a.gif", save_all=True, append_images=large[1:])
    with pytest.raises(UploadRefused, match="6000x5000 pixels in 3 frames"):
        inspected(tmp_path, (tmp_path / "a.gif").read_bytes())


LYING_HEADERS = {
    "longer than the file": struct.pack("<Q", 5000) + b'{"a":1}',
    "longer than allowed": struct.pack("<Q", 25_000_001) + b"{" + bytes(100),
    "immensely long": b"\xff" * 8 + b"{}",
    "not JSON": safetensors(b"{abc}"),
    "not UTF-8": safetensors(b'{"\xff":1}'),
    "too deep": safetensors(b'{"a":' + b"[" * 200_000 + b"}"),
    "huge numbers": safetensors(b'{"a":' + b"9" * 100_000 + b"}"),
    "no tensor": safetensors({"a": 1}),
    "metadata is a list": safetensors({"__metadata__": []}),
    "metadata isn't text": safetensors({"__metadata__": {"a": {}}}),
    "unknown type": safetensors({"a": tensor(0, 4, "F31")}, bytes(4)),
    "type is a list": safetensors({"a": tensor(0, 4) | {"dtype": []}}, bytes(4)),
    "shape doesn't fit": safetensors({"a": tensor(0, 4, "F32", [2])}, bytes(4)),
    "shape is true": safetensors({"a": tensor(0, 1, "U8", [True])}, bytes(1)),
    "negative": safetensors({"a": tensor(0, 4, "U8", [-2, -2])}, bytes(4)),
    "too many axes": safetensors({"a": tensor(0, 1, "U8", [1] * 65)}, bytes(1)),
    "a product that takes hours": safetensors({"a": tensor(0, 1, "U8", [10**18] * 1_000_000)}, bytes(1)),
    "backwards": safetensors({"a": tensor(4, 0, "U8", [4])}, bytes(4)),
    "past the end": safetensors({"a": tensor(0, 8)}, bytes(4)),
    "overlapping": safetensors({"a": tensor(0, 4), "b": tensor(2, 6)}, bytes(6)),
    "a gap": safetensors({"a": tensor(0, 4), "b": tensor(6, 8)}, bytes(8)),
    "more behind": safetensors({"a": tensor(0, 4)}, bytes(4) + b"<html>"),
    "three offsets": safetensors({"a": tensor(0, 4) | {"data_offsets": [0, 4, 4]}}, bytes(4)),
    "too many": safetensors({f"{number}": tensor(0, 0) for number in range(100_001)}),
}


@pytest.mark.parametrize("lie", LYING_HEADERS)
def test_headers_that_lie_are_refused(tmp_path: Path, lie: str) -> None:
    begin = time.perf_counter()
    with pytest.raises(UploadRefused):
        inspected(tmp_path, LYING_HEADERS[lie])
    assert time.perf_counter() - begin < 5


def test_tensors_of_all_sizes_may_follow_each_other(tmp_path: Path) -> None:
    header = {"b": tensor(2, 4), "empty": tensor(2, 2), "scalar": tensor(4, 5, "U8", []), "a": tensor(0, 2, "F8_E4M3")}
    assert inspected(tmp_path, safetensors(header, bytes(5))).width is None


def test_flipped_bytes_of_a_header_never_crash(tmp_path: Path) -> None:
    content, draw = safetensors(LATENT, bytes(72)), random.Random(7)
    refused = 0
    for _ in range(200):
        damaged = bytearray(content)
        damaged[draw.randrange(len(content) - 72)] ^= draw.randrange(1, 256)
        begin = time.perf_counter()
        try:
            assert inspected(tmp_path, bytes(damaged)).width is None
        except UploadRefused:
            refused += 1
        assert time.perf_counter() - begin < 2
    assert refused > 100
