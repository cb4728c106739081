"""Latents of a dataset's pictures on disk, so that the autoencoder runs once for each picture and not once a step.

What is kept is the posterior's mean and deviation, in half precision. Each epoch draws anew from it, as training
without a cache does. A picture is known by its content, so that renamed, copied or regrouped files are found again:

    key = hash(picture and mask, autoencoder, size, fit, flipped or not)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from diffusers import AutoencoderTiny
from torch import Tensor
from torch.nn import functional

from graphengine.diffusion.augmentation import Augmentation, draw
from graphengine.diffusion.cached_field import CachedField
from graphengine.diffusion.dataset_numbers import finite_length, varies
from graphengine.diffusion.picture_dataset import PictureDataset
from graphengine.diffusion.step_random import derive_seed
from graphengine.diffusion.tensor_store import TensorStore
from graphengine.diffusion.training_tasks import digest_of
from graphengine.diffusion.vae import latent_factor, scaling
from graphengine.errors import InputError
from graphengine.training_types import Dataset, ExampleField, Examples
from graphengine.types import Vae

__all__ = ["CachedLatents"]

Side = tuple[int, bool]
"""A picture's number, and whether it is shown as in a mirror."""

Watch = Callable[[Sequence[Side]], Iterable[Side]]
"""Goes through pictures while telling how far it is."""


class CachedLatents(CachedField):
    """A dataset with the latents of its pictures; a missing one is encoded when it is asked for.

    Args:
        dataset: Pictures that don't change between epochs, but for flips.
        vae: Encodes them; float32 or half, on whatever device it is.
        store: Where latents are kept.

    Raises:
        InputError: if the pictures are new in each epoch, or of sizes that the autoencoder can't encode.
    """

    field = "latents"
    kind = "latents"
    values_name = "latents"

    def __init__(self, dataset: Dataset, vae: Vae, store: TensorStore) -> None:
        finite_length(dataset, "Caching latents")
        _check_steady(dataset)
        super().__init__(dataset, f"{digest_of(vae.autoencoder)} {scaling(vae)}", store)
        self._vae = vae

    @property
    def varies(self) -> bool:
        """Whether epochs differ: they draw other latents, but for an autoencoder without a posterior."""
        return varies(self._dataset) or not isinstance(self._vae.autoencoder, AutoencoderTiny)

    def fill(self, watch: Watch = iter) -> int:
        """Encode all pictures that aren't in the store yet; can be stopped and goes on where it was.

        Returns:
            How many were encoded.

        Raises:
            InputError: if the latents of all pictures together are larger than the store may be.
        """
        sides = self._sides()
        keys = {self._key(side): side for side in sides}
        missing = [side for key, side in keys.items() if key not in self._store]
        self._check_room(keys.values())
        for side in watch(missing):
            self._encoded(side)
        self._store.keep_within_bounds(list(keys))
        return len(missing)

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        """Give the examples with these numbers; a mask comes at the latents' size."""
        from_dataset = [name for name in fields if name != "latents"]
        examples = self._dataset.examples([self._number(number) for number in indices], from_dataset)
        latents = torch.stack([self._latent(number) for number in indices]) if "latents" in fields else None
        mask = examples.mask
        if mask is not None:
            factor = latent_factor(self._vae)
            mask = functional.avg_pool2d(mask, factor)
        return replace(examples, latents=latents, mask=mask)

    def _number(self, number: int) -> int:
        return number if varies(self._dataset) else number % (self._dataset.length or 1)

    def _latent(self, number: int) -> Tensor:
        """Draw one latent ``[C, h, w]`` in the model's units."""
        side = self._side(number)
        kept = self._store.load(self._key(side)) or self._encoded(side)
        mean = kept["mean"].float()
        if "deviation" not in kept:
            return mean
        generator = torch.Generator().manual_seed(derive_seed(0, "latent", number))
        return mean + kept["deviation"].float() * torch.randn(mean.shape, generator=generator)

    def _side(self, number: int) -> Side:
        """Give which picture an example is, and whether it is shown as in a mirror."""
        index = number % (self._dataset.length or 1)
        if not isinstance(self._dataset, PictureDataset):
            return index, False
        return index, draw(self._dataset.settings.augmentation, number).is_flipped

    def _sides(self) -> list[Side]:
        """Give all that training may ask for."""
        flip = self._dataset.settings.augmentation.flip if isinstance(self._dataset, PictureDataset) else 0.0
        seen = [is_flipped for is_flipped, share in ((False, 1 - flip), (True, flip)) if share > 0]
        return [(index, is_flipped) for index in range(self._dataset.length or 0) for is_flipped in seen]

    def _encoded(self, side: Side) -> Mapping[str, Tensor]:
        index, is_flipped = side
        dataset = self._dataset
        if isinstance(dataset, PictureDataset):
            flip = Augmentation(flip=float(is_flipped))
            dataset = dataset.changed(replace(dataset.settings, augmentation=flip))
        pictures = dataset.examples([index], ["images"]).images
        if pictures is None:
            raise InputError("dataset", "it promised images but gave none.", "Correct the dataset's fields.")
        factor = latent_factor(self._vae)
        if any(length % factor for length in pictures.shape[2:]):
            raise InputError(
                "dataset",
                f"a picture is {pictures.shape[3]} x {pictures.shape[2]}; the autoencoder takes multiples of {factor}.",
                "Bring pictures to sizes with ResizeDataset or AspectBuckets.",
            )
        with self._encoding:
            kept = _encode(self._vae, pictures)
        self._store.save(self._key(side), kept)
        return kept

    def _key(self, side: Side) -> str:
        return self._hashed_key(self._content(side))

    def _content(self, side: Side) -> str:
        index, is_flipped = side
        if not isinstance(self._dataset, PictureDataset):
            return f"{self._dataset.digest} {index}"
        picture = int(self._dataset.pictures[index])
        width, height = self._dataset.shapes[picture].tolist()
        content = self._dataset.source.content_hash(picture)
        return f"{content} {width} {height} {self._dataset.settings.fit} {is_flipped}"

    def _check_room(self, sides: Iterable[Side]) -> None:
        """Refuse before all are encoded, by the size of the first latent of each size."""
        group_of = {index: which for which, group in enumerate(self.groups) for index in group}
        members: dict[int, list[Side]] = defaultdict(list)
        for side in sides:
            members[group_of[side[0]]].append(side)
        needed = 0
        for group in members.values():
            if self._key(group[0]) not in self._store:
                self._encoded(group[0])
            needed += len(group) * self._store.size(self._key(group[0]))
        self._require_room(needed)


def _check_steady(dataset: Dataset) -> None:
    if "images" not in dataset.fields:
        raise InputError("dataset", "it has no images.", "Choose a dataset of pictures.")
    is_steady = not varies(dataset)
    if isinstance(dataset, PictureDataset):
        is_steady = dataset.settings.augmentation.only_flips
    if not is_steady:
        raise InputError(
            "dataset",
            "its pictures or captions are new in each epoch, so latents can't be kept for them.",
            "Of AugmentDataset use flips only; put CaptionRules and AddRegularisation after CacheLatents.",
        )


def _encode(vae: Vae, pictures: Tensor) -> dict[str, Tensor]:
    """Encode a picture ``[1, 3, H, W]`` in -1…1; gives mean and deviation ``[C, h, w]`` in the model's units."""
    autoencoder: Any = vae.autoencoder  # Any: diffusers is untyped
    weight = next(autoencoder.parameters())
    scale, shift = scaling(vae)
    with torch.no_grad():
        pixels = pictures.to(weight.device, weight.dtype)
        if isinstance(autoencoder, AutoencoderTiny):
            return {"mean": _kept((autoencoder.encode(pixels).latents - shift) * scale)}
        posterior = autoencoder.encode(pixels).latent_dist
        return {"mean": _kept((posterior.mean - shift) * scale), "deviation": _kept(posterior.std * scale)}


def _kept(latents: Tensor) -> Tensor:
    return latents[0].to("cpu", torch.float16).contiguous()
