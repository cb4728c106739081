"""IDX files: MNIST's format, and what goes wrong with it."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from graphengine.diffusion import idx
from graphengine.errors import InputError

PICTURES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
LABELS = np.array([2, 0, 1], dtype=np.uint8)


def encoded(values: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.tobytes()


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_pictures_and_labels_are_read(tmp_path: Path, compressed: bool) -> None:
    squeeze = gzip.compress if compressed else bytes
    images_file = write(tmp_path, "images", squeeze(encoded(PICTURES)))
    labels_file = write(tmp_path, "labels", squeeze(encoded(LABELS)))
    dataset = idx.load(images_file, labels_file, ["zero", "one", "two"])

    examples = dataset.examples([2, 0], ["images", "captions", "labels"])

    assert dataset.length == 3
    assert examples.images is not None
    assert examples.labels is not None
    torch.testing.assert_close(examples.images[1, 0], torch.from_numpy(PICTURES[0]).float() / 127.5 - 1)
    assert examples.images.shape == (2, 1, 4, 5)
    assert examples.captions == ["one", "two"]
    assert examples.labels["class"].tolist() == [1, 2]


def test_fields_are_what_the_files_give(tmp_path: Path) -> None:
    images_file, labels_file = (
        write(tmp_path, name, encoded(values)) for name, values in (("i", PICTURES), ("l", LABELS))
    )
    assert list(idx.load(images_file).fields) == ["images"]
    assert list(idx.load(images_file, labels_file).fields) == ["images", "labels"]
    assert idx.load(images_file).digest != idx.load(images_file, labels_file).digest


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an IDX file"),
        (b"\x89PNG\r\n\x1a\n and more", "is not an IDX file"),
        (b"\0\0\x0d\3" + b"\0" * 12, "is not an IDX file of bytes"),
        (encoded(PICTURES)[:-1], "is cut off: 75 bytes, where its header promises 76"),
        (encoded(PICTURES)[:10], "is cut off"),
        (encoded(PICTURES) + b"x", "is too long"),
        (gzip.compress(encoded(PICTURES))[:-12], "can't be read"),
        (encoded(LABELS), "holds 3 numbers; pictures are"),
    ],
    ids=["empty", "png", "floats", "truncated", "truncated header", "too long", "truncated gzip", "labels"],
)
def test_what_is_no_idx_file_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        idx.load(write(tmp_path, "pictures.idx", content))
    assert f"pictures.idx {message}" in str(caught.value)


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    images_file = write(tmp_path, "images", encoded(PICTURES))
    with pytest.raises(InputError, match="2 labels for 3 pictures"):
        idx.load(images_file, write(tmp_path, "labels", encoded(LABELS[:2])))
    labels_file = write(tmp_path, "labels", encoded(LABELS))
    with pytest.raises(InputError, match="2 names don't cover label 2"):
        idx.load(images_file, labels_file, ["zero", "one"])
    with pytest.raises(InputError, match="labels, which no file gives"):
        idx.load(images_file, None, ["zero"])
    with pytest.raises(InputError, match="missing can't be read"):
        idx.load(tmp_path / "missing")
