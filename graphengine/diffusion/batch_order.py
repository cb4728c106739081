"""Which examples each step sees: a pure function of (seed, step), so that a training resumes at any step.

A finite dataset is a stream of epochs, each its examples in another order. Batches are cut from the stream one after
the other, so the batch in which an epoch ends goes on with the next, and none is dropped:

    epoch 0         epoch 1         epoch 2
    3 1 4 0 2     | 0 2 1 4 3     | …
    └ batch 0 ┘ └ batch 1 ┘ └ batch 2 ┘

Examples of several sizes can't share a batch. Each size has a stream of its own then, and an epoch's batches, those
that begin in it, come in random order: a batch never mixes sizes, and in each stream every example comes once an epoch.
A size with fewer examples than a batch repeats them, and has a batch only in some epochs; so every example counts as
much as any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from graphengine.diffusion.step_random import derive_seed
from graphengine.training_types import ArrangedDataset, Dataset

__all__ = ["BatchOrder", "GroupedOrder", "Order", "PartedOrder", "make_order"]

_VARIATIONS = 2**31  # a variation's number times the examples' stays below 2^64


class Order(Protocol):
    """Which examples each step sees."""

    def indices(self, step: int) -> Sequence[int]:
        """Give the numbers of the examples of a step, counted from 0."""


def make_order(dataset: Dataset, batch_size: int, seed: int) -> Order:
    """Give the order of a dataset's examples; the seed decides it, and which variation each epoch shows."""
    if not isinstance(dataset, ArrangedDataset) or dataset.length is None:
        return BatchOrder(dataset.length, batch_size, seed)
    if len(dataset.groups) == 1:
        return BatchOrder(dataset.length, batch_size, seed, varies=dataset.varies)
    return GroupedOrder(dataset.groups, batch_size, seed, varies=dataset.varies)


class PartedOrder:
    """An order whose batches come in parts of equal size, one after the other.

    Args:
        order: Of the whole batches.
        parts: Of each, ≥ 1.
    """

    def __init__(self, order: Order, *, parts: int) -> None:
        self._order = order
        self._parts = parts

    def indices(self, step: int) -> Sequence[int]:
        """Give the numbers of the examples of a part; ``step`` counts parts."""
        batch, part = divmod(step, self._parts)
        whole = self._order.indices(batch)
        size = len(whole) // self._parts
        return whole[part * size : (part + 1) * size]


class BatchOrder:
    """The order of examples that may all share a batch.

    Args:
        length: Examples in the dataset, ≥ 1; None if it is endless, and gives its examples in order.
        batch_size: Examples a step; may be more than there are.
        seed: Decides the order of a finite dataset.
        varies: Whether the dataset has a new variation for each epoch.
    """

    def __init__(self, length: int | None, batch_size: int, seed: int, *, varies: bool = False) -> None:
        self._batch_size = batch_size
        self._stream = None if length is None else _Stream(range(length), length, seed, varies=varies)

    def indices(self, step: int) -> Sequence[int]:
        """Give the numbers of the examples of a step, counted from 0."""
        first = step * self._batch_size
        positions = range(first, first + self._batch_size)
        return positions if self._stream is None else self._stream.at(positions)


class GroupedOrder:
    """The order of examples that share batches only with those of their group.

    Args:
        groups: The examples' numbers, each once; no group is empty.
        batch_size: Examples a step; may be more than a group has.
        seed: Decides the order.
        varies: Whether the dataset has a new variation for each epoch.
    """

    def __init__(self, groups: Sequence[Sequence[int]], batch_size: int, seed: int, *, varies: bool = False) -> None:
        length = sum(map(len, groups))
        self._lengths = [len(group) for group in groups]
        self._batch_size = batch_size
        self._seed = seed
        self._streams = [
            _Stream(group, length, derive_seed(seed, "group", number), varies=varies, variations_of=seed)
            for number, group in enumerate(groups)
        ]
        self._first_step = 0
        self._batches: list[tuple[int, int]] = []  # of the epoch: (group, its batch's number in the group's stream)

    def indices(self, step: int) -> Sequence[int]:
        """Give the numbers of the examples of a step, counted from 0."""
        if not self._first_step <= step < self._first_step + len(self._batches):
            self._open(self._epoch_of(step))
        group, batch = self._batches[step - self._first_step]
        first = batch * self._batch_size
        return self._streams[group].at(range(first, first + self._batch_size))

    def _steps_before(self, epoch: int) -> int:
        return sum(self._batches_before(epoch, length) for length in self._lengths)

    def _batches_before(self, epoch: int, length: int) -> int:
        return -(-epoch * length // self._batch_size)

    def _epoch_of(self, step: int) -> int:
        """Find the last epoch that begins at or before a step; an epoch may have no batches."""
        low, high = 0, 1
        while self._steps_before(high) <= step:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._steps_before(middle) <= step else (low, middle)
        return low

    def _open(self, epoch: int) -> None:
        batches = [
            (group, batch)
            for group, length in enumerate(self._lengths)
            for batch in range(self._batches_before(epoch, length), self._batches_before(epoch + 1, length))
        ]
        order = _shuffled(len(batches), derive_seed(self._seed, "batches", epoch))
        self._first_step = self._steps_before(epoch)
        self._batches = [batches[number] for number in order]


class _Stream:
    """Epochs of the same examples, each in an order of its own."""

    def __init__(
        self, examples: Sequence[int], length: int, seed: int, *, varies: bool, variations_of: int | None = None
    ) -> None:
        self._examples = examples
        self._length = length
        self._seed = seed
        self._varies = varies
        self._variations_of = seed if variations_of is None else variations_of
        self._orders: dict[int, list[int]] = {}  # epoch -> its order, for the epochs of the last batch

    def at(self, positions: range) -> Sequence[int]:
        """Give the numbers at these positions of the stream."""
        count = len(self._examples)
        epochs = range(positions[0] // count, positions[-1] // count + 1)
        self._orders = {epoch: self._orders.get(epoch) or self._order(epoch) for epoch in epochs}
        return [self._orders[position // count][position % count] for position in positions]

    def _order(self, epoch: int) -> list[int]:
        past = self._length * (derive_seed(self._variations_of, "variation", epoch) % _VARIATIONS) * self._varies
        order = _shuffled(len(self._examples), derive_seed(self._seed, "epoch", epoch))
        return [self._examples[number] + past for number in order]


def _shuffled(count: int, seed: int) -> list[int]:
    order: list[int] = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    return order
