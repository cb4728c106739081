"""A folder of pictures as a dataset, with captions in text files beside them or in a table.

    cats/
      a.png  a.txt                its caption: a.txt, else a.caption, else the table's, else the folder's
      metadata.jsonl              a table for the pictures of its folder and those below
      10_ginger cat/b.jpg         with repeats: ten times an epoch, "ginger cat" if nothing else says what it shows
      masks/a.png                 with masks="masks": white where a.png counts
      edges/a.png                 with hints="edges": what a ControlNet is to steer towards a.png

Everything that is wrong with a folder is told at once, before anything is trained.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from graphengine.diffusion.hint_pictures import check_hint_files
from graphengine.diffusion.known_hashes import KnownHashes
from graphengine.diffusion.metadata_tables import TABLE_NAMES, read_hints, read_table
from graphengine.diffusion.picture_dataset import PictureDataset, Settings
from graphengine.diffusion.picture_looks import PICTURE_ENDINGS, PictureLook, UnreadablePicture, look_at
from graphengine.diffusion.picture_shapes import Fit
from graphengine.diffusion.picture_sources import FilePictures, PictureSource, named_some
from graphengine.errors import InputError

__all__ = ["Unreadable", "image_folder", "image_table", "of_one_size"]

Unreadable = Literal["error", "skip"]
"""What damaged files do: stop everything, named, or stay out, with a notice."""

_CAPTION_ENDINGS = (".txt", ".caption")
_REPEATS = re.compile(r"(\d+)_(.+)")

Watch = Callable[[Sequence[str]], Iterable[str]]
"""Goes through files while telling how far it is."""


@dataclass
class _Found:
    """Pictures that can be used, and what to say about the others."""

    paths: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    looks: list[PictureLook] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def notices(self) -> list[str]:
        """Tell of what can be used, but maybe not as the user thinks."""
        rows = list(zip(self.names, self.looks, strict=True))
        moving = [name for name, look in rows if look.frames > 1]
        inks = [name for name, look in rows if look.is_cmyk]
        told = {
            "Animated, of which the first frame is used": moving,
            "In CMYK colours, which become RGB without colour management": inks,
            "Unreadable, and left out": self.unreadable,
        }
        return [f"{what}: {named_some(names)}." for what, names in told.items() if names]


def image_folder(
    folder: Path,
    *,
    repeats: bool = False,
    masks: Path | None = None,
    alpha_masks: bool = False,
    hints: Path | None = None,
    unreadable: Unreadable = "error",
    watch: Watch = iter,
    known: KnownHashes | None = None,
) -> tuple[FilePictures, list[str]]:
    """Find the pictures of a folder and its sub-folders, in the order of their names.

    Args:
        repeats: Whether sub-folders named ``N_name`` repeat their pictures N times an epoch.
        masks: A folder of masks with the pictures' names, of any picture format.
        alpha_masks: Whether what is transparent doesn't count in the loss.
        hints: A folder of hints with the pictures' names, of any picture format; each picture needs one.
        unreadable: What damaged files do.
        watch: Goes through the files; may report how far it is.
        known: Hashes of files from earlier runs.

    Returns:
        The pictures, and what the user should know about them.

    Raises:
        InputError: if the folder is missing or holds no pictures, or naming all the files that can't be read.
    """
    if not folder.is_dir():
        raise InputError("folder", f"{folder} is not a folder.", "Choose a folder of pictures.")
    files = _picture_files(folder, masks, hints)
    if not files:
        endings = ", ".join(sorted(PICTURE_ENDINGS))
        raise InputError("folder", f"{folder.name!r} holds no pictures.", f"Put in files ending in {endings}.")
    found = _look(folder, files, unreadable, watch)
    captions, missing = _captions(folder, found, repeats=repeats)
    counts = [_repeats_of(name)[0] for name in found.names] if repeats else None
    source = FilePictures(
        found.paths,
        found.names,
        _sizes(found),
        captions=captions,
        repeats=counts,
        masks=None if masks is None else _masks(masks, found.names),
        alpha_masks=alpha_masks,
        hints=None if hints is None else _hints(hints, found),
        known=known,
    )
    return source, [*found.notices(), *missing]


def image_table(
    file: Path,
    *,
    file_column: str = "",
    caption_column: str = "",
    hint_column: str = "",
    unreadable: Unreadable = "error",
    watch: Watch = iter,
    known: KnownHashes | None = None,
) -> tuple[FilePictures, list[str]]:
    """Find the pictures that a table lists, in its order; their places count from the table's folder.

    Args:
        file_column: As for ``read_table``.
        caption_column: As for ``read_table``.
        hint_column: Which column names each picture's hint, from the table's folder too; empty for no hints.
        unreadable: As for ``image_folder``.
        watch: As for ``image_folder``.
        known: As for ``image_folder``.

    Raises:
        InputError: if the table can't be read, or naming all the files that are missing or can't be read.
    """
    table = read_table(file, file_column=file_column, caption_column=caption_column)
    endings = (
        _endings_below(file.parent) if any(Path(name).suffix.lower() not in PICTURE_ENDINGS for name in table) else {}
    )
    captions = {endings.get(name, name): caption for name, caption in table.items()}
    outside = [name for name in captions if not (file.parent / name).resolve().is_relative_to(file.parent.resolve())]
    if outside:
        raise InputError(
            "file", f"{named_some(outside)}: not below the table's folder.", "Put the table beside the pictures."
        )
    found = _look(file.parent, list(captions), unreadable, watch)
    told = [captions[name] for name in found.names]
    hints = None
    if hint_column:
        listed = read_hints(file, hint_column, file_column=file_column)
        named = {endings.get(name, name): hint for name, hint in listed.items()}
        given = {name: _below(file.parent, named.get(name, "")) for name in found.names}
        remedy = f"In the column {hint_column!r} name a picture below the table's folder in each row."
        hints = check_hint_files(given, _sizes(found), input="hint_column", remedy=remedy)
    source = FilePictures(found.paths, found.names, _sizes(found), captions=told, hints=hints, known=known)
    return source, [*found.notices(), *_empty(found, told)]


def of_one_size(source: PictureSource, size: int, fit: Fit = "cover") -> PictureDataset:
    """Make all pictures of a source square."""
    shapes = np.full((len(source.names), 2), size, dtype=np.int32)
    return PictureDataset(source, shapes, Settings(fit=fit))


def _picture_files(folder: Path, *others: Path | None) -> list[str]:
    """Give the pictures' paths below a folder, in order, without those of folders of masks and hints within."""
    found: list[str] = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if Path(place, name) not in others]
        below = Path(place).relative_to(folder)
        found += [(below / name).as_posix() for name in files if Path(name).suffix.lower() in PICTURE_ENDINGS]
    return sorted(found)


def _look(folder: Path, files: Sequence[str], unreadable: Unreadable, watch: Watch) -> _Found:
    found = _Found()
    for name in watch(files):
        try:
            look = look_at(folder / name)
        except UnreadablePicture as error:
            found.unreadable.append(f"{name} ({error})")
            continue
        found.paths.append(str(folder / name))
        found.names.append(name)
        found.looks.append(look)
    if found.unreadable and (unreadable == "error" or not found.names):
        raise InputError(
            "folder",
            f"these files can't be read as pictures: {named_some(found.unreadable)}.",
            "Replace or remove them, or choose unreadable 'skip' to leave them out.",
        )
    return found


def _sizes(found: _Found) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    return np.array([(look.width, look.height) for look in found.looks], dtype=np.int32)


def _captions(folder: Path, found: _Found, *, repeats: bool) -> tuple[list[str] | None, list[str]]:
    """Give each picture's caption, or None if there are none at all, and what to say about empty ones."""
    tables = {
        path.relative_to(folder).parent.as_posix(): read_table(path)
        for kind in TABLE_NAMES
        for path in sorted(folder.rglob(kind))
    }
    faults: list[str] = []
    told: list[str | None] = []
    for name in found.names:
        caption = _beside(folder / name, faults)
        if caption is None:
            caption = _listed(name, tables)
        if caption is None and repeats:
            caption = _repeats_of(name)[1]
        told.append(caption)
    if faults:
        raise InputError("folder", f"captions can't be read: {named_some(faults)}.", "Save them as UTF-8 text.")
    if all(caption is None for caption in told):
        return None, []
    captions = [caption or "" for caption in told]
    return captions, _empty(found, captions)


def _empty(found: _Found, captions: Sequence[str]) -> list[str]:
    empty = [name for name, caption in zip(found.names, captions, strict=True) if not caption]
    if not empty:
        return []
    return [f"Without a caption, and trained with the empty one: {named_some(empty)}."]


def _beside(picture: Path, faults: list[str]) -> str | None:
    """Read the caption in a text file beside a picture."""
    for ending in _CAPTION_ENDINGS:
        path = picture.with_suffix(ending)
        try:
            return " ".join(path.read_text(encoding="utf-8-sig").split())
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            faults.append(f"{path.name} ({error})")
    return None


def _listed(name: str, tables: Mapping[str, Mapping[str, str]]) -> str | None:
    """Look a picture up in the tables of its folder and of those above, the nearest first."""
    for parent in Path(name).parents if tables else ():
        table = tables.get(parent.as_posix(), {})
        listed = Path(name).relative_to(parent).as_posix()
        if listed in table:
            return table[listed]
    return None


def _repeats_of(name: str) -> tuple[int, str | None]:
    """Read how often a picture comes, and what its folder says it shows: ``10_cat/a.png`` is 10, "cat"."""
    for part in reversed(Path(name).parent.parts):
        match = _REPEATS.fullmatch(part)
        if match and int(match[1]) > 0:
            return int(match[1]), match[2].replace("_", " ").strip()
    return 1, None


def _masks(folder: Path, names: Sequence[str]) -> list[str | None]:
    """Find the mask of each picture: of the same name, whatever its ending.

    Raises:
        InputError: if none has one, or naming all the masks that can't be read.
    """
    if not folder.is_dir():
        raise InputError("masks", f"{folder} is not a folder.", "Choose a folder of masks.")
    endings = _endings_below(folder)
    masks = [endings.get(Path(name).with_suffix("").as_posix()) for name in names]
    if not any(masks):
        raise InputError("masks", f"{folder.name} holds no mask with a picture's name.", "Name masks as the pictures.")
    faults: list[str] = []
    for mask in filter(None, masks):
        try:
            look_at(folder / mask)
        except UnreadablePicture as error:
            faults.append(f"{mask} ({error})")
    if faults:
        raise InputError("masks", f"masks can't be read: {named_some(faults)}.", "Replace or remove them.")
    return [None if mask is None else str(folder / mask) for mask in masks]


def _hints(folder: Path, found: _Found) -> list[str]:
    """Find the hint of each picture: of the same name, whatever its ending."""
    if not folder.is_dir():
        raise InputError("hints", f"{folder} is not a folder.", "Choose a folder of hints.")
    endings = _endings_below(folder)
    names = {name: endings.get(Path(name).with_suffix("").as_posix()) for name in found.names}
    hints = {name: None if hint is None else folder / hint for name, hint in names.items()}
    remedy = f"Put one into {folder.name} for each picture, with its name and proportions."
    return check_hint_files(hints, _sizes(found), input="hints", remedy=remedy)


def _below(folder: Path, name: str) -> Path | None:
    """Give a file that a table names, if it lies below the table's folder."""
    path = folder / name
    return path if name and path.resolve().is_relative_to(folder.resolve()) else None


def _endings_below(folder: Path) -> dict[str, str]:
    """Give the pictures below a folder by their paths without endings."""
    return {Path(name).with_suffix("").as_posix(): name for name in _picture_files(folder)}
