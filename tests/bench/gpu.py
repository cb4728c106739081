"""How much sooner a picture is there than with the diffusers pipeline, both on an accelerator; random weights."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline

from graphengine.diffusion import conditioning, sampling, vae
from graphengine.diffusion.training_precision import compiled
from graphengine.engine.device_memory import DeviceMemory
from graphengine.types import Latent, Model
from tests.diffusion.original_layouts import Parts, random_parts

PROMPT, NEGATIVE, CFG = "a photograph of an astronaut riding a horse", "blurry", 7.0


def device() -> str | None:
    """Give the accelerator to measure on; None if there is none."""
    return "cuda:0" if torch.cuda.is_available() else None


def picture_ratio(
    place: str,
    *,
    tiny: bool = False,
    side: int = 512,
    steps: int = 50,
    dtype: torch.dtype = torch.float16,
    backend: str = "inductor",
    rounds: int = 3,
) -> float:
    """Give the time for a picture, the network compiled and its weights channels last, over the eager pipeline's.

    From prompt to picture, everything on the device before; making the kernels isn't counted.

    Args:
        place: A torch device.
        tiny: With a network of a few channels, to try whether it runs.
        backend: Of torch.compile.
    """
    parts = random_parts("sd1", tiny=tiny, dtype=dtype)
    pipeline = _pipeline(parts, place)
    model = replace(parts[0], network=copy.deepcopy(parts[0].network).to(memory_format=torch.channels_last))  # type: ignore[call-overload]  # declared for tensors only
    theirs = _best(lambda: _piped(pipeline, side, steps), place, rounds)
    with compiled([model.network], backend), DeviceMemory().loaded([model, *parts[1:]], place):
        ours = _best(lambda: _sampled(model, parts, place, side, steps), place, rounds)
    return ours / theirs


def _sampled(model: Model, parts: Parts, place: str, side: int, steps: int) -> None:
    _model, clip, autoencoder = parts
    cells = side // vae.latent_factor(autoencoder)
    latent = sampling.sample(
        model, Latent(torch.zeros(1, 4, cells, cells)), seed=0, steps=steps, cfg=CFG, sampler_name="euler",
        scheduler="normal", positive=conditioning.encode(clip, PROMPT, device=place),
        negative=conditioning.encode(clip, NEGATIVE, device=place), device=place,
    )  # fmt: skip
    vae.decode(autoencoder, latent, device=place)


def _pipeline(parts: Parts, place: str) -> Any:  # Any: diffusers' pipelines are untyped
    model, clip, autoencoder = parts
    kind: Any = StableDiffusionPipeline  # Any: as above
    scheduler: Any = EulerDiscreteScheduler  # Any: as above
    pipeline = kind(
        unet=model.network, vae=autoencoder.autoencoder, text_encoder=clip.encoders[0].network,
        tokenizer=clip.encoders[0].tokenizer, scheduler=scheduler.from_config(dict(model.scheduler_config)),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(place)


def _piped(pipeline: Any, side: int, steps: int) -> None:  # Any: as above
    pipeline(
        PROMPT, negative_prompt=NEGATIVE, num_inference_steps=steps, guidance_scale=CFG, height=side, width=side,
        output_type="np",
    )  # fmt: skip


def _best(make: Callable[[], None], place: str, rounds: int) -> float:
    """Take the best time of several, after one that warms up."""
    make()
    best = float("inf")
    for _ in range(rounds):
        _wait(place)
        started = time.perf_counter()
        make()
        _wait(place)
        best = min(best, time.perf_counter() - started)
    return best


def _wait(place: str) -> None:
    if torch.device(place).type == "cuda":
        torch.cuda.synchronize(place)
