"""What a denoiser in training is told: captions read by its text encoders, and sizes where it asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from diffusers import SD3Transformer2DModel, UNet2DConditionModel, UNet2DModel
from torch import Tensor, nn

from graphengine.diffusion.learned_words import find_vectors, no_learned_words, with_words
from graphengine.diffusion.prompt_readings import Piece
from graphengine.diffusion.prompt_tokens import Chunk, cut_chunk, is_clip, token_limit
from graphengine.diffusion.text_encoding import joined, layer_states, pooled_together, token_ids, vectors_in_place
from graphengine.diffusion.training_tasks import config_of
from graphengine.errors import InputError
from graphengine.types import Clip, Model, TextEncoder

_SIZES = 6  # height and width as it was, top and left of the crop, height and width trained on


def reads_text(model: Model) -> bool:
    """Whether a model is told what to show."""
    return isinstance(model.network, UNet2DConditionModel | SD3Transformer2DModel)


def reads_sizes(model: Model) -> bool:
    """Whether a model asks for sizes, as Stable Diffusion XL does."""
    kind: str | None = config_of(model.network).get("addition_embed_type")
    return kind == "text_time"


def reads_pooled(model: Model) -> bool:
    """Whether a model asks for the pooled caption, as Stable Diffusion XL and 3 do."""
    return reads_sizes(model) or isinstance(model.network, SD3Transformer2DModel)


def check_can_be_trained(model: Model) -> None:
    """Refuse denoisers whose training isn't known here.

    Raises:
        InputError: naming those that are.
    """
    if model.prediction != "mixing" and not isinstance(model.network, UNet2DModel) and not reads_text(model):
        raise InputError(
            "model",
            f"its network is a {type(model.network).__name__}, which can't be trained.",
            "Choose one of Stable Diffusion 1, 2, XL or 3, or a UNet2DModel.",
        )
    if model.extra_channels:
        raise InputError(
            "model", "it repaints, which can't be trained.", "Choose the model that it was made from, or another."
        )


def check_fits(model: Model, clip: Clip) -> None:
    """Refuse text encoders that a denoiser can't be trained with.

    Raises:
        InputError: naming what the model reads and what they give.
    """
    config = config_of(model.network)
    if isinstance(model.network, SD3Transformer2DModel):
        _check_joint(config, clip)
        return
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


def check_can_learn(clip: Clip) -> None:
    """Refuse text encoders that can't be trained along; T5 among them stays as it is.

    Raises:
        InputError: naming what is missing.
    """
    is_joint = clip.family == "sd3" or any(is_t5(encoder.network) for encoder in clip.encoders)
    of_clip = sum(map(is_clip, clip.encoders))
    if is_joint and (of_clip < 2 or any(map(is_clip, clip.encoders[of_clip:]))):
        raise InputError(
            "recipe",
            f"it trains the text encoder, but of CLIP's two encoders {of_clip or 'none'} is there, and T5 isn't "
            "trained.",
            "Link both of CLIP's, or turn train_text_encoder off.",
        )


def is_t5(network: nn.Module) -> bool:
    """Whether a text encoder is T5, which is trained with no denoiser."""
    return not str(config_of(network).model_type).startswith("clip")


def _check_joint(config: Any, clip: Clip) -> None:  # Any: diffusers' configuration, untyped
    states = joined(clip, [torch.zeros(1, 1, _width(encoder)) for encoder in clip.encoders])
    pooled = [torch.zeros(1, _pooled_width(each)) for each in clip.encoders if each.pooled is not None]
    together = pooled_together(clip, pooled, states)
    gives = (states.shape[-1], 0 if together is None else together.shape[-1])
    reads = (config.joint_attention_dim, config.pooled_projection_dim)
    if gives != reads:
        raise InputError(
            "clip",
            f"its text states are {gives[0]} wide and its pooled ones {gives[1]}; the model reads {reads[0]} and "
            f"{reads[1]}.",
            "Link the text encoders made for it.",
        )


def _width(encoder: TextEncoder) -> int:
    config = config_of(encoder.network)
    return int(config.hidden_size if is_clip(encoder) else config.d_model)


def _pooled_width(encoder: TextEncoder) -> int:
    config = config_of(encoder.network)
    return int(config.projection_dim if encoder.pooled == "projected" else config.hidden_size)


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
        The states of all encoders together ``[B, T, D]``, and the pooled ones ``[B, P]``.
    """
    states: list[Tensor] = []
    pooled: list[Tensor] = []
    for number, (encoder, network) in enumerate(zip(clip.encoders, networks, strict=True)):
        chunks = _chunks(clip, number, captions)
        ids = token_ids(chunks, device) if chunks else _token_ids(encoder, captions).to(device)
        reads_last = encoder.hidden_layer == -1 and encoder.final_norm
        called: Any = network  # Any: its outputs differ between the classes
        with vectors_in_place(network, ids, chunks):
            output = called(ids, **({} if reads_last else {"output_hidden_states": True}))
        read = output.last_hidden_state if reads_last else layer_states(encoder, network, output.hidden_states)
        states.append(read)
        if encoder.pooled is not None:
            pooled.append(output.text_embeds if encoder.pooled == "projected" else output.pooler_output)
    together = joined(clip, states)
    return together, pooled_together(clip, pooled, together)


def told_besides(
    model: Model, pooled: Tensor | None, sizes: Tensor | None, latent_size: Sequence[int]
) -> dict[str, Any]:  # Any: named arguments of the network
    """Give what a denoiser is told besides the caption's states, by its name there.

    Args:
        pooled: ``[B, P]``; None where the model doesn't read it.
        sizes: ``[B, 6]``, of a model that reads them; None for pictures that were neither resized nor cut.
        latent_size: Height and width.
    """
    if pooled is None or not reads_pooled(model):
        return {}
    if not reads_sizes(model):
        return {"pooled_projections": pooled}
    height, width = (side * model.latent_factor for side in latent_size)
    return {"added_cond_kwargs": added_conditions(pooled, sizes, (height, width))}


def added_conditions(pooled: Tensor, sizes: Tensor | None, side: tuple[int, int]) -> dict[str, Tensor]:
    """Give what a denoiser that reads sizes is told besides.

    Args:
        sizes: ``[B, 6]``; None for pictures that were neither resized nor cut.
        side: Height and width of the pictures.
    """
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


def _chunks(clip: Clip, number: int, captions: Sequence[str]) -> Sequence[Chunk]:
    """Give the tokens of captions for an encoder of a clip that was taught words; none for one that wasn't."""
    if not clip.words:
        return []
    groups = with_words([(Piece(caption),) for caption in captions], clip.words)
    find = find_vectors(clip.words, number, no_learned_words)
    return [cut_chunk(clip.encoders[number], group, find) for group in groups]


def _token_ids(encoder: TextEncoder, captions: Sequence[str]) -> Tensor:
    tokenizer: Any = encoder.tokenizer  # Any: calling a tokenizer gives an untyped BatchEncoding
    limit = token_limit(encoder)
    ids: Tensor = tokenizer(
        list(captions), padding="max_length", max_length=limit, truncation=True, return_tensors="pt"
    ).input_ids
    return ids
