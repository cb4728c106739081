"""Look at the pictures of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from graphengine.diffusion.dataset_numbers import groups_of, varies
from graphengine.diffusion.images import grid
from graphengine.diffusion.plots import to_image
from graphengine.errors import InputError
from graphengine.training_types import Dataset, ExampleField, Examples
from graphengine.types import Image, Mask

__all__ = ["dataset_sheet", "shown_examples"]


@dataclass(frozen=True)
class ShownExamples:
    """Examples as they are shown.

    Attributes:
        pictures: ``[1, H, W, 3]`` each.
        captions: Empty ones where there are none.
        masks: ``[1, H, W]`` each; 1 everywhere without masks.
        hints: As the pictures; none at all if the dataset has none.
    """

    pictures: list[Image]
    captions: list[str]
    masks: list[Mask]
    hints: list[Image]


def shown_examples(dataset: Dataset, *, first: int, count: int) -> ShownExamples:
    """Give a dataset's examples with consecutive numbers.

    Of a finite dataset come no more than it has, unless it varies: numbers past the end are further variations.

    Raises:
        InputError: if the dataset has no pictures, or none with these numbers.
    """
    if "images" not in dataset.fields:
        raise InputError("dataset", "it has no images.", "Choose a dataset of pictures.")
    is_limited = dataset.length is not None and not varies(dataset)
    end = min(first + count, dataset.length or 0) if is_limited else first + count
    if first >= end:
        raise InputError("first", f"{first} is past the last example, {end - 1}.", "Choose a smaller number.")
    asked: list[ExampleField] = ["images"]
    asked += [field for field in dataset.fields if field in ("captions", "mask", "hints")]
    numbers = range(first, end)
    batches = [numbers] if len(groups_of(dataset)) <= 1 else [range(each, each + 1) for each in numbers]
    shown = [_as_seen(dataset.examples(batch, asked)) for batch in batches]
    return ShownExamples(
        [picture for each in shown for picture in each.pictures],
        [caption for each in shown for caption in each.captions],
        [mask for each in shown for mask in each.masks],
        [hint for each in shown for hint in each.hints],
    )


def dataset_sheet(pictures: Sequence[Image], labels: Sequence[str] = ()) -> Image:
    """Arrange pictures of several sizes on a white sheet."""
    height, width = (max(picture.shape[side] for picture in pictures) for side in (1, 2))
    return grid(Image(torch.cat([_centred(picture, width, height) for picture in pictures])), gap=2, labels=labels)


def _as_seen(examples: Examples) -> ShownExamples:
    if examples.images is None:
        raise InputError("dataset", "it promised images but gave none.", "Correct the dataset's fields.")
    pictures = to_image((examples.images + 1) / 2)
    masks = torch.ones(pictures.shape[:3]) if examples.mask is None else examples.mask[:, 0]
    hints = [] if examples.hints is None else list(examples.hints.permute(0, 2, 3, 1))
    return ShownExamples(
        [Image(each[None]) for each in pictures],
        list(examples.captions or [""] * len(pictures)),
        [Mask(each[None]) for each in masks],
        [Image(each[None]) for each in hints],
    )


def _centred(picture: Image, width: int, height: int) -> Tensor:
    left, top = (width - picture.shape[2]) // 2, (height - picture.shape[1]) // 2
    padding = (0, 0, left, width - picture.shape[2] - left, top, height - picture.shape[1] - top)
    return functional.pad(picture, padding, value=1.0)
