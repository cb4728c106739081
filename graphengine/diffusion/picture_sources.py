"""Where the pictures of a dataset come from, before they are brought to a size: files, or pictures in memory.

A source knows each picture's size from its header and decodes one when it is asked for: what is in memory of 100,000
files are their names, sizes and captions.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, ImageOps
from PIL import Image as Picture

from graphengine.diffusion import images
from graphengine.diffusion.known_hashes import KnownHashes
from graphengine.diffusion.picture_looks import UNREADABLE
from graphengine.errors import InputError
from graphengine.types import Image, Mask

__all__ = [
    "Decoded",
    "FilePictures",
    "MemoryPictures",
    "PictureSource",
    "counted",
    "decode",
    "decode_bytes",
    "named_some",
]

_NAMED = 12  # files that a message names


@dataclass(frozen=True)
class Decoded:
    """A picture as it is shown.

    Attributes:
        colours: RGB, on white where it is transparent.
        mask: L, how much each place counts, as large as the colours or not; None where nothing says.
        hint: RGB, what is to steer towards the picture, as large or not; None where there is none.
    """

    colours: Picture.Image
    mask: Picture.Image | None = None
    hint: Picture.Image | None = None


class PictureSource(Protocol):
    """Pictures by number.

    Attributes:
        names: What the user calls each.
        sizes: int32 ``[N, 2]``, width and height of each as it is shown.
        captions: One for each, empty where there is none; None if no picture has one.
        repeats: How often each comes in an epoch, ≥ 1.
        has_masks: Whether any has a mask.
        has_hints: Whether each has a hint.
    """

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def sizes(self) -> NDArray[np.int32]: ...
    @property
    def captions(self) -> Sequence[str] | None: ...
    @property
    def repeats(self) -> Sequence[int]: ...
    @property
    def has_masks(self) -> bool: ...
    @property
    def has_hints(self) -> bool: ...

    def content_hash(self, index: int) -> str:
        """Hash a picture's content, its mask's and its hint's; the same again once it is known.

        Raises:
            InputError: naming the picture that can't be read.
        """

    def decode(self, index: int, at_least: tuple[int, int]) -> Decoded:
        """Give a picture; at a smaller size if that is quicker, but not below this width and height.

        Raises:
            InputError: naming the picture that can't be read.
        """


class FilePictures:
    """Pictures in files.

    Args:
        paths: Of the pictures.
        names: What the user calls them.
        sizes: int32 ``[N, 2]``, from their headers.
        captions: One for each, or None.
        repeats: How often each comes in an epoch; once if None.
        masks: A file for each picture that has a mask, white where it counts; None for none at all.
        alpha_masks: Whether what is transparent doesn't count.
        hints: A file for each picture, of about its proportions; None for none at all.
        known: Hashes from earlier runs.
    """

    def __init__(
        self,
        paths: Sequence[str],
        names: Sequence[str],
        sizes: NDArray[np.int32],
        *,
        captions: Sequence[str] | None = None,
        repeats: Sequence[int] | None = None,
        masks: Sequence[str | None] | None = None,
        alpha_masks: bool = False,
        hints: Sequence[str] | None = None,
        known: KnownHashes | None = None,
    ) -> None:
        self.names = names
        self.sizes = sizes
        self.captions = captions
        self.repeats = repeats or [1] * len(paths)
        self.has_masks = alpha_masks or masks is not None
        self.has_hints = hints is not None
        self._paths = paths
        self._masks = masks
        self._hints = hints
        self._alpha_masks = alpha_masks
        self._known = known or KnownHashes()
        self._hashes: dict[int, str] = {}

    def content_hash(self, index: int) -> str:
        """Hash a file, its mask and its hint; see PictureSource."""
        if index not in self._hashes:
            self._hashes[index] = self._hash(index)
        return self._hashes[index]

    def decode(self, index: int, at_least: tuple[int, int]) -> Decoded:
        """Give a picture; see PictureSource."""
        path = Path(self._paths[index])
        decoded = _decode_named(path, self.names[index], at_least)
        hint = self._beside(self._hints, index, "hint", at_least)
        mask = self._beside(self._masks, index, "mask", at_least)
        if mask is not None:
            return Decoded(decoded.colours, mask.convert("L"), hint)
        return Decoded(decoded.colours, decoded.mask if self._alpha_masks else None, hint)

    def _beside(
        self, paths: Sequence[str | None] | None, index: int, what: str, at_least: tuple[int, int]
    ) -> Picture.Image | None:
        path = paths[index] if paths else None
        return None if path is None else _decode_named(Path(path), f"{self.names[index]}'s {what}", at_least).colours

    def _hash(self, index: int) -> str:
        digest = hashlib.blake2b(b"alpha" if self._alpha_masks else b"", digest_size=16)
        for kind, paths in (("", self._paths), ("", self._masks), ("hint", self._hints)):
            path = paths[index] if paths else None
            if path is None:
                continue
            try:
                digest.update(f"{kind}{self._known.of(Path(path))}".encode())
            except OSError as error:
                raise InputError("folder", f"{self.names[index]} can't be read: {error}.", "Bring it back.") from error
        return digest.hexdigest()


class MemoryPictures:
    """Pictures that nodes made.

    Args:
        pictures: float32 ``[1, H, W, 3]`` in 0…1 each.
        captions: One for each, or None.
        masks: ``[1, H, W]`` for each, or None.
        hints: float32 ``[1, H, W, 3]`` in 0…1 for each, or None.
    """

    def __init__(
        self,
        pictures: Sequence[Image],
        captions: Sequence[str] | None = None,
        masks: Sequence[Mask] | None = None,
        hints: Sequence[Image] | None = None,
    ) -> None:
        self._bytes = [images.to_bytes(picture)[0] for picture in pictures]
        self._masks = None if masks is None else [(mask[0] * 255).round().byte().numpy() for mask in masks]
        self._hints = None if hints is None else [images.to_bytes(hint)[0] for hint in hints]
        self.names = [f"picture {number}" for number in range(len(pictures))]
        self.sizes = np.array([pixels.shape[1::-1] for pixels in self._bytes], dtype=np.int32).reshape(-1, 2)
        self.captions = captions
        self.repeats = [1] * len(pictures)
        self.has_masks = masks is not None
        self.has_hints = hints is not None

    def content_hash(self, index: int) -> str:
        """Hash a picture's pixels, mask and hint."""
        rows = [each[index] for each in (self._bytes, self._masks, self._hints) if each is not None]
        content = b"".join(f"{row.shape}".encode() + row.tobytes() for row in rows)
        return hashlib.blake2b(content, digest_size=16).hexdigest()

    def decode(self, index: int, at_least: tuple[int, int]) -> Decoded:
        """Give a picture; see PictureSource."""
        mask = None if self._masks is None else Picture.fromarray(self._masks[index])
        hint = None if self._hints is None else Picture.fromarray(self._hints[index])
        return Decoded(Picture.fromarray(self._bytes[index]), mask, hint)


def decode(file: Path | IO[bytes], at_least: tuple[int, int]) -> Decoded:
    """Decode the first frame of a picture file, turned as its EXIF says; its mask is what isn't transparent.

    Grey, palette and CMYK pictures become RGB, without colour management.

    Args:
        at_least: A JPEG may come out smaller than it is, in an eighth of the time, but not below this size.
    """
    with warnings.catch_warnings(action="ignore"), Picture.open(file) as picture:  # of odd metadata, and of size
        if picture.format == "JPEG":
            turned = int(picture.getexif().get(ExifTags.Base.Orientation, 1)) >= 5
            picture.draft(None, at_least[::-1] if turned else at_least)
        frame = ImageOps.exif_transpose(picture)
        if frame.mode.startswith(("I", "F")):
            grey = np.asarray(frame, dtype=np.float32) * (255 if frame.mode == "F" else 255 / 65535)
            return Decoded(Picture.fromarray(grey.clip(0, 255).round().astype(np.uint8)).convert("RGB"))
        if not frame.has_transparency_data:
            return Decoded(frame.convert("RGB"))
        layer = frame.convert("RGBA")
        sheet = Picture.new("RGBA", layer.size, "white")
        return Decoded(Picture.alpha_composite(sheet, layer).convert("RGB"), layer.getchannel("A"))


def decode_bytes(content: bytes, name: str, at_least: tuple[int, int]) -> Decoded:
    """Decode a picture that is in memory as a file's content.

    Raises:
        InputError: naming it, if it can't be read.
    """
    return _decode_named(io.BytesIO(content), name, at_least)


def counted(count: int, noun: str) -> str:
    """Say how many: 1 picture, 2,000 pictures."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def named_some(names: Sequence[str]) -> str:
    """Name some of many for a message."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _decode_named(file: Path | IO[bytes], name: str, at_least: tuple[int, int]) -> Decoded:
    try:
        return decode(file, at_least)
    except UNREADABLE as error:
        message = f"{name} can't be read as a picture: {str(error).rstrip('.') or type(error).__name__}."
        raise InputError("folder", message, "Replace or remove that file.") from error
