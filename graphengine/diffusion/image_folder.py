"""A folder of pictures as a dataset, with a caption beside each: ``cat.png`` and ``cat.txt``."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from graphengine.diffusion import images
from graphengine.errors import InputError
from graphengine.training_types import ExampleField, Examples
from graphengine.types import Image

Fit = Literal["cover", "contain"]
"""``cover`` fills the square and cuts off what sticks out; ``contain`` shows all of it on a white ground."""

_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
_CACHE_BYTES = 512 * 2**20


class ImageFolder:
    """Pictures of a folder and its sub-folders, in the order of their names.

    They are turned as their EXIF says, laid on white where they are transparent, and made square. Of an animation the
    first frame counts. Decoded pictures are kept as bytes, up to 512 MiB.

    Args:
        folder: Where they are.
        size: Side of the pictures given, in pixels.
        fit: How other proportions become square.

    Raises:
        InputError: if the folder is missing or holds no pictures, or a caption can't be read.
    """

    def __init__(self, folder: Path, *, size: int, fit: Fit = "cover") -> None:
        if not folder.is_dir():
            raise InputError("folder", f"{folder} is not a folder.", "Choose a folder of pictures.")
        self._size = size
        self._fit = fit
        self._paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _ENDINGS and path.is_file())
        if not self._paths:
            raise InputError(
                "folder", f"{folder.name} holds no pictures.", f"Put in files ending in {', '.join(sorted(_ENDINGS))}."
            )
        self._names = [path.relative_to(folder).as_posix() for path in self._paths]
        self._captions = [_read_caption(path) for path in self._paths]
        self._digest = ""
        self._decoded: OrderedDict[int, Tensor] = OrderedDict()

    @property
    def length(self) -> int | None:
        """How many pictures there are."""
        return len(self._paths)

    @property
    def fields(self) -> Collection[ExampleField]:
        """Pictures, and captions if any picture has one; a picture without has the empty one."""
        given: list[ExampleField] = ["images"]
        if any(caption is not None for caption in self._captions):
            given.append("captions")
        return given

    @property
    def digest(self) -> str:
        """A hash of every file's name and content, the captions and the settings."""
        if not self._digest:
            digest = hashlib.blake2b(f"{self._size} {self._fit}".encode(), digest_size=16)
            for name, path, caption in zip(self._names, self._paths, self._captions, strict=True):
                with path.open("rb") as file:
                    content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
                digest.update(f"{name}\n{content}\n{caption!r}\n".encode())
            self._digest = digest.hexdigest()
        return self._digest

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        """Give the pictures with these numbers; images are ``[B, 3, size, size]`` in -1…1.

        Raises:
            InputError: naming the file that can't be read.
        """
        captions = [self._captions[index] or "" for index in indices] if "captions" in fields else None
        if "images" not in fields:
            return Examples(captions=captions)
        stacked = torch.stack([self._picture(index) for index in indices])
        return Examples(images=stacked.float() / 127.5 - 1, captions=captions)

    def _picture(self, index: int) -> Tensor:
        """Give a picture as bytes ``[3, size, size]``, decoded or from memory."""
        if index in self._decoded:
            self._decoded.move_to_end(index)
            return self._decoded[index]
        try:
            picture, transparent = images.load(self._paths[index])
        except InputError as error:
            message = error.message.replace(self._paths[index].name, self._names[index], 1)
            raise InputError("folder", message, "Replace or remove that file.") from error
        cover = transparent[:1, ..., None]
        square = _make_square(Image(picture[:1] * (1 - cover) + cover), self._size, self._fit)
        pixels = torch.from_numpy(images.to_bytes(square)[0]).permute(2, 0, 1).contiguous()
        self._decoded[index] = pixels
        while len(self._decoded) * pixels.numel() > _CACHE_BYTES and len(self._decoded) > 1:
            self._decoded.popitem(last=False)
        return pixels


def _make_square(picture: Image, size: int, fit: Fit) -> Image:
    height, width = picture.shape[1:3]
    if fit == "cover":
        shrinks = min(height, width) > size
        return images.resize(picture, size, size, method="area" if shrinks else "bicubic", crop="center")
    scale = size / max(height, width)
    inner_height, inner_width = max(1, round(height * scale)), max(1, round(width * scale))
    method = "area" if scale < 1 else "bicubic"
    inner = images.resize(picture, inner_width, inner_height, method=method)  # type: ignore[arg-type]  # one of two literals
    left, top = (size - inner_width) // 2, (size - inner_height) // 2
    padding = (0, 0, left, size - inner_width - left, top, size - inner_height - top)
    return Image(functional.pad(inner, padding, value=1.0))


def _read_caption(picture: Path) -> str | None:
    path = picture.with_suffix(".txt")
    if not path.is_file():
        return None
    try:
        return " ".join(path.read_text(encoding="utf-8-sig").split())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("folder", f"caption {path.name} can't be read: {error}", "Save it as UTF-8 text.") from error
