from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from graphengine.diffusion import images
from graphengine.errors import InputError
from graphengine.types import Image, Mask

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def noise(count: int, height: int, width: int) -> Image:
    return Image(torch.rand(count, height, width, 3, generator=torch.Generator().manual_seed(1)))


def picture_of(array: Any) -> Picture.Image:  # Any: nested lists of numbers
    return Picture.fromarray(np.array(array, dtype=np.uint8))


def test_rgb_picture_loads_exactly_with_an_empty_mask(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Picture.fromarray(pixels).save(tmp_path / "a.png")

    image, mask = images.load(tmp_path / "a.png")

    assert image.shape == (1, 5, 7, 3)
    assert image.dtype == mask.dtype == torch.float32
    assert torch.equal(mask, torch.zeros(1, 5, 7))
    assert np.array_equal(images.to_bytes(image)[0], pixels)


def test_mask_is_what_is_transparent(tmp_path: Path) -> None:
    picture_of([[[255, 0, 0, 255], [0, 255, 0, 0], [0, 0, 255, 51]]]).save(tmp_path / "a.png")
    image, mask = images.load(tmp_path / "a.png")
    torch.testing.assert_close(mask, torch.tensor([[[0.0, 1.0, 0.8]]]))
    assert images.to_bytes(image).tolist() == [[[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]]


def test_palette_with_transparency(tmp_path: Path) -> None:
    picture = picture_of([[0, 1]]).convert("P")
    picture.putpalette([*RED, *GREEN])
    picture.save(tmp_path / "a.png", transparency=1)
    image, mask = images.load(tmp_path / "a.png")
    assert images.to_bytes(image).tolist() == [[[list(RED), list(GREEN)]]]
    assert mask.tolist() == [[[0.0, 1.0]]]


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    Picture.fromarray(np.array([[0, 300, 32768, 65535]], dtype=np.uint16)).save(tmp_path / f"a.{suffix}")
    image, _mask = images.load(tmp_path / f"a.{suffix}")
    torch.testing.assert_close(image[0, 0, :, 0], torch.tensor([0, 300, 32768, 65535]) / 65535)
    assert torch.equal(image[..., 0], image[..., 2])


def test_float_pictures_load_as_they_are_or_are_refused(tmp_path: Path) -> None:
    Picture.fromarray(np.array([[0.0, 0.1, 1.0]], dtype=np.float32)).save(tmp_path / "a.tiff")
    assert images.load(tmp_path / "a.tiff")[0][0, 0, 1, 0].item() == pytest.approx(0.1)
    for odd in (2.0, -0.5, float("nan")):
        Picture.fromarray(np.array([[0.0, odd]], dtype=np.float32)).save(tmp_path / "b.tiff")
        with pytest.raises(InputError, match=r"b\.tiff has values outside"):
            images.load(tmp_path / "b.tiff")


@pytest.mark.parametrize(
    ("mode", "colour", "suffix"),
    [
        ("1", 1, "png"),
        ("L", 255, "png"),
        ("LA", (255, 255), "png"),
        ("CMYK", (0, 0, 0, 0), "jpg"),
        ("CMYK", (0, 0, 0, 0), "tiff"),
        ("YCbCr", (255, 128, 128), "jpg"),
        ("LAB", (255, 128, 128), "tiff"),
    ],
)
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str, colour: Any, suffix: str) -> None:  # Any: number or tuple
    Picture.new(mode, (3, 2), colour).save(tmp_path / f"a.{suffix}")
    image, mask = images.load(tmp_path / f"a.{suffix}")
    assert image.shape == (1, 2, 3, 3)
    assert image.min() > 0.98
    assert mask.max() == 0


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    """The file lies on its side; orientation 6 says to turn it by a quarter clockwise."""
    picture = picture_of([[RED, GREEN, BLUE]])
    exif = Picture.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.png", exif=exif)
    image, mask = images.load(tmp_path / "a.png")
    assert images.to_bytes(image).tolist() == [[[list(RED)], [list(GREEN)], [list(BLUE)]]]
    assert mask.shape == (1, 3, 1)


@pytest.mark.parametrize(
    "content", [b"garbage", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff\x01\x12"], ids=repr
)
def test_damaged_exif_does_not_spoil_the_picture(tmp_path: Path, content: bytes) -> None:
    Picture.new("RGB", (4, 3), RED).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + content)
    assert images.load(tmp_path / "a.jpg")[0].shape == (1, 3, 4, 3)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tiff"])
def test_animations_become_a_batch(tmp_path: Path, suffix: str) -> None:
    frames = [Picture.new("RGB", (8, 6), colour) for colour in (RED, GREEN, BLUE)]
    options: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}  # Any: Pillow's options
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **options)
    image, mask = images.load(tmp_path / f"a.{suffix}")
    assert image.shape == (3, 6, 8, 3)
    assert images.to_bytes(image)[:, 0, 0].tolist() == [list(RED), list(GREEN), list(BLUE)]
    assert mask.shape == (3, 6, 8)


def test_pages_of_several_sizes_are_refused(tmp_path: Path) -> None:
    pages = [Picture.new("RGB", size) for size in ((8, 6), (4, 3))]
    pages[0].save(tmp_path / "a.tiff", save_all=True, append_images=pages[1:])
    with pytest.raises(InputError, match="several sizes: 4x3, 8x6"):
        images.load(tmp_path / "a.tiff")


def test_of_a_phones_photo_only_the_first_picture_counts(tmp_path: Path) -> None:
    pages = [Picture.new("RGB", (8, 6), RED), Picture.new("RGB", (4, 3), BLUE)]
    pages[0].save(tmp_path / "a.mpo", save_all=True, append_images=pages[1:])
    image, _mask = images.load(tmp_path / "a.mpo")
    assert image.shape == (1, 6, 8, 3)


def png_header(width: int, height: int, frames: int = 0) -> bytes:
    """A PNG that claims a size, and frames if it is animated, and has no pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    animation = chunk(b"acTL", struct.pack(">II", frames, 0)) if frames else b""
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + animation
    return start + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def cut_png(path: Path) -> None:
    Picture.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:5000])


def cut_jpeg(path: Path) -> None:
    Picture.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:1500])


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "can't be read"),
    "text": (lambda path: path.write_text("hello"), "can't be read"),
    "truncated png": (cut_png, "can't be read"),
    "truncated jpeg": (cut_jpeg, "can't be read"),
    "no pixels": (lambda path: path.write_bytes(png_header(4, 4)), "can't be read"),
    "zero wide": (lambda path: path.write_bytes(png_header(0, 4)), "can't be read|is empty"),
    "bomb": (lambda path: path.write_bytes(png_header(60000, 60000)), "can't be read|too large"),
    "large": (lambda path: path.write_bytes(png_header(9000, 9950)), "too large|can't be read"),
    "large in all frames": (  # the still picture counts too
        lambda path: path.write_bytes(png_header(3000, 3000, 11)), "too large: 3000x3000 pixels in 12 frames"),
    "missing": (lambda path: None, "can't be read"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_files_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    make, message = BAD_FILES[kind]
    make(tmp_path / "holiday.png")
    with pytest.raises(InputError, match=message) as caught:
        images.load(tmp_path / "holiday.png")
    assert caught.value.input == "image"
    assert caught.value.message.startswith("holiday.png")
    assert caught.value.remedy


def test_bytes_are_rounded_and_clamped() -> None:
    values = torch.tensor([-1.0, 0.0, 0.499 / 255, 0.501 / 255, 254.6 / 255, 2.0])
    assert images.to_bytes(Image(values.reshape(1, 1, 2, 3))).flatten().tolist() == [0, 0, 0, 1, 255, 255]


def test_resizing_stays_in_range_and_follows_proportions() -> None:
    edges = Image((torch.arange(8) % 2).float()[:, None].expand(1, 8, 8, 3))
    resized = images.resize(edges, 0, 24, method="lanczos")
    assert resized.shape == (1, 24, 24, 3)
    assert resized.min() == 0
    assert resized.max() == 1
    assert resized.is_contiguous()


def test_compositing_keeps_both_pictures_bit_for_bit_outside_the_masks_edge() -> None:
    below, above = noise(1, 6, 8), Image(noise(2, 6, 8)[1:])
    mask = torch.zeros(1, 6, 8)
    mask[:, :, 4:] = 1
    mask[:, :, 3] = 0.25

    result = images.composite(below, above, x=0, y=0, mask=Mask(mask))

    assert torch.equal(result[:, :, :3], below[:, :, :3])
    assert torch.equal(result[:, :, 4:], above[:, :, 4:])
    torch.testing.assert_close(result[:, :, 3], below[:, :, 3] * 0.75 + above[:, :, 3] * 0.25)


def test_composited_picture_lies_at_its_place() -> None:
    below, above = Image(torch.zeros(1, 4, 6, 3)), Image(torch.ones(1, 2, 3, 3))
    result = images.composite(below, above, x=-1, y=3)[0, ..., 0]
    assert result.tolist() == [[0] * 6] * 3 + [[1, 1, 0, 0, 0, 0]]
    assert below.max() == 0
    assert images.composite(below, above, x=0, y=0, resize_source=True).min() == 1
    assert torch.equal(images.composite(below, above, x=6, y=0), below)


def test_masks_are_resized_to_the_source_and_single_items_repeat() -> None:
    below, above = Image(torch.zeros(2, 4, 4, 3)), Image(torch.ones(1, 4, 4, 3))
    result = images.composite(below, above, x=0, y=0, mask=Mask(torch.tensor([[[0.0, 1.0]]]).expand(1, 2, 2)))
    assert result.shape == (2, 4, 4, 3)
    assert result[0, 0, 0].max() == 0
    assert result[1, 0, 3].min() == 1
    masks = Mask(torch.ones(3, 4, 4))
    assert images.composite(Image(below[:1]), above, x=0, y=0, mask=masks).shape == (3, 4, 4, 3)
    with pytest.raises(InputError, match="a batch of 3 beside a batch of 2") as caught:
        images.composite(below, above, x=0, y=0, mask=masks)
    assert caught.value.input == "mask"


def test_grid_places_pictures_in_reading_order() -> None:
    """
    0 1
    2      the fourth place stays white
    """
    batch = Image(torch.stack([torch.full((2, 3, 3), value) for value in (0.0, 0.25, 0.5)]))
    sheet = images.grid(batch, gap=1)
    assert sheet.shape == (1, 5, 7, 3)
    assert sheet[0, ::2, :, 0][[0, 2]].tolist() == [[0, 0, 0, 1, 0.25, 0.25, 0.25], [0.5, 0.5, 0.5, 1, 1, 1, 1]]
    assert images.grid(batch, columns=99).shape == (1, 2, 9, 3)
    assert images.grid(batch, columns=1).shape == (1, 6, 3, 3)


def test_long_labels_are_wrapped() -> None:
    batch = Image(torch.zeros(2, 8, 60, 3))
    short = images.grid(batch, columns=2, labels=["red", "blue"])
    long = images.grid(batch, columns=2, labels=["a red star in the centre of a white picture", "blue"])
    line = images.LABEL_SIZE + 4
    assert short.shape[1] == 8 + line
    assert long.shape[1] >= 8 + 3 * line
    assert (long[0, 8:, :60] < 0.5).any(dim=2).any(dim=1).sum() > line, "several lines hold ink"


def test_a_table_has_a_text_for_each_row_and_column() -> None:
    """
             one  two
    first     0   1/4
    second   1/2  3/4
    """
    batch = Image(torch.stack([torch.full((40, 60, 3), value) for value in (0.0, 0.25, 0.5, 0.75)]))
    sheet = images.table(batch, column_heads=["one", "two"], row_heads=["first", "second"], gap=2)[0, :, :, 0]
    line, left = images.LABEL_SIZE + 4, sheet.shape[1] - 2 * 60 - 2
    assert sheet.shape[0] == line + 2 * 40 + 2
    assert sheet[:line, :left].min() == 1
    heads = [
        sheet[:line, left:][:, :60],
        sheet[:line, left + 62 :],
        sheet[line:, :left][:40],
        sheet[line + 42 :, :left],
    ]
    assert all(head.min() < 0.5 and head.max() == 1 for head in heads)
    pictures = sheet[line:, left:]
    assert [pictures[y, x] for y in (20, 62) for x in (30, 92)] == [0, 0.25, 0.5, 0.75]
    assert (pictures[40:42] == 1).all()
    with pytest.raises(InputError, match="4 pictures for 1 rows of 3"):
        images.table(batch, column_heads=["a", "b", "c"])


def test_heads_taller_than_pictures_move_the_rows_apart() -> None:
    batch = Image(torch.zeros(2, 8, 30, 3))
    sheet = images.table(batch, column_heads=["x"], row_heads=["a b c d e f g h i j k l m n"] * 2)[0]
    assert sheet.shape[0] >= 5 * (images.LABEL_SIZE + 4)
    assert sheet[:, -30:].mean(dim=(1, 2)).eq(0).sum() == 16


def test_grid_labels_are_drawn_under_their_pictures() -> None:
    batch = Image(torch.zeros(2, 10, 60, 3))
    sheet = images.grid(batch, columns=2, labels=["step 1", ""])
    strips = sheet[0, 10:]
    assert strips.shape[0] == images.LABEL_SIZE + 4
    assert strips[:, :60].min() < 0.5
    assert strips[:, 60:].min() == 1
    with pytest.raises(InputError, match="1 labels for 2 pictures"):
        images.grid(batch, labels=["one"])
