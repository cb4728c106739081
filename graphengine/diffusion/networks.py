"""New, untrained networks; a seed decides their weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel, UNet2DModel
from transformers import CLIPTextConfig, CLIPTextModel

from graphengine.diffusion.step_random import seeded_globally
from graphengine.diffusion.training_tasks import config_of
from graphengine.diffusion.walkthrough import BasicUNet
from graphengine.errors import InputError
from graphengine.training_types import Tokenizer
from graphengine.types import Clip, Model, Prediction, TextEncoder, Vae


def scheduler_config(
    prediction: Prediction, *, betas: str, beta_start: float = 0.00085, beta_end: float = 0.012, clip: bool = False
) -> dict[str, object]:
    """Describe noise levels as diffusers' schedulers do.

    Args:
        betas: ``scaled_linear`` (Stable Diffusion), ``linear``, or ``squaredcos_cap_v2``, which needs no start and end.
        prediction: ``mixing`` knows no levels and gives an empty configuration.
        clip: Whether samplers cut their estimates to -1…1, where all pictures lie; not for latents.
    """
    if prediction == "mixing":
        return {}
    scheduler: Any = DDPMScheduler(  # Any: diffusers is untyped
        beta_schedule=betas,
        beta_start=beta_start,
        beta_end=beta_end,
        prediction_type=prediction,
        clip_sample=clip,
        steps_offset=1,  # as Stable Diffusion has it; its pipeline warns of anything else
    )
    return {"_class_name": "DDPMScheduler"} | {
        name: value for name, value in scheduler.config.items() if not name.startswith("_")
    }


def new_unet(
    *,
    seed: int,
    text_width: int,
    block_channels: Sequence[int] = (64, 96, 128),
    attention_levels: Sequence[bool] = (False, True, True),
    layers_per_block: int = 1,
    heads: int = 8,
    norm_groups: int = 16,
    pooled_text: bool = True,
    latent_channels: int = 4,
    latent_factor: int = 8,
    latent_size: int = 16,
    prediction: Prediction = "v_prediction",
    betas: str = "scaled_linear",
) -> Model:
    """Make a denoiser that reads captions, a ``UNet2DConditionModel``.

    Args:
        text_width: D of the text encoder's states.
        block_channels: Channels of each level, fine to coarse; multiples of ``norm_groups`` and of ``heads``.
        attention_levels: Which levels look at the caption.
        heads: Attention heads at each of them.
        pooled_text: Add the whole caption to the time embedding, besides looking at its words.
        latent_size: Side of the latents it is made for; others work too.
    """
    _check_levels(block_channels, attention_levels, norm_groups)
    down = ["CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in attention_levels]
    up = ["CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(attention_levels)]
    pooling = {"addition_embed_type": "text", "addition_embed_type_num_heads": heads} if pooled_text else {}
    with seeded_globally(seed):
        network = UNet2DConditionModel(
            sample_size=latent_size,
            in_channels=latent_channels,
            out_channels=latent_channels,
            down_block_types=tuple(down),
            up_block_types=tuple(up),
            block_out_channels=tuple(block_channels),
            layers_per_block=layers_per_block,
            cross_attention_dim=text_width,
            attention_head_dim=heads,  # diffusers' misnomer for the number of heads
            norm_num_groups=norm_groups,
            **pooling,
        )
    return Model(
        network=network.eval(),
        prediction=prediction,
        scheduler_config=scheduler_config(prediction, betas=betas),
        latent_channels=latent_channels,
        latent_factor=latent_factor,
        source="NewUNet",
    )


def new_unet_2d(
    *,
    seed: int,
    size: int = 28,
    channels: int = 1,
    block_channels: Sequence[int] = (32, 64, 64),
    attention_levels: Sequence[bool] = (False, True, True),
    layers_per_block: int = 2,
    norm_groups: int = 32,
    prediction: Prediction = "epsilon",
    betas: str = "squaredcos_cap_v2",
) -> Model:
    """Make a denoiser of pictures without captions, a ``UNet2DModel``; the defaults are the walk-through's.

    Args:
        size: Side of the pictures it is made for, a multiple of 2 to the number of levels less one.
        channels: 1 for grey, 3 for colour.
        block_channels: Channels of each level, fine to coarse; multiples of ``norm_groups``.
        attention_levels: Which levels have self-attention.
    """
    _check_levels(block_channels, attention_levels, norm_groups)
    with seeded_globally(seed):
        network = UNet2DModel(
            sample_size=size,
            in_channels=channels,
            out_channels=channels,
            layers_per_block=layers_per_block,
            block_out_channels=tuple(block_channels),
            norm_num_groups=norm_groups,
            down_block_types=tuple("AttnDownBlock2D" if attends else "DownBlock2D" for attends in attention_levels),
            up_block_types=tuple("AttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(attention_levels)),
        )
    return _pixel_model(network, prediction, channels, betas, "NewUNet2D")


def new_basic_unet(*, seed: int, channels: int = 1) -> Model:
    """Make the walk-through's small net, which removes uniform noise mixed into pictures."""
    with seeded_globally(seed):
        network = BasicUNet(in_channels=channels, out_channels=channels)
    return _pixel_model(network, "mixing", channels, "linear", "NewBasicUNet")


def new_autoencoder(
    *,
    seed: int,
    block_channels: Sequence[int] = (16, 32, 64, 64),
    layers_per_block: int = 1,
    latent_channels: int = 4,
    mid_attention: bool = False,
    norm_groups: int = 2,
    scaling_factor: float = 1.0,
    size: int = 128,
) -> Vae:
    """Make an ``AutoencoderKL`` between pictures and latents; each level but the last halves the picture's sides.

    Args:
        block_channels: Channels of each level, fine to coarse; multiples of ``norm_groups``.
        mid_attention: Attention at the coarsest level.
        scaling_factor: What latents are multiplied by to reach unit variance.
        size: Side of the pictures it is made for; others work too.
    """
    _check_levels(block_channels, [False] * len(block_channels), norm_groups)
    levels = len(block_channels)
    with seeded_globally(seed):
        network = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=tuple(block_channels),
            layers_per_block=layers_per_block,
            latent_channels=latent_channels,
            norm_num_groups=norm_groups,
            sample_size=size,
            scaling_factor=scaling_factor,
            mid_block_add_attention=mid_attention,
            use_quant_conv=False,  # 1 x 1 convolutions beside others: they only cost time
            use_post_quant_conv=False,
        )
    return Vae(network.eval(), source="NewAutoencoder")


def new_clip(tokenizer: Tokenizer, *, seed: int, width: int = 128, layers: int = 2, heads: int = 4) -> Clip:
    """Make a CLIP text encoder for a tokenizer.

    Args:
        width: D of its states, a multiple of ``heads``.
    """
    if width % heads:
        raise InputError("heads", f"{heads} heads don't divide the width {width}.", "Choose a divisor of the width.")
    special: Any = tokenizer  # Any: transformers types these ids as int, list or None
    config = CLIPTextConfig(
        vocab_size=len(special),
        hidden_size=width,
        intermediate_size=4 * width,
        projection_dim=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=special.model_max_length,
        bos_token_id=special.bos_token_id,
        eos_token_id=special.eos_token_id,
        pad_token_id=special.pad_token_id,
    )
    with seeded_globally(seed):
        encoder: Any = CLIPTextModel(config)  # Any: transformers leaves methods untyped
    return Clip((TextEncoder(encoder.eval(), tokenizer),), source="NewClip")


def text_width(clip: Clip) -> int:
    """Give D of the states of all text encoders, side by side."""
    return sum(int(config_of(encoder.network).hidden_size) for encoder in clip.encoders)


def _pixel_model(network: Any, prediction: Prediction, channels: int, betas: str, source: str) -> Model:  # Any: untyped
    return Model(
        network=network.eval(),
        prediction=prediction,
        scheduler_config=scheduler_config(prediction, betas=betas, beta_start=0.0001, beta_end=0.02, clip=True),
        latent_channels=channels,
        latent_factor=1,
        source=source,
    )


def _check_levels(block_channels: Sequence[int], attention_levels: Sequence[bool], norm_groups: int) -> None:
    if len(block_channels) != len(attention_levels):
        raise InputError(
            "attention_levels",
            f"it speaks of {len(attention_levels)} levels, block_channels of {len(block_channels)}.",
            "Give as many of the one as of the other.",
        )
    for channels in block_channels:
        if channels % norm_groups:
            raise InputError(
                "block_channels",
                f"{channels} is not a multiple of norm_groups, {norm_groups}.",
                "Choose multiples, or another norm_groups.",
            )
