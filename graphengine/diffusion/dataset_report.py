"""What is in a dataset of pictures, and what is wrong with it, told before anything is trained.

Every file is decoded once, at a small size.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image as Picture

from graphengine.diffusion.dataset_pictures import dataset_sheet
from graphengine.diffusion.lookalikes import GRID, Look, alike, look_of
from graphengine.diffusion.picture_dataset import PictureDataset
from graphengine.diffusion.picture_sources import PictureSource, counted, named_some
from graphengine.diffusion.prompt_tokens import token_limit
from graphengine.errors import InputError
from graphengine.types import Clip, Image

__all__ = ["DatasetReport", "report_on"]

_SHOWN_SIDE = 96
_MOST_SHOWN = 60
_COMMON = 8

Watch = Callable[[Sequence[str]], Iterable[str]]
"""Goes through pictures while telling how far it is."""


@dataclass(frozen=True)
class DatasetReport:
    """What was found.

    Attributes:
        text: For reading.
        sheet: The pictures that something is said about, small, each with what it is; ``[1, H, W, 3]``.
        unreadable: Numbers of pictures that can't be decoded.
        duplicates: Numbers of pictures of the same content, in groups.
        alike: Numbers of pictures that look alike, in groups, duplicates not counted again.
    """

    text: str
    sheet: Image
    unreadable: Sequence[int]
    duplicates: Sequence[Sequence[int]]
    alike: Sequence[Sequence[int]]


def report_on(dataset: PictureDataset, clip: Clip | None = None, watch: Watch = iter) -> DatasetReport:
    """Decode all pictures of a dataset and report on them.

    Args:
        clip: Tells which captions are longer than it reads.
        watch: Goes through the pictures; may report how far it is.
    """
    source = dataset.source
    looks, unreadable = _looks(source, watch)
    duplicates = _same(source, looks)
    again = {index for group in duplicates for index in group[1:]}
    similar = alike({index: look for index, look in looks.items() if index not in again})
    lines = [*_sizes(dataset), *_captions(source, clip)]
    told = {
        "can't be read": [unreadable] if unreadable else [],
        "have the same content": duplicates,
        "look alike": similar,
    }
    for what, groups in told.items():
        lines.append(f"{sum(map(len, groups)):,} files {what}" + (":" if groups else "."))
        lines += [f"  {named_some([source.names[index] for index in group])}" for group in groups[:_MOST_SHOWN]]
        if len(groups) > _MOST_SHOWN:
            lines.append(f"  and {len(groups) - _MOST_SHOWN:,} more groups")
    sheet = _sheet(source, {"same content": duplicates, "looks alike": similar}, list(looks))
    return DatasetReport("\n".join(lines), sheet, unreadable, duplicates, similar)


def _looks(source: PictureSource, watch: Watch) -> tuple[dict[int, Look], list[int]]:
    """Give what each picture looks like, and the numbers of those that can't be decoded."""
    looks: dict[int, Look] = {}
    unreadable: list[int] = []
    for index, _name in enumerate(watch(source.names)):
        try:
            looks[index] = look_of(source.decode(index, (GRID + 1, GRID)).colours)
        except InputError:
            unreadable.append(index)
    return looks, unreadable


def _same(source: PictureSource, numbers: Iterable[int]) -> list[list[int]]:
    """Group pictures of the same content."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index in numbers:
        groups[source.content_hash(index)].append(index)
    return [group for group in groups.values() if len(group) > 1]


def _sizes(dataset: PictureDataset) -> list[str]:
    source = dataset.source
    widths, heights = source.sizes[:, 0], source.sizes[:, 1]
    megapixels = widths.astype(np.float64) * heights / 1e6
    smallest, largest = int(megapixels.argmin()), int(megapixels.argmax())
    shapes = Counter((int(width), int(height)) for width, height in dataset.shapes[dataset.pictures])
    common = ", ".join(f"{width} x {height} ({count:,})" for (width, height), count in shapes.most_common(_COMMON))
    enlarged = int(((dataset.shapes > source.sizes).any(axis=1) & (dataset.shapes[:, 0] > 0)).sum())
    left_out = int((dataset.shapes[:, 0] == 0).sum())
    return [
        f"{counted(len(source.names), 'picture')}, {counted(len(dataset.pictures), 'example')} an epoch.",
        f"From {widths[smallest]} x {heights[smallest]} ({source.names[smallest]}) "
        f"to {widths[largest]} x {heights[largest]} ({source.names[largest]}).",
        f"Trained at {common}" + (f" and {len(shapes) - _COMMON} more sizes." if len(shapes) > _COMMON else "."),
        f"{counted(enlarged, 'picture')} enlarged" + (f", {left_out:,} left out." if left_out else "."),
    ]


def _captions(source: PictureSource, clip: Clip | None) -> list[str]:
    if source.captions is None:
        return ["No picture has a caption."]
    empty = [name for name, caption in zip(source.names, source.captions, strict=True) if not caption]
    lines = [
        f"{len(source.names) - len(empty):,} pictures have captions, {len(set(source.captions) - {''}):,} different."
    ]
    if empty:
        lines.append(f"Without one: {named_some(empty)}.")
    if clip is not None:
        limit = min(token_limit(encoder) for encoder in clip.encoders)
        tokenizer: Any = clip.encoders[0].tokenizer  # Any: transformers' tokenizers are untyped here
        rows = zip(source.names, tokenizer(list(source.captions), verbose=False).input_ids, strict=True)
        long = [f"{name} ({len(ids)})" for name, ids in rows if len(ids) > limit]
        lines.append(f"{len(long):,} captions are cut at {limit} tokens" + (f": {named_some(long)}." if long else "."))
    return lines


def _sheet(source: PictureSource, told: dict[str, list[list[int]]], readable: Sequence[int]) -> Image:
    """Show the groups, one after the other; where there are none, the first pictures."""
    rows = [
        (index, f"{source.names[index]}: {what} {number}")
        for what, groups in told.items()
        for number, group in enumerate(groups, start=1)
        for index in group
    ] or [(index, source.names[index]) for index in readable]
    if not rows:
        return Image(torch.ones(1, _SHOWN_SIDE, _SHOWN_SIDE, 3))
    pictures = [
        _thumbnail(source.decode(index, (_SHOWN_SIDE, _SHOWN_SIDE)).colours) for index, _label in rows[:_MOST_SHOWN]
    ]
    return dataset_sheet(pictures, [label for _index, label in rows[:_MOST_SHOWN]])


def _thumbnail(picture: Picture.Image) -> Image:
    small = picture.copy()
    small.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
    sheet = Picture.new("RGB", (_SHOWN_SIDE, _SHOWN_SIDE), "white")
    sheet.paste(small, ((_SHOWN_SIDE - small.width) // 2, (_SHOWN_SIDE - small.height) // 2))
    return Image(torch.from_numpy(np.asarray(sheet, dtype=np.float32) / 255)[None])
