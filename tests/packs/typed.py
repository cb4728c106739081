"""Nodes whose inputs are of every kind, for tests of checks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NewType, TypeVar

from pydantic import Field

from graphengine import FilesIn, InputError, NodePack, node

Picture = NewType("Picture", object)
Cover = NewType("Cover", object)
P = TypeVar("P", Picture, Cover)


@node("Paint", category="test")
def paint(width: Annotated[int, Field(ge=8, le=64, multiple_of=8)] = 8) -> Picture:
    """Paint a picture."""
    return Picture(width)


@node("CoverOf", category="test")
def cover_of(picture: Picture, threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5) -> Cover:
    """Turn a picture into a cover."""
    return Cover(picture)


@node("Crop", category="test", outputs="cropped")
def crop(value: P, other: P | None = None) -> P:
    """Crop a picture or a cover."""
    return value


@node("Frame", category="test", outputs="framed")
def frame(cover: Cover, either: Picture | Cover | None = None) -> Cover:
    """Frame a cover."""
    return cover


@node("Read", category="test", outputs="text")
def read(
    path: Annotated[Path, FilesIn("texts")], title: Annotated[str, Field(min_length=2, max_length=5)] = "ab"
) -> str:
    """Read a text."""
    return f"{title} {path.read_text(encoding='utf-8')}"


@read.check
def _check_name(path: Path) -> None:
    if path.suffix == ".bin":
        raise InputError("path", f"{path.name} holds no text.", "Choose a text.")


@node("Any", category="test", outputs="value")
def anything(value: object = None) -> object:
    """Take anything."""
    return value


@node("Renamed", category="test", version=3, aliases=("OldName",), outputs="value")
def renamed(value: int = 0) -> int:
    """Have a past."""
    return value


@renamed.migrate_from(1)
def _from_1(inputs: dict[str, object]) -> dict[str, object]:
    return inputs


@renamed.migrate_from(2)
def _from_2(inputs: dict[str, object]) -> dict[str, object]:
    return inputs


pack = NodePack("typed", modules=[__name__])
