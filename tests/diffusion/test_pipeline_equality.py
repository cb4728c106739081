"""From a file to a picture: what nodes make of a checkpoint's single file equals its family's diffusers pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from graphengine.diffusion import checkpoints, conditioning, sampling, vae
from graphengine.types import Clip, Family, Latent, Model, Prediction, SamplerName, Vae
from tests.diffusion.original_layouts import random_parts, write_original
from tests.diffusion.tiny_flow import tiny_flow_clip, tiny_flow_model, tiny_flow_vae

PROMPT, NEGATIVE = "a photograph of an astronaut riding a horse", "blurry"
SEED, STEPS, CFG, SIDE = 3, 3, 5.0, 16
EULER = "EulerDiscreteScheduler"


def ours(model: Model, clip: Clip, autoencoder: Vae, sampler_name: SamplerName) -> Tensor:
    """Make a picture as CLIPEncode, KSampler and VAEDecode do."""
    latent = sampling.sample(
        model, Latent(torch.zeros(1, 4, SIDE // 2, SIDE // 2)), seed=SEED, steps=STEPS, cfg=CFG, scheduler="normal",
        sampler_name=sampler_name, positive=conditioning.encode(clip, PROMPT),
        negative=conditioning.encode(clip, NEGATIVE),
    )  # fmt: skip
    return vae.decode(autoencoder, latent)


def theirs(kind: str, scheduler: str, model: Model, clip: Clip, autoencoder: Vae) -> Tensor:
    """Make it with the pipeline, of the networks as they were written."""
    parts: dict[str, Any] = {"vae": autoencoder.autoencoder}  # Any: diffusers and transformers are untyped
    parts["transformer" if model.prediction == "flow" else "unet"] = model.network
    parts["scheduler"] = getattr(diffusers, scheduler).from_config(dict(model.scheduler_config))
    for suffix, encoder in zip(("", "_2", "_3"), clip.encoders, strict=False):
        parts |= {f"text_encoder{suffix}": encoder.network, f"tokenizer{suffix}": encoder.tokenizer}
    if kind == "StableDiffusionPipeline":
        parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    pipeline = getattr(diffusers, kind)(**parts)
    pipeline.set_progress_bar_config(disable=True)
    return torch.from_numpy(
        pipeline(
            PROMPT, negative_prompt=NEGATIVE, num_inference_steps=STEPS, guidance_scale=CFG, height=SIDE, width=SIDE,
            generator=torch.Generator().manual_seed(SEED), output_type="np",
        ).images
    )  # fmt: skip


@pytest.mark.parametrize(
    ("family", "prediction", "pipeline"),
    [
        ("sd1", "epsilon", "StableDiffusionPipeline"),
        ("sd2", "v_prediction", "StableDiffusionPipeline"),
        ("sdxl", "epsilon", "StableDiffusionXLPipeline"),
    ],
)
def test_a_single_files_picture_is_the_pipelines(
    tmp_path: Path, family: Family, prediction: Prediction, pipeline: str
) -> None:
    parts = random_parts(family, prediction=prediction)
    path = write_original(tmp_path / "a.safetensors", parts, family, notes=True)
    expected = theirs(pipeline, EULER, *parts)
    result = ours(*checkpoints.load(path), f"diffusers:{EULER}")  # type: ignore[arg-type]  # a Literal's value
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)
    assert expected.std() > 0.01


def test_a_folders_picture_along_a_flow_is_the_pipelines(tmp_path: Path) -> None:
    parts = tiny_flow_model(), tiny_flow_clip(), tiny_flow_vae()
    checkpoints.save(tmp_path / "flow", model=parts[0], clip=parts[1], vae=parts[2])
    expected = theirs("StableDiffusion3Pipeline", "FlowMatchEulerDiscreteScheduler", *parts)
    result = ours(*checkpoints.load(tmp_path / "flow"), "diffusers:FlowMatchEulerDiscreteScheduler")
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-4)
    assert expected.std() > 0.01
