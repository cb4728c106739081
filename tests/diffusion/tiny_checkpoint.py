"""A latent-diffusion model too small to be good, in the layout of a real one, for tests."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from graphengine.types import Clip, Model, TextEncoder, Vae

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ["<|startoftext|>", "<|endoftext|>", *LETTERS, *(f"{letter}</w>" for letter in LETTERS), "re", "red</w>"]
MERGES: Any = [("r", "e"), ("re", "d</w>")]  # Any: declared as texts, but only pairs are taken


def tiny_model(*, prediction: str = "epsilon", channels: int = 4, width: int = 16) -> Model:
    torch.manual_seed(0)
    network = UNet2DConditionModel(
        sample_size=4, in_channels=channels, out_channels=channels, layers_per_block=1, block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=width, attention_head_dim=4, norm_num_groups=4,
    )  # fmt: skip
    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear", prediction_type=prediction, clip_sample=False, steps_offset=1
    )
    network.eval().requires_grad_(False)
    return Model(network, prediction, dict(scheduler.config), channels, 2, "tiny")  # type: ignore[arg-type]  # tests name kinds freely


def tiny_clip(*, width: int = 16) -> Clip:
    torch.manual_seed(1)
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=MERGES, model_max_length=8)
    config = CLIPTextConfig(
        vocab_size=len(WORDS), hidden_size=width, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=8, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    text_encoder: nn.Module = CLIPTextModel(config)
    return Clip((TextEncoder(text_encoder.eval().requires_grad_(False), tokenizer),), source="tiny")


def tiny_vae(*, channels: int = 4, shift: float | None = None) -> Vae:
    torch.manual_seed(2)
    autoencoder = AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2, layers_per_block=1,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=channels, norm_num_groups=4,
        mid_block_add_attention=False, sample_size=8, scaling_factor=0.5, shift_factor=shift,
    )  # fmt: skip
    return Vae(autoencoder.eval().requires_grad_(False), "tiny")
