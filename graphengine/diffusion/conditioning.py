"""Turn prompts into what the denoiser reads."""

from __future__ import annotations

from typing import Any

import torch

from graphengine.errors import InputError
from graphengine.types import Clip, Conditioning, TextEncoder


def encode(clip: Clip, text: str, *, device: torch.device | str = "cpu") -> Conditioning:
    """Encode a prompt, padded or cut to the encoder's length; the same numbers as StableDiffusionPipeline's.

    Args:
        text: Any; an empty text is how a missing prompt is encoded.
        device: Where to compute; the text encoder is moved there.

    Returns:
        ``embedding`` [1, T, D] is the last hidden state, ``pooled`` [1, D] the state at the first end-of-text token;
        float32, on the CPU.
    """
    encoder = only_encoder(clip)
    tokenizer: Any = encoder.tokenizer  # Any: calling a tokenizer gives an untyped BatchEncoding
    limit = token_limit(clip)
    tokens = tokenizer(text, padding="max_length", max_length=limit, truncation=True, return_tensors="pt")
    with torch.no_grad():
        output = encoder.network.to(device)(tokens.input_ids.to(device), attention_mask=None)
    return Conditioning.of(
        embedding=output.last_hidden_state.to("cpu", torch.float32),  # [1, T, D]
        pooled=output.pooler_output.to("cpu", torch.float32),  # [1, D]
    )


def cut_off(clip: Clip, text: str) -> str | None:
    """Give the end of a prompt that is too long for the encoder, in the user's spelling; None if all of it fits."""
    tokenizer: Any = only_encoder(clip).tokenizer  # Any: as above
    tokens = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    room = token_limit(clip) - 2  # one token marks the start, one the end
    if len(tokens["input_ids"]) <= room:
        return None
    first, _end = tokens["offset_mapping"][room]
    return text[first:]


def token_limit(clip: Clip) -> int:
    """How many tokens the encoder reads, its start and end marks included."""
    encoder = only_encoder(clip)
    config: Any = encoder.network.config  # Any: transformers' configuration, untyped
    # A tokenizer saved without a limit says 1e30.
    return int(min(encoder.tokenizer.model_max_length, config.max_position_embeddings))


def only_encoder(clip: Clip) -> TextEncoder:
    """Give the text encoder of a clip that has one.

    Raises:
        InputError: if it has several.
    """
    if len(clip.encoders) > 1:
        raise InputError("clip", f"it has {len(clip.encoders)} text encoders.", "Choose one with a single encoder.")
    return clip.encoders[0]
