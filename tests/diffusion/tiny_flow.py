"""A flow-matching model of Stable Diffusion 3's structure, a few channels wide."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, T5Config, T5EncoderModel, T5Tokenizer

from graphengine.types import Clip, Model, TextEncoder, Vae
from tests.diffusion.original_layouts import shared_tokenizer

_JOINT_WIDTH = 64  # of T5's states, to which those of both CLIP encoders together are filled up


def tiny_flow_model() -> Model:
    torch.manual_seed(0)
    network: nn.Module = SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=_JOINT_WIDTH, caption_projection_dim=16, pooled_projection_dim=48, out_channels=4,
        pos_embed_max_size=16,
    )  # fmt: skip
    scheduler: Any = FlowMatchEulerDiscreteScheduler(shift=3.0)  # Any: diffusers is untyped
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler"} | {
        name: value for name, value in scheduler.config.items() if not name.startswith("_")
    }
    return Model(network.eval().requires_grad_(False), "flow", config, 4, 2, "tiny")


def tiny_flow_clip() -> Clip:
    encoders = [_clip_encoder(16, "<|endoftext|>"), _clip_encoder(32, "!"), _t5_encoder()]
    return Clip(tuple(encoders), source="tiny")


def tiny_flow_vae() -> Vae:
    torch.manual_seed(2)
    network: nn.Module = AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2, layers_per_block=1,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, norm_num_groups=4, sample_size=16,
        scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False,
    )  # fmt: skip
    return Vae(network.eval().requires_grad_(False), "tiny")


def t5_tokenizer() -> Any:  # Any: transformers' tokenizers are untyped
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁a", -1.0), ("▁red", -1.5), ("▁square", -2.0)]
    return T5Tokenizer(vocab=words, extra_ids=0, model_max_length=512)


def _clip_encoder(width: int, pad_token: str) -> TextEncoder:
    torch.manual_seed(width)
    config = CLIPTextConfig(
        vocab_size=49408, hidden_size=width, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2,
        projection_dim=width, eos_token_id=49407, bos_token_id=49406, pad_token_id=0,
    )  # fmt: skip
    network: Any = CLIPTextModelWithProjection(config)  # Any: transformers leaves methods untyped
    network.eval().requires_grad_(False)
    return TextEncoder(network, shared_tokenizer(pad_token), hidden_layer=-2, final_norm=False, pooled="projected")


def _t5_encoder() -> TextEncoder:
    torch.manual_seed(3)
    config = T5Config(
        d_model=_JOINT_WIDTH, d_ff=32, d_kv=8, num_layers=2, num_heads=2, vocab_size=8, feed_forward_proj="gated-gelu"
    )
    network: Any = T5EncoderModel(config)  # Any: transformers leaves methods untyped
    return TextEncoder(network.eval().requires_grad_(False), t5_tokenizer(), pooled=None)
