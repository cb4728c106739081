"""Run text encoders on chunks of tokens, learned vectors among them, and weigh the states that come out.

Weights act on the states, in one of two ways that are in use. With ``z`` the states of a chunk ``[T, D]``, ``e`` those
of the empty prompt and ``w`` a weight for each token:

    interpolate     z = e + w (z - e)
    restore_mean    z = w z · mean(z) / mean(w z), means over the chunk

The first moves each token from saying nothing (0) over what it says (1) to more than that, and leaves other tokens
alone; it is the default, and what node-graph programs do by default. The second is that of the first web interfaces for
Stable Diffusion: their published prompts give their pictures with it only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphengine.diffusion.options import PromptWeighting
from graphengine.diffusion.prompt_tokens import Chunk, is_clip
from graphengine.errors import InputError
from graphengine.types import Clip, TextEncoder

__all__ = [
    "joined",
    "layer_states",
    "pooled_together",
    "set_last_layer",
    "states_of",
    "token_ids",
    "vectors_in_place",
    "weighted",
]

_SD3_WIDTHS = (768, 1280)  # of its two CLIP encoders; any of its three may be left out, and zeros take its place
_SD3_WITHOUT_T5 = (256, 4096)  # tokens and width
_SD3_WITHOUT_CLIP = 77  # tokens


def states_of(
    encoder: TextEncoder, chunks: Sequence[Chunk], *, device: torch.device | str
) -> tuple[Tensor, Tensor | None]:
    """Encode chunks together.

    Returns:
        The states ``[n, T, D]``, and the pooled ones ``[n, P]`` if the encoder is asked for any; float32, on the CPU.
    """
    network: Any = encoder.network.to(device)  # Any: its outputs differ between the classes
    ids = token_ids(chunks, device)
    reads_last = encoder.hidden_layer == -1 and encoder.final_norm
    asked = {} if reads_last else {"output_hidden_states": True}
    with torch.no_grad(), vectors_in_place(network, ids, chunks):
        output = network(ids, attention_mask=None, **asked)
        states = output.last_hidden_state if reads_last else layer_states(encoder, network, output.hidden_states)
    return states.to("cpu", torch.float32), _pooled(encoder, output)


def joined(clip: Clip, states: Sequence[Tensor]) -> Tensor:
    """Put the states of a clip's encoders together: ``[B, T, D]``.

    CLIP's go side by side. T5's follow as further tokens, and the narrower ones are filled up with zeros.

    Args:
        states: Of each encoder; those of CLIP's with as many tokens as each other.
    """
    pairs = list(zip(clip.encoders, states, strict=True))
    side_by_side = [each for encoder, each in pairs if is_clip(encoder)]
    further = [each for encoder, each in pairs if not is_clip(encoder)]
    batch = len(states[0])
    if clip.family == "sd3":
        if _absent(clip) == 0:
            side_by_side.insert(0, side_by_side[0].new_zeros(*side_by_side[0].shape[:2], _SD3_WIDTHS[0]))
        if not side_by_side:
            side_by_side.append(further[0].new_zeros(batch, _SD3_WITHOUT_CLIP, sum(_SD3_WIDTHS)))
        if not further:
            further.append(side_by_side[0].new_zeros(batch, *_SD3_WITHOUT_T5))
    if side_by_side:
        further.insert(0, torch.cat(side_by_side, dim=-1))
    width = max(each.shape[-1] for each in further)
    return torch.cat([functional.pad(each, (0, width - each.shape[-1])) for each in further], dim=1)


def pooled_together(clip: Clip, pooled: Sequence[Tensor], like: Tensor) -> Tensor | None:
    """Put the pooled states of those encoders that give any side by side, ``[B, P]``; None if none does.

    Args:
        like: The joined states.
    """
    found = list(pooled)
    if clip.family == "sd3":
        absent = range(2) if not found else [each for each in (_absent(clip),) if each is not None]
        for number in absent:
            found.insert(number, like.new_zeros(len(like), _SD3_WIDTHS[number]))
    return torch.cat(found, dim=-1) if found else None


def _absent(clip: Clip) -> int | None:
    """Tell which of Stable Diffusion 3's CLIP encoders a clip with one of them lacks; None if it has both or none."""
    widths: list[int] = [encoder.network.config.hidden_size for encoder in filter(is_clip, clip.encoders)]  # type: ignore[union-attr, misc]
    if len(widths) != 1 or widths[0] not in _SD3_WIDTHS:
        return None
    return 1 - _SD3_WIDTHS.index(widths[0])


def token_ids(chunks: Sequence[Chunk], device: torch.device | str) -> Tensor:
    """Give what networks take for chunks: int64 ``[n, T]``."""
    return torch.tensor([[token.id for token in chunk.tokens] for chunk in chunks], device=device)


def weighted(states: Tensor, chunks: Sequence[Chunk], empty: Tensor, weighting: PromptWeighting) -> Tensor:
    """Let tokens count as much as their weights say.

    Args:
        states: ``[n, T, D]``, of the chunks.
        empty: ``[1, T, D]``, of the empty prompt.
    """
    weights = torch.tensor([[token.weight for token in chunk.tokens] for chunk in chunks])[..., None]  # [n, T, 1]
    if (weights == 1).all():
        return states
    if weighting == "interpolate":
        return torch.where(weights == 1, states, empty + (states - empty) * weights)
    scaled = states * weights
    before, after = states.mean(dim=(1, 2), keepdim=True), scaled.mean(dim=(1, 2), keepdim=True)
    return torch.where((weights == 1).all(dim=1, keepdim=True), states, scaled * (before / after))


def set_last_layer(clip: Clip, layer: int) -> Clip:
    """Have a clip's CLIP encoders read after a layer, -1 the last; T5 always reads after its last.

    Raises:
        InputError: if an encoder has fewer layers.
    """
    for encoder in filter(is_clip, clip.encoders):
        config: Any = encoder.network.config  # Any: transformers' configuration, untyped
        if -layer > config.num_hidden_layers:
            raise InputError(
                "stop_at_clip_layer",
                f"{layer} is before the first of {config.num_hidden_layers} layers.",
                f"Choose a value from {-config.num_hidden_layers} to -1.",
            )
    changed = (replace(encoder, hidden_layer=layer) if is_clip(encoder) else encoder for encoder in clip.encoders)
    return replace(clip, encoders=tuple(changed))


def layer_states(encoder: TextEncoder, network: nn.Module, hidden_states: Sequence[Tensor]) -> Tensor:
    """Give the states after the layer that is read, of the encoder's network or a copy of it.

    Args:
        hidden_states: The first are those before all layers.
    """
    states = hidden_states[encoder.hidden_layer]
    final_norm: Any = getattr(network, "text_model", network).final_layer_norm  # Any: a module's call is untyped
    return final_norm(states) if encoder.final_norm else states


def _pooled(encoder: TextEncoder, output: Any) -> Tensor | None:  # Any: as above
    match encoder.pooled:
        case "state":
            pooled: Tensor = output.pooler_output
        case "projected":
            pooled = output.text_embeds
        case None:
            return None
    return pooled.to("cpu", torch.float32)


@contextmanager
def vectors_in_place(network: Any, ids: Tensor, chunks: Sequence[Chunk]) -> Iterator[None]:  # Any: as above
    """Let learned vectors take the place of embeddings, for one call with these ids only; they may take gradients."""
    places = [
        (row, column, token.vector)
        for row, chunk in enumerate(chunks)
        for column, token in enumerate(chunk.tokens)
        if token.vector is not None
    ]
    if not places:
        yield
        return
    rows, columns, vectors = zip(*places, strict=True)

    def replaced(module: nn.Module, given: tuple[Tensor], embedded: Tensor) -> Tensor | None:
        if given[0].data_ptr() != ids.data_ptr():  # another thread's call of the same encoder
            return None
        embedded = embedded.clone()
        embedded[list(rows), list(columns)] = torch.stack(vectors).to(embedded)
        return embedded

    hook = network.get_input_embeddings().register_forward_hook(replaced)
    try:
        yield
    finally:
        hook.remove()
