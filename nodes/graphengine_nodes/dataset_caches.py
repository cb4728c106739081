"""Keep what frozen networks make of a dataset on disk, so that training doesn't make it again in each epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from graphengine import Context, Widget, node
from graphengine.training_types import Dataset
from graphengine.types import Clip, Vae

Facts = Mapping[str, Mapping[str, Any]]  # Any: facts are plain values


def _of_latents(_literals: object, facts: Facts) -> Facts:
    made_by = facts.get("vae", {})
    latents = {name: made_by[name] for name in ("latent_channels", "latent_factor") if name in made_by}
    return {"dataset": {**facts.get("dataset", {}), **latents}}


def _of_captions(_literals: object, facts: Facts) -> Facts:
    made_by = facts.get("clip", {})
    return {"dataset": {**facts.get("dataset", {}), **made_by}}


Gigabytes = Annotated[float, Field(gt=0, le=100_000), Widget("number", advanced=True)]


@node("CacheLatents", category="training/datasets", device="gpu", refine=_of_latents)
def cache_latents(ctx: Context, dataset: Dataset, vae: Vae, max_gb: Gigabytes = 20.0) -> Dataset:
    """Encode all pictures once and keep their latents on disk, so that training needs no autoencoder and less time.

    Pictures are known by their content: only new ones are encoded, and a stopped run goes on where it was. Each epoch
    draws anew from the latents' spread, as without a cache; half precision is all that is lost.

    Args:
        dataset: Pictures at their sizes; of AugmentDataset only flips can be cached.
        vae: The autoencoder of the model to train.
        max_gb: Gigabytes on disk for latents of all datasets; what was used longest ago is deleted first.
    """
    from graphengine.diffusion.cached_latents import CachedLatents
    from graphengine.diffusion.tensor_store import TensorStore

    cached = CachedLatents(dataset, vae, TensorStore(ctx.state_folder("latents"), int(max_gb * 1e9)))
    with ctx.loaded(vae) as device:
        vae.autoencoder.to(device)
        cached.fill(ctx.progress)
    return cached


@node("CacheCaptions", category="training/datasets", device="gpu", refine=_of_captions)
def cache_captions(ctx: Context, dataset: Dataset, clip: Clip, max_gb: Gigabytes = 5.0) -> Dataset:
    """Encode all captions once and keep the text encoder's states on disk, so that training doesn't run it.

    Not for training the text encoder itself, nor for captions that are new in each epoch.

    Args:
        dataset: A dataset with captions, after CaptionRules if there are any.
        clip: The text encoder of the model to train, with all that belong to it.
        max_gb: Gigabytes on disk for captions of all datasets; what was used longest ago is deleted first.
    """
    from graphengine.diffusion.cached_captions import CachedCaptions
    from graphengine.diffusion.tensor_store import TensorStore

    cached = CachedCaptions(dataset, clip, TensorStore(ctx.state_folder("captions"), int(max_gb * 1e9)))
    with ctx.loaded(clip) as device:
        for encoder in clip.encoders:
            encoder.network.to(device)
        cached.fill(ctx.progress)
    return cached
