"""Datasets of Hugging Face's ``datasets`` on this computer: Parquet files, or folders that ``save_to_disk`` wrote.

Only what lies here is read: nothing is fetched, and no script of a dataset is run.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from graphengine.diffusion.hint_pictures import check_proportions
from graphengine.diffusion.image_folder import Unreadable
from graphengine.diffusion.picture_looks import PictureLook, UnreadablePicture, look_into
from graphengine.diffusion.picture_shapes import Sizes
from graphengine.diffusion.picture_sources import Decoded, decode_bytes, named_some
from graphengine.errors import InputError

__all__ = ["Columns", "RowPictures", "Rows", "open_rows", "row_pictures"]

_IMAGE_COLUMNS = ("image", "img", "picture", "jpg", "png", "webp")
_CAPTION_COLUMNS = ("text", "caption", "prompt", "txt", "description")
_SPLITS = frozenset({"train", "test", "validation", "valid", "val", "dev", "eval"})
_LABEL_COLUMNS = ("label", "labels", "class", "fine_label")


class Rows(Protocol):
    """Rows by number, as ``datasets.Dataset`` has them."""

    @property
    def column_names(self) -> Sequence[str]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Mapping[str, Any]:  # Any: a cell
        """Give a row; a picture is ``{"bytes": …, "path": …}``."""


@dataclass(frozen=True)
class Columns:
    """Where pictures and captions are.

    Attributes:
        caption: None if there are no captions.
        labels: What each number in the caption's column means; empty if it has texts.
        hint: None if there are no hints.
    """

    image: str
    caption: str | None = None
    labels: Sequence[str] = ()
    hint: str | None = None


class RowPictures:
    """Pictures in rows.

    Args:
        rows: Kept open; a row is read when it is asked for.
        numbers: Which rows, all of whose pictures can be read.
        columns: Where pictures and captions are.
        sizes: int32 ``[N, 2]`` of these pictures.
        captions: One for each, or None.
    """

    def __init__(
        self, rows: Rows, numbers: Sequence[int], columns: Columns, sizes: Sizes, captions: Sequence[str] | None
    ) -> None:
        self.names = [f"row {number}" for number in numbers]
        self.sizes = sizes
        self.captions = captions
        self.repeats = [1] * len(numbers)
        self.has_masks = False
        self.has_hints = columns.hint is not None
        self._rows = rows
        self._numbers = numbers
        self._columns = columns
        self._hashes: dict[int, str] = {}

    def content_hash(self, index: int) -> str:
        """Hash a picture's bytes; see PictureSource."""
        if index not in self._hashes:
            row = self._rows[self._numbers[index]]
            digest = hashlib.blake2b(_content(row[self._columns.image]), digest_size=16)
            if self._columns.hint:
                digest.update(b"hint" + _content(row[self._columns.hint]))
            self._hashes[index] = digest.hexdigest()
        return self._hashes[index]

    def decode(self, index: int, at_least: tuple[int, int]) -> Decoded:
        """Give a picture; see PictureSource."""
        row, name = self._rows[self._numbers[index]], self.names[index]
        colours = decode_bytes(_content(row[self._columns.image]), name, at_least).colours
        if self._columns.hint is None:
            return Decoded(colours)
        hint = decode_bytes(_content(row[self._columns.hint]), f"{name}'s hint", at_least).colours
        return Decoded(colours, hint=hint)


def row_pictures(
    rows: Rows, columns: Columns, *, unreadable: Unreadable = "error", watch: Callable[[range], Iterable[int]] = iter
) -> tuple[RowPictures, list[str]]:
    """Look at the pictures of all rows.

    Returns:
        The pictures, and what the user should know about them.

    Raises:
        InputError: if there are none, or naming all rows whose pictures can't be read.
    """
    looks: dict[int, PictureLook] = {}
    faults: list[str] = []
    captions: list[str] = []
    for number in watch(range(len(rows))):
        row = rows[number]
        try:
            looks[number] = _look(row, columns)
        except UnreadablePicture as error:
            faults.append(f"row {number} ({error})")
            continue
        captions.append(_caption(row, columns))
    if faults and (unreadable == "error" or not looks):
        raise InputError(
            "folder",
            f"these rows' pictures can't be read: {named_some(faults)}.",
            "Choose another image_column, or unreadable 'skip' to leave them out.",
        )
    if not looks:
        raise InputError("folder", "it has no rows.", "Choose another split.")
    sizes = np.array([(look.width, look.height) for look in looks.values()], dtype=np.int32)
    source = RowPictures(rows, list(looks), columns, sizes, captions if columns.caption else None)
    return source, [f"Left out: {named_some(faults)}."] if faults else []


def _look(row: Mapping[str, Any], columns: Columns) -> PictureLook:  # Any: a cell
    """Look at the picture of a row, and at its hint.

    Raises:
        UnreadablePicture: if either can't be read, or they don't fit each other.
    """
    look = look_into(io.BytesIO(_content(row[columns.image])))
    if columns.hint:
        try:
            hint = look_into(io.BytesIO(_content(row[columns.hint])))
        except UnreadablePicture as error:
            raise UnreadablePicture(f"its hint: {error}") from error
        check_proportions((look.width, look.height), (hint.width, hint.height))
    return look


def open_rows(
    place: Path, *, split: str, image_column: str, caption_column: str, hint_column: str = "", cache: Path
) -> tuple[Rows, Columns]:
    """Open a Parquet file, a folder of them, or a folder that ``save_to_disk`` wrote.

    Args:
        cache: Where ``datasets`` may put what it makes of Parquet files.

    Raises:
        InputError: without the package, or if the place holds no such data, split or columns.
    """
    try:
        import datasets  # type: ignore[import-not-found]  # optional
    except ImportError as error:
        raise InputError(
            "folder",
            "reading it needs the package 'datasets', which isn't installed.",
            "Run 'pip install datasets'; a folder of pictures with a metadata.jsonl needs only ImageFolder.",
        ) from error
    opened = _opened(datasets, place, split, cache)
    features: Mapping[str, Any] = opened.features  # Any: kinds of columns
    columns = _columns(features, image_column, caption_column, hint_column)
    told = features[columns.caption] if columns.caption else None
    columns = replace(columns, labels=tuple(getattr(told, "names", None) or ()))
    wanted = [each for each in (columns.image, columns.caption, columns.hint) if each]
    rows = opened.select_columns(wanted)
    for each in filter(None, (columns.image, columns.hint)):
        rows = rows.cast_column(each, datasets.Image(decode=False))
    found: Rows = rows
    return found, columns


def _opened(datasets: Any, place: Path, split: str, cache: Path) -> Any:  # Any: an optional package and its Dataset
    try:
        if place.is_dir() and any((place / name).exists() for name in ("dataset_dict.json", "state.json")):
            saved = datasets.load_from_disk(str(place))
            splits = list(saved) if isinstance(saved, dict) else []
            if splits and split not in splits:
                raise InputError("split", f"there is no split {split!r}.", f"Choose one of {', '.join(splits)}.")
            return saved[split] if splits else saved
        files = parquet_files(place, split)
        return datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(cache))
    except InputError:
        raise
    except Exception as error:  # its readers raise many kinds, pyarrow's among them
        raise InputError("folder", f"{place.name} can't be read: {error}", "Download it again.") from error


def parquet_files(place: Path, split: str) -> list[str]:
    """Find the Parquet files of a split: those named after it, or all where none is named after a usual one.

    Raises:
        InputError: if there are none.
    """
    files = [place] if place.is_file() else sorted(place.rglob("*.parquet"))
    if not files or any(path.suffix != ".parquet" for path in files):
        raise InputError(
            "folder",
            f"{place.name} holds neither Parquet files nor a saved dataset.",
            "Choose a .parquet file, or a folder that save_to_disk wrote; pictures themselves go to ImageFolder.",
        )
    splits = {path: path.stem.split("-")[0] for path in files}
    found = [str(path) for path in files if splits[path] == split]
    if found or len(files) == 1 or not _SPLITS & set(splits.values()):
        return found or [str(path) for path in files]
    raise InputError(
        "split", f"there is no split {split!r}.", f"Choose one of {', '.join(sorted(set(splits.values())))}."
    )


def _columns(
    features: Mapping[str, Any],  # Any: kinds of columns
    image_column: str,
    caption_column: str,
    hint_column: str,
) -> Columns:
    chosen = {"image_column": image_column, "caption_column": caption_column, "hint_column": hint_column}
    for name, column in chosen.items():
        if column and column not in features:
            raise InputError(name, f"there is no column {column!r}.", f"Choose one of {', '.join(features)}.")
    pictures = [name for name, kind in features.items() if type(kind).__name__ == "Image" and name != hint_column]
    usual = [name for name in _IMAGE_COLUMNS if name in features]
    image = image_column or next(iter([*pictures, *usual]), "")
    if not image:
        raise InputError("image_column", "no column has pictures.", f"Choose one of {', '.join(features)}.")
    caption = caption_column or next((n for n in (*_CAPTION_COLUMNS, *_LABEL_COLUMNS) if n in features), None)
    return Columns(image, caption, hint=hint_column or None)


def _caption(row: Mapping[str, Any], columns: Columns) -> str:  # Any: a cell
    value = row[columns.caption] if columns.caption else None
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = value[0] if value else None  # several captions: the first, as tools that read one do
    if columns.labels and isinstance(value, int) and 0 <= value < len(columns.labels):
        value = columns.labels[value]
    return "" if value is None else " ".join(str(value).split())


def _content(cell: Any) -> bytes:  # Any: a cell
    """Give a picture's file: in the cell, or where the cell says."""
    if isinstance(cell, bytes):
        return cell
    content, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (None, None)
    if content is None and path:
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise UnreadablePicture(str(error)) from error
    if not isinstance(content, bytes):
        raise UnreadablePicture("it has no picture")
    return content
