"""What datasets have in common that compute a field of another one once, and keep it on disk."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection
from functools import cached_property
from typing import ClassVar

from graphengine.diffusion.tensor_store import TensorStore
from graphengine.diffusion.wrapped_dataset import WrappedDataset
from graphengine.errors import InputError
from graphengine.training_types import Dataset, ExampleField

__all__ = ["CachedField"]


class CachedField(WrappedDataset):
    """A dataset that gives one more field.

    Attributes:
        field: The one it gives.
        kind: Part of digests, so it never changes.
        values_name: What the field's values are called in messages.

    Args:
        dataset: Of finite length.
        encoder: What computes the field, as a digest.
        store: Where its values are kept.
    """

    field: ClassVar[ExampleField]
    kind: ClassVar[str]
    values_name: ClassVar[str]

    def __init__(self, dataset: Dataset, encoder: str, store: TensorStore) -> None:
        super().__init__(dataset)
        self._encoder = encoder
        self._store = store
        self._encoding = threading.Lock()  # several threads read data

    @property
    def fields(self) -> Collection[ExampleField]:
        """What the dataset gives, and this field."""
        return [*(name for name in self._dataset.fields if name != self.field), self.field]

    @cached_property
    def digest(self) -> str:
        """A hash of the dataset and the encoder."""
        text = f"{self._dataset.digest} {self.kind} {self._encoder}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def _hashed_key(self, content: str) -> str:
        return hashlib.blake2b(f"{self._encoder} {content}".encode(), digest_size=20).hexdigest()

    def _require_room(self, needed: int) -> None:
        """Refuse what doesn't fit the store.

        Raises:
            InputError: naming both sizes.
        """
        allowed = self._store.max_bytes
        if needed > allowed:
            raise InputError(
                "max_gb",
                f"the {self.values_name} take {needed / 1e9:,.1f} GB; {allowed / 1e9:,.1f} GB may be kept.",
                "Allow more, or train without a cache.",
            )
