"""Decide what an uploaded file is by its bytes; its name and declared type are whatever the sender wished.

Only what the nodes can use is let in: pictures that decode, and sound and safetensors that the header proves whole.
"""

from __future__ import annotations

import json
import threading
import warnings
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from graphengine.diffusion.model_files import DTYPE_BITS
from graphengine.diffusion.picture_size import MAX_PIXELS, frames_of
from graphengine.errors import GraphEngineError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

__all__ = ["Content", "UploadRefused", "look_inside", "open_picture"]

MAX_HEADER_BYTES = 25_000_000
MAX_TENSORS = 100_000

_PICTURES = {
    "PNG": ("image/png", ".png"),
    "JPEG": ("image/jpeg", ".jpg"),
    "WEBP": ("image/webp", ".webp"),
    "GIF": ("image/gif", ".gif"),
    "BMP": ("image/bmp", ".bmp"),
    "TIFF": ("image/tiff", ".tif"),
}
_TENSORS = ("application/x-safetensors", ".safetensors")
_SOUND = ("audio/wav", ".wav")
_ORIENTATION = 0x0112  # the EXIF tag
_LYING = range(5, 9)  # its values for pictures on their side
_PNG_END = b"\xaeB`\x82"  # the checksum of the last chunk, which Pillow doesn't read
_MAX_AXES = 64  # as many as torch has; it also bounds the time that their product takes
_PILLOWS_MODULES = r"PIL\."

# A picture that Pillow opens takes up to 0.7 GB when it is decoded, and as much again when it is converted.
_decoders = threading.BoundedSemaphore(2)


class UploadRefused(GraphEngineError):
    """A file is not taken in; the message is for who sent it."""

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message = message
        self.remedy = remedy
        super().__init__(message, remedy)

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}" if self.remedy else self.message


class Content(NamedTuple):
    """What a file holds.

    Attributes:
        media_type: Such as ``image/png``.
        extension: The one that fits, with its dot.
        width: In pixels, turned as the EXIF says; None for tensors.
        height: As width.
    """

    media_type: str
    extension: str
    width: int | None = None
    height: int | None = None


def look_inside(path: Path, name: str) -> Content:
    """Say what a file holds, having read all of a picture, or the header of sound or of a safetensors file.

    Args:
        name: What messages call the file.

    Raises:
        UploadRefused: if it is of another kind, damaged, cut off or too large.
    """
    with path.open("rb") as file:
        start = file.read(12)
    if start[:4] == b"RIFF" and start[8:] == b"WAVE":
        _check_sound(path, name)
        return Content(*_SOUND)
    if start[4:9] == b"\0\0\0\0{":  # a header of less than 4 GiB, and its first brace: no picture starts so
        _check_tensors(path, name)
        return Content(*_TENSORS)
    _verify_picture(path, name)
    with open_picture(path, name) as picture:
        _check_size(picture, name)
        picture.load()
        width, height = picture.size
        if picture.getexif().get(_ORIENTATION) in _LYING:
            width, height = height, width
        kind = "JPEG" if picture.format == "MPO" else str(picture.format)  # a phone's photo with previews
        return Content(*_PICTURES[kind], width, height)


def _check_sound(path: Path, name: str) -> None:
    """Check that a WAV file holds PCM samples, as many as it says."""
    try:
        with wave.open(str(path), "rb") as sound:
            sound.setpos(max(0, sound.getnframes() - 1))
            is_whole = len(sound.readframes(1)) == sound.getnchannels() * sound.getsampwidth()
    except (wave.Error, EOFError) as error:
        raise _damaged(name, f"its sound can't be read ({str(error) or 'it is cut off'})") from error
    if not is_whole:
        raise _damaged(name, "it is cut off, or silent without a sample")


@contextmanager
def open_picture(path: Path, name: str) -> Iterator[ImageFile]:
    """Open a picture of a known kind, by its content; what goes wrong inside becomes a refusal.

    Raises:
        UploadRefused: if it is of another kind, larger than Pillow opens any, or can't be decoded.
        OSError: if the disk fails.
    """
    from PIL import Image as pillow
    from PIL import UnidentifiedImageError

    _hush_pillow()
    with _decoders:
        try:
            with path.open("rb") as file, pillow.open(file, formats=list(_PICTURES)) as picture:
                yield picture
        except UploadRefused:
            raise
        except UnidentifiedImageError as error:
            raise _unknown(name) from error
        except pillow.DecompressionBombError as error:
            raise _too_large(name, str(error).rstrip(".")) from error
        except Exception as error:  # for damaged files decoders raise nearly anything
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise _damaged(name, str(error) or type(error).__name__) from error


def _verify_picture(path: Path, name: str) -> None:
    """Check what can be checked without decoding; afterwards Pillow wants the picture opened anew."""
    with open_picture(path, name) as picture:
        file = picture.fp
        picture.verify()
        if picture.format == "PNG" and file is not None and file.read(4) != _PNG_END:
            raise _damaged(name, "it is cut off")


def _check_size(picture: ImageFile, name: str) -> None:
    """Refuse what couldn't be loaded by any node."""
    frames = frames_of(picture)
    if picture.width * picture.height * frames > MAX_PIXELS:
        counted = f" in {frames:,} frames" if frames > 1 else ""
        raise _too_large(name, f"it is {picture.width}x{picture.height} pixels{counted}")


def _hush_pillow() -> None:
    """Drop Pillow's warnings of odd metadata and of size, for good: ``catch_warnings`` is not for threads."""
    if not any(getattr(module, "pattern", None) == _PILLOWS_MODULES for _, _, _, module, _ in warnings.filters):
        warnings.filterwarnings("ignore", module=_PILLOWS_MODULES)


def _check_tensors(path: Path, name: str) -> None:
    """Prove by its header that a safetensors file is whole."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise _too_large(name, f"its header claims {length:,} bytes, {MAX_HEADER_BYTES:,} are allowed")
        if 8 + length > size:
            raise _damaged(name, f"its header claims {length:,} bytes, the file has {size:,}")
        tensors = _tensors(name, file.read(length))
    if len(tensors) > MAX_TENSORS:
        raise _too_large(name, f"it holds {len(tensors):,} tensors, {MAX_TENSORS:,} are allowed")
    position = 0
    for begin, end in sorted(_place(name, tensor, entry) for tensor, entry in tensors.items()):
        if begin != position:  # the format allows no gaps either: other things hide there
            raise _damaged(name, f"a tensor begins at byte {begin} instead of {position}")
        position = end
    if position != size - 8 - length:
        raise _damaged(name, f"its tensors take {position:,} bytes, the file has {size - 8 - length:,} for them")


def _tensors(name: str, text: bytes) -> dict[str, object]:
    """Parse a header; its metadata is checked and left out."""
    try:
        header = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise _damaged(name, "its header isn't JSON") from error
    if not isinstance(header, dict):
        raise _damaged(name, "its header isn't an object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _damaged(name, "its metadata isn't text")
    return header


def _place(name: str, tensor: str, entry: object) -> tuple[int, int]:
    """Give a tensor's first byte and the one after its last, if they fit its shape."""
    fields = entry if isinstance(entry, dict) else {}
    dtype, shape, offsets = fields.get("dtype"), fields.get("shape"), fields.get("data_offsets")
    bits = DTYPE_BITS.get(dtype) if isinstance(dtype, str) else None
    sizes, place = _sizes(shape, _MAX_AXES), _sizes(offsets, 2)
    if bits is None or sizes is None or place is None or len(place) != 2:
        raise _damaged(name, f"tensor {tensor[:80]!r} has an unknown type, or an odd shape or place")
    begin, end = place
    if (end - begin) * 8 != prod(sizes) * bits:
        raise _damaged(name, f"tensor {tensor[:80]!r} of shape {sizes} ({dtype}) can't lie at bytes {begin} to {end}")
    return begin, end


def _sizes(values: object, at_most: int) -> list[int] | None:
    if not isinstance(values, list) or len(values) > at_most:
        return None
    return values if all(type(value) is int and 0 <= value < 2**63 for value in values) else None


def _unknown(name: str) -> UploadRefused:
    return UploadRefused(
        f"{name!r} is no picture of a known kind, no WAV and no safetensors file.",
        "Give a PNG, JPEG, WebP, GIF, BMP or TIFF picture, sound as WAV, or masks and latents as .safetensors.",
    )


def _damaged(name: str, reason: str) -> UploadRefused:
    remedy = "Send it again; if that doesn't help, open it in the program that made it, and save it anew."
    return UploadRefused(f"{name!r} is damaged: {reason}.", remedy)


def _too_large(name: str, reason: str) -> UploadRefused:
    return UploadRefused(
        f"{name!r} is too large: {reason}.", f"Pictures may have {MAX_PIXELS:,} pixels in all. Make it smaller."
    )
