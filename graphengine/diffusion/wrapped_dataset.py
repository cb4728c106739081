"""What datasets have in common that give another one's examples with something changed or added."""

from __future__ import annotations

from collections.abc import Sequence

from graphengine.diffusion.dataset_numbers import groups_of, varies
from graphengine.training_types import Dataset

__all__ = ["WrappedDataset"]


class WrappedDataset:
    """Another dataset's examples, under the same numbers."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    @property
    def length(self) -> int | None:
        """As many as the dataset has."""
        return self._dataset.length

    @property
    def groups(self) -> Sequence[Sequence[int]]:
        """The dataset's groups."""
        return groups_of(self._dataset)

    @property
    def varies(self) -> bool:
        """Whether the dataset does."""
        return varies(self._dataset)
