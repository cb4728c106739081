"""Batches: how several meet, and how they are repeated, taken apart and regrouped.

The rule wherever batches meet: each has one item, or as many as the largest. Single items repeat; anything else is
refused, for which item belongs to which would be a guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from graphengine.errors import InputError


def common_batch(parts: Mapping[str, Tensor]) -> int:
    """Give the size of the batch that several make together, in which single items repeat.

    Raises:
        InputError: naming the first input that is neither one item nor as many as the others.
    """
    count = 1
    for name, part in parts.items():
        size = part.shape[0]
        if size != count and 1 not in (size, count):
            raise InputError(name, f"a batch of {size} beside a batch of {count}.", f"Give 1 or {count}.")
        count = max(count, size)
    return count


def widened(part: Tensor, count: int) -> Tensor:
    """Repeat a single item to a batch, without copying it; a batch of that size stays as it is."""
    return part.expand(count, *part.shape[1:])


def repeated(batch: Tensor, amount: int) -> Tensor:
    """Repeat a whole batch, ≥ 1 times: a b a b."""
    return batch.repeat(amount, *[1] * (batch.ndim - 1))


def chosen(batch: Tensor, index: int, length: int, *, named: tuple[str, str] = ("batch_index", "length")) -> Tensor:
    """Take ``length`` items from ``index`` on; a negative index counts from the end.

    Args:
        named: What the user calls the index and the length.

    Raises:
        InputError: if there are not as many.
    """
    count = len(batch)
    if not -count <= index < count:
        raise InputError(
            named[0], f"there is no item {index} in a batch of {count}.", f"Choose one from 0 to {count - 1}."
        )
    first = index % count
    if length > count - first:
        raise InputError(
            named[1],
            f"from item {first} of a batch of {count} there are {count - first} items, not {length}.",
            f"Choose at most {count - first}.",
        )
    return batch[first : first + length]


def regrouped(batches: Sequence[Tensor], size: int) -> list[Tensor]:
    """Cut a row of batches anew into batches of a size; a smaller one remains at the end of each run of one shape."""
    runs: list[list[Tensor]] = []
    for batch in batches:
        if runs and runs[-1][0].shape[1:] == batch.shape[1:]:
            runs[-1].append(batch)
        else:
            runs.append([batch])
    return [group for run in runs for group in torch.split(torch.cat(run), size)]
