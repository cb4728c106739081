"""Datasets that give the edges of their own pictures as hints, to train a ControlNet on."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property

from graphengine.diffusion.edge_hints import EdgeHints
from graphengine.diffusion.picture_dataset import PictureDataset
from graphengine.diffusion.wrapped_dataset import WrappedDataset
from graphengine.errors import InputError
from graphengine.training_types import Dataset, ExampleField, Examples

__all__ = ["EdgedDataset", "edged"]


def edged(dataset: Dataset, edges: EdgeHints) -> Dataset:
    """Add edges to a dataset. Those of pictures from files are found before their colours are changed.

    Raises:
        InputError: if it has no pictures, or hints already.
    """
    if "hints" in dataset.fields:
        raise InputError("dataset", "it has hints already.", "Leave this node out, or give the dataset no hints.")
    if "images" not in dataset.fields:
        raise InputError("dataset", "it has no images to find edges in.", "Choose a dataset of pictures.")
    if isinstance(dataset, PictureDataset):
        return dataset.changed(replace(dataset.settings, edges=edges))
    return EdgedDataset(dataset, edges)


class EdgedDataset(WrappedDataset):
    """A dataset with the edges of its pictures, as it gives them."""

    def __init__(self, dataset: Dataset, edges: EdgeHints) -> None:
        super().__init__(dataset)
        self._edges = edges

    @property
    def fields(self) -> Collection[ExampleField]:
        """What the dataset gives, and hints."""
        return [*self._dataset.fields, "hints"]

    @cached_property
    def digest(self) -> str:
        """A hash of the dataset and how edges are found."""
        return hashlib.blake2b(f"{self._dataset.digest} {self._edges}".encode(), digest_size=16).hexdigest()

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        """Give the examples with these numbers."""
        asked: list[ExampleField] = [name for name in fields if name != "hints"]
        if "hints" not in fields:
            return self._dataset.examples(indices, asked)
        wanted = asked if "images" in asked else [*asked, "images"]
        examples = self._dataset.examples(indices, wanted)
        if examples.images is None:
            raise InputError("dataset", "it promised images but gave none.", "Correct the dataset's fields.")
        if examples.images.shape[1] not in (1, 3):
            raise InputError(
                "dataset",
                f"its images have {examples.images.shape[1]} channels; edges are found in 1 or 3.",
                "Choose grey or coloured pictures.",
            )
        hints = self._edges.of((examples.images + 1) / 2)
        return replace(examples, hints=hints, images=examples.images if "images" in asked else None)
