"""Picture files with the workflow that made them inside: written, and read again.

A PNG has it in a text chunk. JPEG and WebP have it in the EXIF comment, as ``graphengine:`` and JSON; a JPEG's EXIF
holds 64 KB, so a longer one is compressed there: ``graphengine-deflate:`` and base64.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphengine.errors import FileFormatError, InputError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from graphengine.types import PictureFormat

__all__ = ["METADATA_KEY", "read_embedded_workflow", "write_picture"]

METADATA_KEY = "graphengine"
"""The PNG text chunk that holds the workflow."""

_LARGEST_COMPRESSED = 1024 * 1024 - 1  # pillow reads no more from a compressed chunk, against decompression bombs
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_ASCII = b"ASCII\0\0\0"  # what a comment begins with, by the standard
_PLAIN, _DEFLATED = f"{METADATA_KEY}:", f"{METADATA_KEY}-deflate:"
_LARGEST_INFLATED = 64 * 1024 * 1024
_LARGEST_COMMENT = 65_000  # a JPEG's EXIF holds 65,533 bytes, with what surrounds the comment


def write_picture(picture: Picture, path: Path, *, picture_format: PictureFormat, quality: int, workflow: str) -> None:
    """Encode a picture into a file.

    Args:
        quality: 1…100, for JPEG and WebP; a WebP of 100 is lossless.
        workflow: JSON to embed; an empty text for none.

    Raises:
        InputError: if the workflow is too large for a JPEG, or the picture for its format.
        OSError: if the file can't be written.
    """
    if picture_format == "png":
        picture.save(path, format="PNG", pnginfo=_png_metadata(workflow))
        return
    options: dict[str, Any] = {"quality": quality}  # Any: options of the encoder
    if workflow:
        options["exif"] = _exif_metadata(workflow)
    if picture_format == "webp":
        options |= {"lossless": quality == 100, "method": 4}
    try:
        picture.save(path, format=picture_format, **options)
    except ValueError as error:  # of its sides: WebP ends at 16,383 pixels
        raise InputError("format", f"the picture can't be saved as {picture_format}: {error}.", "Save PNG.") from error


def read_embedded_workflow(path: Path) -> bytes:
    """Give the workflow that a picture was made by, as JSON text.

    Raises:
        FileFormatError: if the file is no whole picture, or carries no workflow of graphengine.
    """
    from PIL import Image as pillow

    try:
        with pillow.open(path) as picture:
            picture.load()
            text = getattr(picture, "text", {}).get(METADATA_KEY) or _read_comment(picture)
    except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError) as error:
        raise FileFormatError(f"{path}: the picture can't be read: {error}. Give a whole one.") from error
    if text is None:
        raise FileFormatError(f"{path}: the picture carries no workflow. Give one that graphengine saved.")
    return str(text).encode()


def _png_metadata(workflow: str) -> object:
    from PIL.PngImagePlugin import PngInfo

    metadata = PngInfo()
    if workflow:
        metadata.add_itxt(METADATA_KEY, workflow, zip=len(workflow.encode()) <= _LARGEST_COMPRESSED)
    return metadata


def _exif_metadata(workflow: str) -> bytes:
    from PIL import Image as pillow

    comment = (_PLAIN + json.dumps(json.loads(workflow), separators=(",", ":"))).encode()
    if len(comment) > _LARGEST_COMMENT:
        comment = _DEFLATED.encode() + base64.b64encode(zlib.compress(workflow.encode(), 9))
    if len(comment) > _LARGEST_COMMENT:
        raise InputError("format", "the workflow is too large to be saved in this kind of picture.", "Save PNG.")
    exif = pillow.Exif()
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = _ASCII + comment
    return exif.tobytes()


def _read_comment(picture: Picture) -> str | None:
    comment = picture.getexif().get_ifd(_EXIF_IFD).get(_USER_COMMENT)
    if not isinstance(comment, bytes):
        return None
    text = comment.removeprefix(_ASCII).decode("utf-8", "replace")
    if text.startswith(_PLAIN):
        return text.removeprefix(_PLAIN)
    if not text.startswith(_DEFLATED):
        return None
    return _inflated(text.removeprefix(_DEFLATED))


def _inflated(text: str) -> str:
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(base64.b64decode(text, validate=True), _LARGEST_INFLATED)
        if not unpacker.eof:
            raise ValueError("its workflow is cut off, or larger than any")
        return content.decode()
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"its workflow is damaged: {error}") from error
