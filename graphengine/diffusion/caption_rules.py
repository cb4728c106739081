"""Change captions on their way to the text encoder: words before and after, tags in random order, tags left out."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np

from graphengine.diffusion.dataset_numbers import varies
from graphengine.diffusion.numbered_random import numbered_uniform
from graphengine.diffusion.wrapped_dataset import WrappedDataset
from graphengine.errors import InputError
from graphengine.training_types import Dataset, ExampleField, Examples

__all__ = ["CaptionRules", "CaptionedDataset"]

_SEED = 1  # apart from the pictures' own draws


@dataclass(frozen=True)
class CaptionRules:
    """What becomes of captions.

    Attributes:
        prefix: Comes before each, such as a word that the model is to learn.
        suffix: Comes after each.
        shuffle: Whether tags come in random order.
        keep_tokens: The first so many tags stay where they are, and are never dropped.
        tag_dropout: Share of the other tags left out.
        separator: What stands between tags.
    """

    prefix: str = ""
    suffix: str = ""
    shuffle: bool = False
    keep_tokens: int = 0
    tag_dropout: float = 0.0
    separator: str = ","

    @property
    def varies(self) -> bool:
        """Whether captions differ between epochs."""
        return self.shuffle or self.tag_dropout > 0

    def apply(self, caption: str, number: int) -> str:
        """Give the caption of the example with this number; the number alone decides what is random."""
        if self.varies and caption:
            caption = self._rearranged(caption, number)
        return " ".join(part for part in (self.prefix, caption, self.suffix) if part)

    def _rearranged(self, caption: str, number: int) -> str:
        tags = [tag.strip() for tag in caption.split(self.separator) if tag.strip()]
        kept, others = tags[: self.keep_tokens], tags[self.keep_tokens :]
        draws = numbered_uniform(_SEED, [number], 2 * len(others))[0]
        order = np.argsort(draws[: len(others)], kind="stable") if self.shuffle else range(len(others))
        stays = draws[len(others) :] >= self.tag_dropout
        kept += [others[place] for place in order if stays[place]]
        return f"{self.separator.strip()} ".join(kept) if self.separator.strip() else self.separator.join(kept)


class CaptionedDataset(WrappedDataset):
    """A dataset whose captions follow rules.

    Raises:
        InputError: if it has no captions, or tags have no separator.
    """

    def __init__(self, dataset: Dataset, rules: CaptionRules) -> None:
        if "captions" not in dataset.fields:
            raise InputError("dataset", "it has no captions.", "Choose a dataset with captions.")
        if "embeddings" in dataset.fields:
            raise InputError("dataset", "its captions are cached already.", "Put CaptionRules before CacheCaptions.")
        if not rules.separator:
            raise InputError("separator", "it is empty.", "Give what stands between tags, e.g. a comma.")
        super().__init__(dataset)
        self._rules = rules

    @property
    def fields(self) -> Collection[ExampleField]:
        """What the dataset gives."""
        return self._dataset.fields

    @property
    def varies(self) -> bool:
        """Whether the dataset's examples or its captions differ between epochs."""
        return super().varies or self._rules.varies

    @cached_property
    def digest(self) -> str:
        """A hash of the dataset and the rules."""
        text = f"{self._dataset.digest} {asdict(self._rules)!r}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        """Give the examples with these numbers, with their captions changed."""
        length = self._dataset.length
        goes_on = length is None or varies(self._dataset)
        numbers = indices if goes_on or length is None else [number % length for number in indices]
        examples = self._dataset.examples(numbers, fields)
        if examples.captions is None:
            return examples
        pairs = zip(examples.captions, indices, strict=True)
        return replace(examples, captions=[self._rules.apply(caption, number) for caption, number in pairs])
