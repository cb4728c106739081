"""Look at picture files without decoding them: size, frames, and whether they are whole.

A folder of 100,000 pictures is looked at before a training begins, so this reads headers, and of what follows only as
much as tells a file that was cut off. What looks cut off is decoded, to be sure.
"""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from PIL import ExifTags, UnidentifiedImageError
from PIL import Image as Picture

from graphengine.diffusion.picture_size import MAX_PIXELS, frames_of

__all__ = ["PICTURE_ENDINGS", "PictureLook", "UnreadablePicture", "look_at", "look_into"]

PICTURE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"})

# Pillow raises any of these for damaged files.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Picture.DecompressionBombError)

_TAIL_BYTES = 4096  # cameras append a little after a JPEG's end


class UnreadablePicture(Exception):
    """A file can't be used as a picture; the text says why."""


@dataclass(frozen=True)
class PictureLook:
    """What a picture file says of itself.

    Attributes:
        width: As shown, turned as its EXIF says.
        height: As ``width``.
        frames: More than 1 for an animation.
        is_cmyk: Whether its colours are inks.
    """

    width: int
    height: int
    frames: int = 1
    is_cmyk: bool = False


def look_at(path: Path) -> PictureLook:
    """Read a picture file's header, and make sure that the file is whole.

    Raises:
        UnreadablePicture: if it is no picture, cut off, empty or too large.
    """
    try:
        with path.open("rb") as file:
            return look_into(file)
    except OSError as error:
        raise UnreadablePicture(str(error)) from error


def look_into(file: IO[bytes]) -> PictureLook:
    """Do as ``look_at`` for a file that is open, or in memory."""
    try:
        with warnings.catch_warnings(action="ignore"), Picture.open(file) as picture:  # of odd metadata, and of size
            width, height = picture.size
            frames = frames_of(picture)
            _check_size(width, height)
            if _is_turned(file, picture):
                width, height = height, width
            if not _looks_whole(file, picture):
                picture.load()
            return PictureLook(width, height, frames, picture.mode == "CMYK")
    except UNREADABLE as error:
        if isinstance(error, UnidentifiedImageError):
            raise UnreadablePicture("it is no picture" if _size(file) else "it is empty") from error
        raise UnreadablePicture(str(error).rstrip(".") or type(error).__name__) from error


def _check_size(width: int, height: int) -> None:
    if not width or not height:
        raise ValueError(f"it is empty: {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels are too many; {MAX_PIXELS:,} are the most")


def _is_turned(file: IO[bytes], picture: Picture.Image) -> bool:
    """Tell whether EXIF swaps the sides of the size that Pillow gives.

    Of a TIFF it gives the turned one; a PNG it decodes to look for EXIF, so that is asked only if there may be any.
    """
    if picture.format == "TIFF":
        return False
    if picture.format == "PNG" and not any(_may_hold_orientation(*chunk) for chunk in _png_chunks(file)):
        return False
    return int(picture.getexif().get(ExifTags.Base.Orientation, 1)) >= 5


def _may_hold_orientation(kind: bytes, start: bytes) -> bool:
    return kind == b"eXIf" or (kind in (b"tEXt", b"zTXt", b"iTXt") and start.startswith((b"Raw profile", b"XML:com")))


def _png_chunks(file: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Give each chunk's kind and its first bytes, leaving the file where it was."""
    place = file.tell()
    try:
        file.seek(8)
        while len(head := file.read(24)) >= 8:
            length, kind = struct.unpack(">I4s", head[:8])
            yield kind, head[8:]
            file.seek(length + 12 - len(head), os.SEEK_CUR)
    finally:
        file.seek(place)


def _looks_whole(file: IO[bytes], picture: Picture.Image) -> bool:
    """Tell whether a file's end is there, as far as its format has one; the rest is decoded to know."""
    match picture.format:
        case "PNG":
            return any(kind == b"IEND" for kind, _start in _png_chunks(file))
        case "JPEG" | "MPO":
            return b"\xff\xd9" in _tail(file, _TAIL_BYTES)
        case "GIF":
            return _tail(file, 1) == b"\x3b"
        case "WEBP":
            return _declared_riff_size(file) <= _size(file)
        case _:
            return False


def _tail(file: IO[bytes], count: int) -> bytes:
    place = file.tell()
    file.seek(max(0, _size(file) - count))
    tail = file.read(count)
    file.seek(place)
    return tail


def _declared_riff_size(file: IO[bytes]) -> int:
    place = file.tell()
    file.seek(4)
    (size,) = struct.unpack("<I", file.read(4))
    file.seek(place)
    return int(size) + 8


def _size(file: IO[bytes]) -> int:
    place = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(place)
    return size
