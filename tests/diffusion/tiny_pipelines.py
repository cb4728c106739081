"""Tiny random pipelines of several kinds, saved as diffusers saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch

from tests.diffusion.tiny_checkpoint import tiny_clip, tiny_model, tiny_vae


def save_unconditional(folder: Path, kind: str) -> Path:
    """Save a ``DDPMPipeline`` or ``DDIMPipeline`` that makes pictures of 8 x 8 pixels."""
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
    )
    scheduler = getattr(diffusers, f"{kind}Scheduler")(num_train_timesteps=20)
    return _saved(getattr(diffusers, f"{kind}Pipeline")(unet=unet, scheduler=scheduler), folder)


def save_sound(folder: Path) -> Path:
    """Save a ``DanceDiffusionPipeline`` that makes 512 samples of stereo, 4000 in a second."""
    torch.manual_seed(1)
    unet = diffusers.UNet1DModel(
        sample_size=512,
        sample_rate=4000,
        in_channels=2,
        out_channels=2,
        extra_in_channels=16,
        time_embedding_type="fourier",
        use_timestep_embedding=False,
        flip_sin_to_cos=True,
        block_out_channels=(8, 8, 32),
        down_block_types=("DownBlock1DNoSkip", "DownBlock1D", "DownBlock1D"),
        up_block_types=("UpBlock1D", "UpBlock1D", "UpBlock1DNoSkip"),
    )
    return _saved(diffusers.DanceDiffusionPipeline(unet=unet, scheduler=diffusers.IPNDMScheduler()), folder)


def save_video(folder: Path) -> Path:
    """Save an ``AnimateDiffPipeline``."""
    torch.manual_seed(2)
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(8, 8),
        layers_per_block=1,
        sample_size=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        norm_num_groups=2,
    )
    adapter = diffusers.MotionAdapter(
        block_out_channels=(8, 8), motion_layers_per_block=1, motion_norm_num_groups=2, motion_num_attention_heads=2
    )
    encoder = tiny_clip().encoders[0]
    return _saved(
        diffusers.AnimateDiffPipeline(
            vae=tiny_vae().autoencoder,
            text_encoder=encoder.network,
            tokenizer=encoder.tokenizer,
            unet=unet,
            motion_adapter=adapter,
            scheduler=diffusers.DDIMScheduler(clip_sample=False, beta_schedule="linear"),
        ),
        folder,
    )


def save_image_to_image(folder: Path) -> Path:
    """Save a ``StableDiffusionImg2ImgPipeline`` that works on 16 x 16 pixels."""
    model, encoder = tiny_model(), tiny_clip().encoders[0]
    return _saved(
        diffusers.StableDiffusionImg2ImgPipeline(
            vae=tiny_vae().autoencoder,
            text_encoder=encoder.network,
            tokenizer=encoder.tokenizer,
            unet=model.network,
            scheduler=diffusers.DDIMScheduler.from_config(model.scheduler_config),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ),
        folder,
    )


def _saved(pipeline: Any, folder: Path) -> Path:  # Any: a diffusers pipeline, untyped
    pipeline.save_pretrained(folder)
    return folder
