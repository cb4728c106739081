"""Datasets made of others: several as one, a regularisation set beside the pictures to learn, a part held out."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

import torch

from graphengine.diffusion.dataset_numbers import finite_length, groups_of, in_order, number_within, varies
from graphengine.diffusion.step_random import derive_seed
from graphengine.errors import InputError
from graphengine.training_types import Dataset, ExampleField, Examples

__all__ = ["ChosenExamples", "JoinedDataset", "Part", "joined", "regularised", "split"]

_SHAPES: tuple[ExampleField, ...] = ("images", "latents")


@dataclass(frozen=True)
class Part:
    """A dataset within a joined one.

    Attributes:
        count: How many of its examples come in an epoch; they come in turn, so it may be more or less than there are.
        weight: How much each counts in the loss.
    """

    dataset: Dataset
    count: int
    weight: float = 1.0

    @property
    def is_fixed(self) -> bool:
        """Whether each place in an epoch always has the same example.

        Else they come in turn over the epochs, so that all are seen. Where they are of several sizes that can't be:
        a place's size has to be known.
        """
        length = self.dataset.length
        return bool(length) and (self.count % (length or 1) == 0 or len(groups_of(self.dataset)) > 1)

    def number_of(self, place: int, variation: int) -> int:
        """Give the number, in the dataset, of the example at a place of an epoch."""
        length = self.dataset.length
        if length is None:
            return variation * self.count + place
        if self.is_fixed:
            turns = -(-self.count // length)
            return number_within(self.dataset, place % length, variation * turns + place // length)
        turn, own = divmod(variation * self.count + place, length)
        return number_within(self.dataset, own, turn)


class JoinedDataset:
    """Several datasets as one; it gives what all of them give, and masks and weights where any has them."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._ends = list(accumulate(part.count for part in parts))

    @property
    def length(self) -> int | None:
        """How many examples an epoch has."""
        return self._ends[-1]

    @cached_property
    def fields(self) -> Collection[ExampleField]:
        """What all parts give; a mask and weights if any part has them."""
        common = [name for name in self._parts[0].dataset.fields if all(name in p.dataset.fields for p in self._parts)]
        some: list[ExampleField] = []
        if any("mask" in part.dataset.fields for part in self._parts):
            some.append("mask")
        if any("weights" in part.dataset.fields or part.weight != 1 for part in self._parts):
            some.append("weights")
        return [*common, *(name for name in some if name not in common)]

    @cached_property
    def groups(self) -> Sequence[Sequence[int]]:
        """The examples of each size; an example of each of a part's groups tells its size."""
        groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for start, part in zip([0, *self._ends], self._parts, strict=False):
            if not part.is_fixed:  # which example comes is open, but all are of a size
                groups[_shape(part.dataset, 0)] += range(start, start + part.count)
                continue
            length = finite_length(part.dataset, "Joining")
            for member in groups_of(part.dataset):
                places = (start + turn + index for turn in range(0, part.count, length) for index in member)
                groups[_shape(part.dataset, member[0])] += [each for each in places if each < start + part.count]
        return [sorted(group) for group in groups.values() if group]

    @property
    def varies(self) -> bool:
        """Whether epochs differ: in a part, or in which of its examples come."""
        return any(varies(part.dataset) or not part.is_fixed for part in self._parts)

    @cached_property
    def digest(self) -> str:
        """A hash of all that decides the examples."""
        rows = [f"{part.dataset.digest} {part.count} {part.weight}" for part in self._parts]
        return hashlib.blake2b("\n".join(rows).encode(), digest_size=16).hexdigest()

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        """Give the examples with these numbers, each from its part."""
        places: dict[int, list[int]] = defaultdict(list)
        numbers: dict[int, list[int]] = defaultdict(list)
        for place, number in enumerate(indices):
            variation, index = divmod(number, self._ends[-1])
            which = bisect_right(self._ends, index)
            part = self._parts[which]
            places[which].append(place)
            numbers[which].append(part.number_of(index - (self._ends[which - 1] if which else 0), variation))
        parts = [(places[which], self._examples_of(self._parts[which], numbers[which], fields)) for which in places]
        return in_order(parts, fields)

    def _examples_of(self, part: Part, numbers: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        asked = [name for name in fields if name in part.dataset.fields]
        examples = part.dataset.examples(numbers, asked)
        if "weights" not in fields or part.weight == 1:
            return examples
        own = torch.ones(len(numbers)) if examples.weights is None else examples.weights
        return replace(examples, weights=own * part.weight)


class ChosenExamples:
    """Some examples of a dataset.

    Args:
        dataset: Where they are from, of finite length.
        chosen: Their numbers.
    """

    def __init__(self, dataset: Dataset, chosen: Sequence[int]) -> None:
        self._dataset = dataset
        self._chosen = chosen

    @property
    def length(self) -> int | None:
        """How many were chosen."""
        return len(self._chosen)

    @property
    def fields(self) -> Collection[ExampleField]:
        """What the dataset gives."""
        return self._dataset.fields

    @cached_property
    def groups(self) -> Sequence[Sequence[int]]:
        """The chosen ones of each of the dataset's groups."""
        places = {number: place for place, number in enumerate(self._chosen)}
        groups = ([places[number] for number in group if number in places] for group in groups_of(self._dataset))
        return [group for group in groups if group]

    @property
    def varies(self) -> bool:
        """Whether the dataset does."""
        return varies(self._dataset)

    @cached_property
    def digest(self) -> str:
        """A hash of the dataset and the choice."""
        text = f"{self._dataset.digest} {list(self._chosen)}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        """Give the chosen examples with these numbers."""
        pairs = (divmod(number, len(self._chosen)) for number in indices)
        numbers = [number_within(self._dataset, self._chosen[place], variation) for variation, place in pairs]
        return self._dataset.examples(numbers, fields)


def joined(*parts: tuple[Dataset, int]) -> JoinedDataset:
    """Join finite datasets, each with how often its examples come in an epoch.

    Raises:
        InputError: if one is endless or empty, or they have nothing in common.
    """
    dataset = JoinedDataset([Part(each, finite_length(each, "Joining") * repeats) for each, repeats in parts])
    if not {"images", "latents"} & set(dataset.fields):
        given = " and ".join(f"[{', '.join(each.fields)}]" for each, _repeats in parts)
        raise InputError("second", f"the datasets share neither images nor latents: {given}.", "Choose others.")
    return dataset


def regularised(dataset: Dataset, regularisation: Dataset, weight: float) -> JoinedDataset:
    """Show a picture of what the model knows for each that it learns, so that it keeps that.

    If there are more than that, all come in turn over the epochs; of several sizes only the first so many come.

    Source: Ruiz et al. 2023, arXiv:2208.12242, "prior preservation".
    """
    count = finite_length(dataset, "Adding a regularisation set")
    if regularisation.length == 0:
        raise InputError("regularisation", "it is empty.", "Choose pictures of what the model knows.")
    return JoinedDataset([Part(dataset, count), Part(regularisation, count, weight)])


def split(dataset: Dataset, share: float, seed: int) -> tuple[ChosenExamples, ChosenExamples]:
    """Split a dataset into examples to train on and others held out, at random; at least one in each.

    Raises:
        InputError: if it has but one example.
    """
    length = finite_length(dataset, "Splitting")
    if length < 2:
        raise InputError("dataset", "it has one example.", "Splitting needs two or more.")
    order = torch.randperm(length, generator=torch.Generator().manual_seed(derive_seed(seed, "split"))).tolist()
    held = min(length - 1, max(1, round(length * share)))
    return ChosenExamples(dataset, sorted(order[held:])), ChosenExamples(dataset, sorted(order[:held]))


def _shape(dataset: Dataset, number: int) -> tuple[object, ...]:
    """Give the sizes of an example, which its batch has to share."""
    asked = [name for name in _SHAPES if name in dataset.fields]
    example = dataset.examples([number], asked)
    return tuple(tuple(value.shape[1:]) for value in (example.images, example.latents) if value is not None)
