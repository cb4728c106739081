"""Text states of a dataset's captions on disk, so that the text encoder runs once for each caption."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from graphengine.diffusion.cached_field import CachedField
from graphengine.diffusion.dataset_numbers import finite_length, varies
from graphengine.diffusion.learned_words import words_digest
from graphengine.diffusion.tensor_store import TensorStore
from graphengine.diffusion.training_captions import read_captions
from graphengine.diffusion.training_tasks import digest_of
from graphengine.errors import InputError
from graphengine.training_types import Dataset, ExampleField, Examples
from graphengine.types import Clip, TextEncoder

__all__ = ["CachedCaptions"]

Watch = Callable[[Sequence[str]], Iterable[str]]
"""Goes through captions while telling how far it is."""


class CachedCaptions(CachedField):
    """A dataset with the text states of its captions; a missing one is encoded when it is asked for.

    Args:
        dataset: Its captions are the same in each epoch.
        clip: One or more text encoders, on whatever device they are.
        store: Where states are kept, in half precision.

    Raises:
        InputError: if there are no captions, or new ones in each epoch.
    """

    field = "embeddings"
    kind = "text"
    values_name = "text states"

    def __init__(self, dataset: Dataset, clip: Clip, store: TensorStore) -> None:
        finite_length(dataset, "Caching captions")
        if "captions" not in dataset.fields:
            raise InputError("dataset", "it has no captions.", "Choose a dataset with captions.")
        taught = [words_digest(clip)] if clip.words else []
        super().__init__(dataset, " ".join([*map(_encoder_digest, clip.encoders), *taught]), store)
        self._clip = clip
        self._networks = [encoder.network for encoder in clip.encoders]

    @property
    def fields(self) -> Collection[ExampleField]:
        """What the dataset gives, the states, and the pooled ones of several encoders."""
        fields = [name for name in super().fields if name != "pooled"]
        return [*fields, "pooled"] if len(self._networks) > 1 else fields

    def fill(self, watch: Watch = iter) -> int:
        """Encode all captions that aren't in the store yet; can be stopped and goes on where it was.

        Returns:
            How many were encoded.

        Raises:
            InputError: if captions differ between epochs, or all of them together don't fit the store.
        """
        length = self._dataset.length or 0
        captions = dict.fromkeys(self._captions(range(length)))
        if varies(self._dataset) and self._captions(range(length, 3 * length)) != 2 * self._captions(range(length)):
            raise InputError(
                "dataset",
                "its captions are new in each epoch, so their states can't be kept.",
                "In CaptionRules turn shuffle and tag_dropout off, or leave out CacheCaptions.",
            )
        missing = [caption for caption in captions if self._key(caption) not in self._store]
        self._check_room(len(captions), next(iter(captions)))
        for caption in watch(missing):
            self._encoded(caption)
        self._store.keep_within_bounds([self._key(caption) for caption in captions])
        return len(missing)

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        """Give the examples with these numbers."""
        cached = [name for name in fields if name in ("embeddings", "pooled")]
        asked: list[ExampleField] = [name for name in fields if name not in cached]
        with_captions = asked if "captions" in asked or not cached else [*asked, "captions"]
        examples = self._dataset.examples(indices, with_captions)
        if not cached:
            return examples
        kept = [self._kept(caption) for caption in examples.captions or ()]
        return replace(
            examples,
            embeddings=torch.stack([each["states"].float() for each in kept]) if "embeddings" in cached else None,
            pooled=torch.stack([each["pooled"].float() for each in kept]) if "pooled" in cached else None,
            captions=examples.captions if "captions" in asked else None,
        )

    def _captions(self, numbers: Sequence[int]) -> list[str]:
        return list(self._dataset.examples(numbers, ["captions"]).captions or ())

    def _kept(self, caption: str) -> Mapping[str, Tensor]:
        return self._store.load(self._key(caption)) or self._encoded(caption)

    def _encoded(self, caption: str) -> Mapping[str, Tensor]:
        device = next(self._networks[0].parameters()).device
        with self._encoding, torch.no_grad():
            states, pooled = read_captions(self._clip, self._networks, [caption], device)
        kept = {"states": states[0]} | ({} if pooled is None or len(self._networks) == 1 else {"pooled": pooled[0]})
        kept = {name: each.to("cpu", torch.float16).contiguous() for name, each in kept.items()}
        self._store.save(self._key(caption), kept)
        return kept

    def _check_room(self, count: int, caption: str) -> None:
        if self._key(caption) not in self._store:
            self._encoded(caption)
        self._require_room(count * self._store.size(self._key(caption)))

    def _key(self, caption: str) -> str:
        return self._hashed_key(caption)


def _encoder_digest(encoder: TextEncoder) -> str:
    tokenizer: Any = encoder.tokenizer  # Any: transformers' tokenizers are untyped here
    words = json.dumps(tokenizer.get_vocab(), sort_keys=True)
    vocabulary = hashlib.blake2b(f"{tokenizer.model_max_length} {words}".encode(), digest_size=16).hexdigest()
    read = (encoder.hidden_layer, encoder.final_norm)
    # The last layer's states were cached before others could be: their digest says nothing of it.
    return f"{digest_of(encoder.network)} {vocabulary}" + ("" if read == (-1, True) else f" {read} {encoder.pooled}")
