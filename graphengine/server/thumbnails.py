"""Small pictures of large ones, made once and kept while there is room."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from graphengine.server.upload_contents import open_picture
from graphengine.server.uploads import cant_keep

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["SIDES", "Thumbnails", "make_thumbnail"]

SIDES = (128, 256, 512)
BUDGET_BYTES = 200_000_000

_QUALITY = 80
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DEEP_WHITE = {"F": 1.0, "I": 65535.0}  # white in pictures of more than 8 bits, as graphengine.diffusion.images has it


def make_thumbnail(source: Path, destination: Path, side: int) -> None:
    """Write a WebP of a picture that fits a square, turned as the EXIF says; small pictures keep their size.

    Args:
        destination: Replaced whole, or left as it is.
        side: Of the square in pixels, one of ``SIDES``.

    Raises:
        UploadRefused: if the source is no picture that can be decoded.
        GraphEngineError: if the disk is full or fails.
    """
    if side not in SIDES:
        raise ValueError(f"side is {side}, not one of {SIDES}")
    draft = destination.with_name(f".{secrets.token_hex(8)}.part")
    try:
        picture = _shrink(source, side)
        destination.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("xb") as file:
            picture.save(file, "WEBP", quality=_QUALITY)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, destination)
    except OSError as error:
        raise cant_keep(f"a thumbnail of {source.name}", error) from error
    finally:
        draft.unlink(missing_ok=True)


class Thumbnails:
    """A folder of thumbnails, named by what they show, those dropped first that weren't asked for the longest.

    Args:
        budget_bytes: The largest size of all of them.
    """

    def __init__(self, folder: Path, *, budget_bytes: int = BUDGET_BYTES) -> None:
        self._folder = folder
        self._budget_bytes = budget_bytes
        self._used_bytes: int | None = None
        self._counting = threading.Lock()
        self._making = tuple(threading.Lock() for _ in range(16))  # one for each first digit of the digest

    def get(self, source: Path, sha256: str, side: int) -> Path:
        """Give the thumbnail of a picture, made now if need be; who asks for the same meanwhile waits for it.

        Args:
            sha256: Of the source, in hex; the source is only read if these bytes have no thumbnail.
            side: Of the square that it fits, in pixels, one of ``SIDES``.

        Raises:
            UploadRefused: if the source is no picture that can be decoded.
            GraphEngineError: if the disk is full or fails.
        """
        if side not in SIDES or not _SHA256.fullmatch(sha256):
            raise ValueError(f"no thumbnail has the side {side} and the digest {sha256!r}")
        path = self._folder / f"{sha256}-{side}.webp"
        with self._making[int(sha256[0], 16)]:
            try:
                os.utime(path)  # marks it as used
            except FileNotFoundError:
                make_thumbnail(source, path, side)
                self._count(path)
        return path

    def _count(self, made: Path) -> None:
        """Note a new thumbnail's size; the folder is only listed for the first one, and when it is full."""
        with self._counting, contextlib.suppress(OSError):
            if self._used_bytes is not None:
                self._used_bytes += made.stat().st_size
            if self._used_bytes is None or self._used_bytes > self._budget_bytes:
                self._used_bytes = self._make_room(made)

    def _make_room(self, spared: Path) -> int:
        """Drop the oldest until a tenth of a full folder is free, and say what is left."""
        found = []
        for each in os.scandir(self._folder):
            with contextlib.suppress(FileNotFoundError):
                found.append((each.stat().st_mtime_ns, each.stat().st_size, each.path))
        used = sum(size for _, size, _ in found)
        if used <= self._budget_bytes:
            return used
        for _, size, path in sorted(found):
            if used <= self._budget_bytes * 0.9:
                break
            if Path(path) != spared:  # its caller is about to read it
                with contextlib.suppress(OSError):
                    os.unlink(path)
                    used -= size
        return used


def _shrink(source: Path, side: int) -> Picture:
    from PIL import Image as pillow
    from PIL import ImageOps

    with open_picture(source, source.name) as opened:
        picture: Picture = opened
        if picture.mode.startswith(("I", "F")):
            picture = _less_deep(picture)
        elif picture.mode in ("1", "P", "PA") or "transparency" in picture.info:  # these can't be averaged
            picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
        picture.thumbnail((side, side), pillow.Resampling.LANCZOS)
        picture = ImageOps.exif_transpose(picture)
        return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _less_deep(picture: Picture) -> Picture:
    """Bring grey of more than 8 bits to 8; Pillow's own conversion clips it."""
    if picture.mode not in _DEEP_WHITE:  # 16 bits, in either order of bytes
        picture = picture.convert("I")
    scale = 255 / _DEEP_WHITE[picture.mode]
    return picture.convert("F").point(lambda value: value * scale + 0.5).convert("L")
