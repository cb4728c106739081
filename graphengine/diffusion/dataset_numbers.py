"""How datasets made of others number their examples.

An example's number is ``number % length``, and where it varies, ``number // length`` says which variation of it; a
dataset made of others has to hand both on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields as fields_of

import torch
from torch import Tensor

from graphengine.errors import InputError
from graphengine.training_types import ArrangedDataset, Dataset, ExampleField, Examples

__all__ = ["finite_length", "groups_of", "in_order", "number_within", "varies"]


def finite_length(dataset: Dataset, purpose: str) -> int:
    """Give a dataset's length.

    Raises:
        InputError: if it is endless or empty.
    """
    if not dataset.length:
        fault = "endless" if dataset.length is None else "empty"
        raise InputError("dataset", f"it is {fault}.", f"{purpose} needs a dataset of so and so many examples.")
    return dataset.length


def varies(dataset: Dataset) -> bool:
    """Tell whether a dataset's examples differ between epochs; an endless one has no epochs."""
    return isinstance(dataset, ArrangedDataset) and dataset.varies


def number_within(dataset: Dataset, index: int, variation: int) -> int:
    """Give the number of a variation of an example."""
    return index + (dataset.length or 0) * variation if varies(dataset) else index


def groups_of(dataset: Dataset) -> Sequence[Sequence[int]]:
    """Give the examples that may share batches; all of them where a dataset says nothing."""
    if isinstance(dataset, ArrangedDataset):
        return dataset.groups
    return [range(dataset.length)] if dataset.length else []


def in_order(parts: Sequence[tuple[Sequence[int], Examples]], fields: Collection[ExampleField]) -> Examples:
    """Put examples of several datasets together, each at its place in the batch.

    A part without a mask or weights has ones where another has some.

    Args:
        parts: Places in the batch, and the examples that belong there.
    """
    order = [place for places, _examples in parts for place in places]
    back = sorted(range(len(order)), key=order.__getitem__)
    counts = [len(places) for places, _examples in parts]
    columns: dict[str, object] = {}
    for name in (each.name for each in fields_of(Examples) if each.name in fields):
        values = [getattr(examples, name) for _places, examples in parts]
        if name in ("mask", "weights") and any(value is not None for value in values):
            values = _filled(values, counts)
        if any(value is None for value in values):
            continue
        columns[name] = _joined(values, back)
    return Examples(**columns)  # type: ignore[arg-type]  # each joined from columns of its own kind


def _filled(values: Sequence[Tensor | None], counts: Sequence[int]) -> list[Tensor]:
    shape = next(value.shape[1:] for value in values if value is not None)
    return [torch.ones(count, *shape) if value is None else value for value, count in zip(values, counts, strict=True)]


def _joined(values: Sequence[object], back: Sequence[int]) -> object:
    first = values[0]
    if isinstance(first, Tensor):
        return torch.cat([value for value in values if isinstance(value, Tensor)])[list(back)]
    if isinstance(first, dict):
        names = set.intersection(*(set(value) for value in values if isinstance(value, dict)))
        return {name: _joined([value[name] for value in values if isinstance(value, dict)], back) for name in names}
    row = [item for value in values if isinstance(value, Sequence) for item in value]
    return [row[place] for place in back]
