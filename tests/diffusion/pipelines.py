"""Diffusers' own pipelines on tiny models, to compare with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler
from torch import Tensor

from graphengine.types import Conditioning, Image, Model
from tests.diffusion.tiny_checkpoint import tiny_clip

SIZE = 4  # of the latents
STEPS = 3
CFG = 3.0


def picture(seed: int = 0, size: int = SIZE * 8) -> Image:
    return Image(torch.rand(1, size, size, 3, generator=torch.Generator().manual_seed(seed)))


def prompt(seed: int) -> Conditioning:
    generator = torch.Generator().manual_seed(seed)
    return Conditioning.of(torch.randn(1, 8, 16, generator=generator), torch.randn(1, 16, generator=generator))


POSITIVE, NEGATIVE = prompt(1), prompt(2)


def with_pipeline(kind: Any, model: Model, prepare: Callable[[Any], object] = id, **given: Any) -> Tensor:
    """Run diffusers' own, from the same noise and prompts.

    Args:
        kind: The pipeline's class.
        prepare: Told the pipeline before it runs.
        given: Networks, and what the pipeline is called with.
    """
    autoencoder = AutoencoderKL(
        block_out_channels=(8,) * 4, down_block_types=("DownEncoderBlock2D",) * 4, norm_num_groups=4,
        up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=1, latent_channels=4,
    )  # fmt: skip
    encoder = tiny_clip().encoders[0]
    parts: dict[str, Any] = {"text_encoder": encoder.network, "tokenizer": encoder.tokenizer}
    embeds: dict[str, Any] = {
        "prompt_embeds": POSITIVE.parts[0].embedding,
        "negative_prompt_embeds": NEGATIVE.parts[0].embedding,
    }
    if "XL" in kind.__name__:
        parts = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
        embeds |= {
            "pooled_prompt_embeds": POSITIVE.parts[0].pooled,
            "negative_pooled_prompt_embeds": NEGATIVE.parts[0].pooled,
        }
    else:
        parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    networks = {
        name: given.pop(name)
        for name in ("controlnet", "adapter", "image_encoder", "feature_extractor")
        if name in given
    }
    scheduler = DDIMScheduler.from_config(dict(model.scheduler_config))
    pipeline = kind(vae=autoencoder, unet=model.network, scheduler=scheduler, **(parts | networks))
    pipeline.set_progress_bar_config(disable=True)
    prepare(pipeline)
    noise = torch.randn(1, 4, SIZE, SIZE, generator=torch.Generator().manual_seed(5))
    result: Tensor = pipeline(
        latents=noise, num_inference_steps=STEPS, guidance_scale=CFG, output_type="latent",
        height=SIZE * 8, width=SIZE * 8, **embeds, **given,
    ).images  # fmt: skip
    return result
