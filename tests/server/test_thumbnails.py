"""Thumbnails look like their pictures, are made once, and don't fill the disk."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as pillow

from graphengine.errors import GraphEngineError
from graphengine.server import thumbnails
from graphengine.server.thumbnails import Thumbnails, make_thumbnail
from graphengine.server.upload_contents import UploadRefused


def saved(folder: Path, picture: pillow.Image, name: str = "large.png", **options: Any) -> Path:  # Any: Pillow's
    picture.save(folder / name, **options)
    return folder / name


def thumbnail(folder: Path, source: Path, side: int = 128) -> pillow.Image:
    make_thumbnail(source, folder / "small" / "it.webp", side)
    with pillow.open(folder / "small" / "it.webp", formats=["WEBP"]) as picture:
        picture.load()
        return picture


def colour_at(picture: pillow.Image, x: float, y: float) -> list[int]:
    """Round to what WebP keeps."""
    pixel = picture.convert("RGBA").getpixel((int(x * (picture.width - 1)), int(y * (picture.height - 1))))
    assert isinstance(pixel, tuple)
    return [round(value / 51) for value in pixel]


@pytest.mark.parametrize("side", [128, 256, 512])
def test_a_thumbnail_fits_its_square(tmp_path: Path, side: int) -> None:
    assert thumbnail(tmp_path, saved(tmp_path, pillow.new("RGB", (1000, 500))), side).size == (side, side // 2)


def test_a_small_picture_keeps_its_size(tmp_path: Path) -> None:
    assert thumbnail(tmp_path, saved(tmp_path, pillow.new("RGB", (20, 10)))).size == (20, 10)


def test_a_line_stays_a_line(tmp_path: Path) -> None:
    assert thumbnail(tmp_path, saved(tmp_path, pillow.new("RGB", (5000, 1)))).size == (128, 1)


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tif"])
def test_a_picture_on_its_side_is_turned(tmp_path: Path, kind: str) -> None:
    picture, exif = pillow.new("RGB", (600, 300), "white"), pillow.Exif()
    picture.paste("black", (0, 0, 300, 300))
    exif[0x0112], exif[0x013B] = 6, "the photographer"
    small = thumbnail(tmp_path, saved(tmp_path, picture, f"large.{kind}", exif=exif))
    assert small.size == (64, 128)
    assert [colour_at(small, 0.5, y)[0] for y in (0, 1)] == [0, 5]
    assert b"photographer" not in (tmp_path / "small" / "it.webp").read_bytes()


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_pictures_of_all_modes_keep_their_colour(tmp_path: Path, mode: str) -> None:
    value = {"1": 255, "I;16": 52428, "I": 52428, "F": 0.8}.get(mode)
    picture = pillow.new("L", (300, 300), 204).convert(mode) if value is None else pillow.new(mode, (300, 300), value)
    source = saved(tmp_path, picture, "large.png" if mode == "P" else "large.tif")
    assert colour_at(thumbnail(tmp_path, source), 0.5, 0.5)[:3] == [5 if mode == "1" else 4] * 3


@pytest.mark.parametrize("mode", ["P", "RGB", "RGBA", "LA"])
def test_what_is_transparent_stays_so(tmp_path: Path, mode: str) -> None:
    picture = pillow.new("RGBA", (300, 300), (255, 0, 0, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 150, 300))
    if mode == "RGB":  # by naming a colour
        source = saved(tmp_path, picture.convert("RGB"), transparency=(0, 0, 0))
    else:
        source = saved(tmp_path, picture.convert(mode))
    small = thumbnail(tmp_path, source)
    assert [colour_at(small, x, 0.5)[3] for x in (0, 1)] == [0, 5]


def test_a_damaged_picture_leaves_nothing(tmp_path: Path) -> None:
    source = saved(tmp_path, pillow.effect_noise((300, 300), 80))
    source.write_bytes(source.read_bytes()[:5000])
    with pytest.raises(UploadRefused, match=r"'large\.png' is damaged"):
        make_thumbnail(source, tmp_path / "it.webp", 128)
    assert list(tmp_path.iterdir()) == [source]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    source = saved(tmp_path, pillow.new("L", (9, 9)))
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(GraphEngineError, match="disk is full"):
        make_thumbnail(source, tmp_path / "it.webp", 128)
    assert list(tmp_path.iterdir()) == [source]


def test_other_sizes_and_odd_digests_are_the_callers_mistake(tmp_path: Path) -> None:
    kept = Thumbnails(tmp_path)
    for digest, side in (("a" * 64, 100), ("../" + "a" * 61, 128), ("A" * 64, 128)):
        with pytest.raises(ValueError, match="no thumbnail"):
            kept.get(tmp_path / "x", digest, side)
    with pytest.raises(ValueError, match="side is 100"):
        make_thumbnail(tmp_path / "x", tmp_path / "y", 100)


def test_threads_that_ask_at_once_make_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def counted(source: Path, destination: Path, side: int) -> None:
        made.append((destination, side))
        make_thumbnail(source, destination, side)

    monkeypatch.setattr(thumbnails, "make_thumbnail", counted)
    source = saved(tmp_path, pillow.effect_noise((1500, 1500), 80))
    digest, kept = sha256(source.read_bytes()).hexdigest(), Thumbnails(tmp_path / "thumbnails")
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda index: kept.get(source, digest, (128, 256)[index % 2]), range(16)))
    assert len(set(paths)) == len(made) == 2
    assert {path.name for path in (tmp_path / "thumbnails").iterdir()} == {f"{digest}-128.webp", f"{digest}-256.webp"}


def test_a_kept_thumbnail_needs_no_source(tmp_path: Path) -> None:
    source, kept = saved(tmp_path, pillow.new("L", (9, 9))), Thumbnails(tmp_path / "thumbnails")
    path = kept.get(source, "a" * 64, 128)
    source.unlink()
    assert kept.get(source, "a" * 64, 128) == path
    with pytest.raises(GraphEngineError, match=r"thumbnail of large\.png: No such file"):
        kept.get(source, "b" * 64, 128)


def test_a_full_folder_drops_what_was_not_asked_for_the_longest(tmp_path: Path) -> None:
    source, folder = saved(tmp_path, pillow.effect_noise((128, 128), 80)), tmp_path / "thumbnails"
    size = Thumbnails(folder).get(source, "0" * 64, 128).stat().st_size
    kept = Thumbnails(folder, budget_bytes=size * 5)
    for age, digit in enumerate("1234"):
        os.utime(kept.get(source, digit * 64, 128), (1000 + age, 1000 + age))
    kept.get(source, "1" * 64, 128)  # the oldest, but used again
    os.utime(folder / f"{'0' * 64}-128.webp", (2000, 2000))
    kept.get(source, "5" * 64, 128)
    assert sorted(path.name[0] for path in folder.iterdir()) == ["0", "1", "4", "5"]


def test_the_newest_thumbnail_is_given_even_if_it_fills_the_folder(tmp_path: Path) -> None:
    kept = Thumbnails(tmp_path / "thumbnails", budget_bytes=1)
    source = saved(tmp_path, pillow.new("L", (9, 9)))
    for digit in "ab":
        assert kept.get(source, digit * 64, 128).exists()
    assert len(list((tmp_path / "thumbnails").iterdir())) == 1
