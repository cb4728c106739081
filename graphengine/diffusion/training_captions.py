"""What a denoiser in training is told: captions read by one or two text encoders, and sizes where it asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from graphengine.diffusion.prompt_tokens import is_clip, token_limit
from graphengine.diffusion.text_encoding import layer_states
from graphengine.diffusion.training_tasks import config_of
from graphengine.errors import InputError
from graphengine.types import Clip, Model, TextEncoder

_SIZES = 6  # height and width as it was, top and left of the crop, height and width trained on


def reads_sizes(model: Model) -> bool:
    """Whether a model asks for the pooled caption and for sizes, as Stable Diffusion XL does."""
    return bool(config_of(model.network).addition_embed_type == "text_time")


def check_fits(model: Model, clip: Clip) -> None:
    """Refuse text encoders that a denoiser can't be trained with.

    Raises:
        InputError: naming what the model reads and what they give.
    """
    config = config_of(model.network)
    if config.addition_embed_type not in (None, "text", "text_time"):
        raise InputError(
            "model", f"it needs more than captions: {config.addition_embed_type}.", "Choose one that reads text only."
        )
    if not all(is_clip(encoder) for encoder in clip.encoders):
        raise InputError("clip", "it has an encoder that isn't CLIP's.", "Link the text encoder made for the model.")
    gives = sum(config_of(encoder.network).hidden_size for encoder in clip.encoders)
    if config.cross_attention_dim != gives:
        raise InputError(
            "clip",
            f"its text states are {gives} wide; the model reads {config.cross_attention_dim}.",
            "Link the text encoder made for it.",
        )
    if reads_sizes(model):
        _check_added(config, clip)


def _check_added(config: Any, clip: Clip) -> None:  # Any: diffusers' configuration, untyped
    pooled = next((config_of(each.network).projection_dim for each in clip.encoders if each.pooled == "projected"), 0)
    sizes = (config.projection_class_embeddings_input_dim - pooled) / config.addition_time_embed_dim
    if not pooled or sizes != _SIZES:
        raise InputError(
            "model",
            f"it asks for {sizes:g} sizes beside a pooled caption of {pooled}, not for {_SIZES} as SDXL's base model.",
            "Train the base model with both of its text encoders; refiners can't be trained.",
        )


def read_captions(
    clip: Clip, networks: Sequence[nn.Module], captions: Sequence[str], device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """Encode captions as CLIPEncode does, with gradients if they are on; what is too long is cut.

    Args:
        networks: Of the clip's encoders, or copies of them.

    Returns:
        The states of all encoders side by side ``[B, T, D]``, and the last pooled ones ``[B, P]``.
    """
    states, pooled = [], None
    for encoder, network in zip(clip.encoders, networks, strict=True):
        ids = _token_ids(encoder, captions).to(device)
        reads_last = encoder.hidden_layer == -1 and encoder.final_norm
        called: Any = network  # Any: its outputs differ between the classes
        output = called(ids, **({} if reads_last else {"output_hidden_states": True}))
        read = output.last_hidden_state if reads_last else layer_states(encoder, network, output.hidden_states)
        states.append(read)
        if encoder.pooled is not None:
            pooled = output.text_embeds if encoder.pooled == "projected" else output.pooler_output
    return torch.cat(states, dim=-1), pooled


def added_conditions(pooled: Tensor | None, sizes: Tensor | None, side: tuple[int, int]) -> dict[str, Tensor]:
    """Give what a denoiser that reads sizes is told besides.

    Args:
        sizes: ``[B, 6]``; None for pictures that were neither resized nor cut.
        side: Height and width of the pictures.
    """
    if pooled is None:
        raise ValueError("a model that reads sizes reads a pooled caption")
    if sizes is None:
        sizes = torch.tensor([[*side, 0, 0, *side]], device=pooled.device).expand(len(pooled), -1)
    return {"text_embeds": pooled, "time_ids": sizes.to(pooled.dtype)}


def with_encoders(clip: Clip, trained: Mapping[int, nn.Module]) -> Clip:
    """Give a clip with some of its encoders trained, by their number."""
    encoders = tuple(
        replace(encoder, network=trained[number]) if number in trained else encoder
        for number, encoder in enumerate(clip.encoders)
    )
    return replace(clip, encoders=encoders, source="TrainLoop")


def _token_ids(encoder: TextEncoder, captions: Sequence[str]) -> Tensor:
    tokenizer: Any = encoder.tokenizer  # Any: calling a tokenizer gives an untyped BatchEncoding
    limit = token_limit(encoder)
    ids: Tensor = tokenizer(
        list(captions), padding="max_length", max_length=limit, truncation=True, return_tensors="pt"
    ).input_ids
    return ids
