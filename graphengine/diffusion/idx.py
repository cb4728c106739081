"""Datasets in the IDX format of MNIST and FashionMNIST, plain or gzipped.

A file is: two zero bytes, the element type (8: unsigned byte), the number of dimensions, each dimension as a big-endian
32-bit number, then the elements. Source: yann.lecun.com/exdb/mnist.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from graphengine.errors import InputError
from graphengine.training_types import ExampleField, Examples

_GZIP = b"\x1f\x8b"
_UNSIGNED_BYTE = 8


@dataclass(frozen=True, eq=False)
class IdxDataset:
    """Pictures of an IDX file, with labels if there is a file of them; made by ``load``.

    Attributes:
        pictures: uint8 ``[N, H, W]`` or ``[N, H, W, 3]``.
        labels: uint8 ``[N]`` or None.
        digest: A hash of both files' content and of ``names``.
        names: What each label is called in captions; empty for no captions.
    """

    pictures: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None
    digest: str
    names: Sequence[str] = ()

    @property
    def length(self) -> int | None:
        """How many pictures there are."""
        return len(self.pictures)

    @property
    def fields(self) -> Collection[ExampleField]:
        """Pictures; labels with a file of them; captions where the labels have names."""
        given: list[ExampleField] = ["images"]
        if self.labels is not None:
            given += ["labels", "captions"] if self.names else ["labels"]
        return given

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        """Give the pictures with these numbers; images are ``[B, 1 or 3, H, W]`` in -1…1."""
        rows = np.asarray(indices)
        labels = None if self.labels is None else self.labels[rows]
        return Examples(
            images=self._images(rows) if "images" in fields else None,
            captions=[self.names[label] for label in labels] if "captions" in fields and labels is not None else None,
            labels={"class": torch.from_numpy(labels).long()} if "labels" in fields and labels is not None else None,
        )

    def _images(self, rows: NDArray[np.int64]) -> torch.Tensor:
        pictures = torch.from_numpy(self.pictures[rows]).float() / 127.5 - 1
        return pictures[:, None] if pictures.ndim == 3 else pictures.permute(0, 3, 1, 2).contiguous()


def load(images_file: Path, labels_file: Path | None = None, names: Sequence[str] = ()) -> IdxDataset:
    """Read a dataset of pictures, and the labels that go with them.

    Args:
        names: What each label is called, in order, for captions.

    Raises:
        InputError: if a file is missing, cut off or not of this format, or the two don't fit each other.
    """
    pictures = read_idx(images_file, "images_file")
    if pictures.ndim not in (3, 4) or (pictures.ndim == 4 and pictures.shape[3] != 3):
        raise InputError(
            "images_file",
            f"{images_file.name} holds {_shape(pictures)} numbers; pictures are number x height x width.",
            "Choose the file of images; MNIST's is train-images-idx3-ubyte.",
        )
    labels = read_idx(labels_file, "labels_file") if labels_file else None
    if labels is not None and labels.shape != (len(pictures),):
        raise InputError(
            "labels_file",
            f"{labels_file.name if labels_file else ''} holds {_shape(labels)} labels for {len(pictures)} pictures.",
            "Choose the labels that belong to these pictures.",
        )
    if names and (labels is None or int(labels.max(initial=0)) >= len(names)):
        needed = "labels, which no file gives" if labels is None else f"label {int(labels.max(initial=0))}"
        raise InputError("names", f"{len(names)} names don't cover {needed}.", "Give a name for each label from 0 on.")
    digest = hashlib.blake2b(digest_size=16)
    for part in (pictures, labels):
        digest.update(b"none" if part is None else f"{part.shape}".encode() + part.tobytes())
    digest.update("\n".join(names).encode())
    return IdxDataset(pictures, labels, digest.hexdigest(), tuple(names))


def read_idx(path: Path, input_name: str) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzipped or not.

    Raises:
        InputError: naming the file and what is wrong with it.
    """
    try:
        content = path.read_bytes()
        if content.startswith(_GZIP):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(input_name, f"{path.name} can't be read: {error}", "Download it again.") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTE or content[3] == 0:
        raise InputError(
            input_name, f"{path.name} is not an IDX file of bytes.", "Choose a file such as train-images-idx3-ubyte.gz."
        )
    dimensions = content[3]
    start = 4 + 4 * dimensions
    shape = struct.unpack(f">{dimensions}I", content[4:start]) if len(content) >= start else ()
    expected = start + math.prod(shape)
    if not shape or len(content) != expected:
        fault = "cut off" if not shape or len(content) < expected else "too long"
        raise InputError(
            input_name,
            f"{path.name} is {fault}: {len(content):,} bytes, where its header promises {expected:,}.",
            "Download it again.",
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _shape(values: NDArray[np.uint8]) -> str:
    return " x ".join(str(size) for size in values.shape)
