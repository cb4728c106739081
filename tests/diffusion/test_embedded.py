"""The model that ships: it opens in diffusers, equals its pipeline, and stays small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers import StableDiffusionPipeline

import graphengine
from graphengine.diffusion import checkpoints, conditioning, sampling, vae
from graphengine.types import Latent, SamplerName

EMBEDDED = Path(graphengine.__file__).parent / "models" / "checkpoints" / "embedded"
PROMPT = "a big red star on a white background"


@pytest.fixture(scope="module")
def pipeline() -> Any:  # Any: diffusers is untyped
    opened: Any = StableDiffusionPipeline.from_pretrained(
        EMBEDDED, local_files_only=True, dtype=torch.float32, requires_safety_checker=False
    )
    opened.set_progress_bar_config(disable=True)
    return opened


@pytest.mark.parametrize(
    "sampler_name",
    [
        "diffusers:EulerDiscreteScheduler",
        pytest.param("diffusers:EulerAncestralDiscreteScheduler", marks=pytest.mark.slow),
        pytest.param("diffusers:DDIMScheduler", marks=pytest.mark.slow),
        pytest.param("diffusers:DDPMScheduler", marks=pytest.mark.slow),
        pytest.param("diffusers:DPMSolverMultistepScheduler", marks=pytest.mark.slow),
        "diffusers:UniPCMultistepScheduler",
    ],
)
def test_diffusers_samplers_equal_the_pipeline_bit_for_bit(pipeline: Any, sampler_name: SamplerName) -> None:
    scheduler = getattr(diffusers, sampler_name.removeprefix("diffusers:"))
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    theirs = pipeline(
        [PROMPT] * 2,
        num_inference_steps=4,
        guidance_scale=3.0,
        generator=[torch.Generator().manual_seed(seed) for seed in (7, 8)],
        output_type="latent",
    ).images

    model, clip, _ = checkpoints.load(EMBEDDED)
    ours = sampling.sample(
        model,
        Latent(torch.zeros(2, 4, 16, 16)),
        seed=7,
        steps=4,
        cfg=3.0,
        sampler_name=sampler_name,
        scheduler="normal",
        positive=conditioning.encode(clip, PROMPT),
        negative=conditioning.encode(clip, ""),
    )
    assert torch.equal(ours.samples, theirs)


def test_latents_decode_as_in_the_pipeline(pipeline: Any) -> None:
    latents = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    _, _, autoencoder = checkpoints.load(EMBEDDED)
    theirs = [pipeline.vae.decode(each[None] / pipeline.vae.config.scaling_factor).sample for each in latents]
    pictures = (torch.cat(theirs) / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    assert torch.equal(vae.decode(autoencoder, Latent(latents)), pictures)


def test_the_model_is_small_and_has_a_card() -> None:
    assert sum(file.stat().st_size for file in EMBEDDED.rglob("*") if file.is_file()) <= 16 * 2**20
    card = (EMBEDDED / "README.md").read_text(encoding="utf-8")
    assert "Apache-2.0" in card
    assert "make train" in card
