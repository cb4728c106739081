"""Read the networks of text encoders, wherever a file has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

from graphengine.diffusion.families import Config, Header
from graphengine.diffusion.original_names import Place, Places
from graphengine.diffusion.pretrained import load_tokenizer
from graphengine.diffusion.weights_files import WeightsFile
from graphengine.errors import ModelFileError
from graphengine.types import Family, TextEncoder

__all__ = ["TEXT_MODELS", "read_t5", "read_text_encoder", "with_projection"]

TEXT_MODELS: Mapping[str, Any] = {  # Any: transformers leaves constructors untyped
    "CLIPTextModel": CLIPTextModel,
    "CLIPTextModelWithProjection": CLIPTextModelWithProjection,
}
_SHARED = "shared.weight"


def read_text_encoder(
    file: WeightsFile,
    kind: Any,  # Any: transformers leaves constructors untyped
    config: Config,
    places_of: Callable[[list[str]], Places],
    *,
    family: Family | None,
) -> nn.Module:
    """Read a CLIP text encoder."""
    network = file.network(
        lambda: kind(CLIPTextConfig(**config)), lambda names: _as_stored(places_of(names), file.header), family=family
    )
    _recreate_positions(network)
    return network


def with_projection(network: nn.Module, config: Config) -> nn.Module:
    """Have a CLIP text encoder give its pooled states as they are, where a projection is asked for.

    Stable Diffusion 3 was trained with the states of the smaller encoder so; its files leave the projection out.
    """
    with torch.device("meta"):
        projecting: Any = CLIPTextModelWithProjection(CLIPTextConfig(**config))  # Any: transformers is untyped
    weight = next(network.parameters())
    projecting.text_model = network
    projecting.text_projection.weight = nn.Parameter(torch.eye(config["hidden_size"], dtype=weight.dtype))
    result: nn.Module = projecting.eval().requires_grad_(False)
    return result


def read_t5(file: WeightsFile, config: Config, prefix: str, *, family: Family | None) -> TextEncoder:
    """Read a T5 encoder; its tokenizer lies beside the file, in a folder of the file's name.

    Args:
        prefix: What comes before its tensors' names.

    Raises:
        ModelFileError: if the tokenizer is missing, or a weight.
    """
    folder = file.path.with_suffix("")
    if not folder.is_dir():
        raise ModelFileError(
            f"{file.path}: a T5 text encoder, whose tokenizer is missing\n"
            f"  Put it into {folder}, as in 'tokenizer_3' of the model's diffusers folder."
        )
    network = file.network(
        lambda: T5EncoderModel(T5Config(**config)),
        lambda names: {
            name: Place(prefix + (_SHARED if name == "encoder.embed_tokens.weight" else name)) for name in names
        },
        family=family,
    )
    encoder: Any = network  # Any: transformers leaves attributes untyped
    encoder.encoder.embed_tokens.weight = encoder.shared.weight  # one weight under two names
    return TextEncoder(network, load_tokenizer(folder, "T5EncoderModel"), pooled=None)


def _as_stored(places: Places, header: Header) -> Places:
    """Leave out the ``text_model.`` that some files lack."""
    if any(place.name in header for place in places.values()):
        return places
    return {name: place._replace(name=place.name.replace("text_model.", "")) for name, place in places.items()}


def _recreate_positions(network: Any) -> None:  # Any: a transformers model, with and without a projection
    """Make the one buffer that no file holds; a network that is shared has it, wherever it is by now."""
    embeddings = getattr(network, "text_model", network).embeddings
    if embeddings.position_ids.is_meta:
        embeddings.position_ids = torch.arange(embeddings.position_embedding.num_embeddings).expand((1, -1))
