"""Words learned by textual inversion: files of vectors that stand for a word in a prompt.

What is found in such files:

    emb_params                         one tensor ``[n, D]``, as web interfaces save it
    <any name>                         one tensor ``[D]`` or ``[n, D]``, as diffusers saves it, by the word's name
    clip_l, clip_g                     one for each encoder of SDXL; so are text_encoders_0 and text_encoders_1

Source: Gal et al. 2022, arXiv:2208.01618.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from graphengine.config import Settings
from graphengine.diffusion.learned_words import FindLearnedWord
from graphengine.diffusion.model_files import PICKLE_SUFFIXES, pickle_error, read_header
from graphengine.diffusion.prompt_files import EMBEDDINGS, embedding_file
from graphengine.diffusion.prompt_tokens import is_clip
from graphengine.errors import InputError, ModelFileError
from graphengine.types import Clip, TextEncoder

__all__ = ["learned_words", "read_vectors"]

_PLACES = {"clip_l": 0, "clip_g": 1, "text_encoders_0": 0, "text_encoders_1": 1}


def learned_words(settings: Settings, clip: Clip) -> FindLearnedWord:
    """Give the way to find the learned words of a clip's prompts in the ``embeddings`` folders; each is read once."""

    @cache
    def find(name: str) -> Mapping[int, Tensor]:
        return read_vectors(_file(settings, name), clip)

    return find


def read_vectors(path: Path, clip: Clip) -> dict[int, Tensor]:
    """Read a learned word's vectors ``[n, D]`` for each encoder of a clip; none for T5.

    Raises:
        ModelFileError: if the file is damaged or a pickle, holds no vectors, or none that fit an encoder.
    """
    read_header(path)
    tensors = {name: _vectors(path, name, tensor) for name, tensor in load_file(path).items()}
    widths = [_width(encoder) for encoder in clip.encoders]
    return {
        number: _fitting(path, tensors, number, width) if is_clip(encoder) else torch.zeros(0, width)
        for number, (encoder, width) in enumerate(zip(clip.encoders, widths, strict=True))
    }


def _fitting(path: Path, tensors: Mapping[str, Tensor], number: int, width: int) -> Tensor:
    """Give the tensor of an encoder: by its place if there are two as wide."""
    fitting = {name: tensor for name, tensor in tensors.items() if tensor.shape[-1] == width}
    placed = [tensor for name, tensor in fitting.items() if _PLACES.get(name) == number]
    if len(fitting) == 1 or placed:
        return placed[0] if placed else next(iter(fitting.values()))
    held = ", ".join(f"{name!r} {list(tensor.shape)}" for name, tensor in tensors.items()) or "nothing"
    raise ModelFileError(
        f"{path}: this embedding doesn't fit the model: it holds {held}, and a text encoder takes [n, {width}]\n"
        "  Use one that was trained for this model's family."
    )


def _width(encoder: TextEncoder) -> int:
    network: Any = encoder.network  # Any: nn.Module doesn't say what transformers' have
    return int(network.get_input_embeddings().embedding_dim)


def _vectors(path: Path, name: str, tensor: Tensor) -> Tensor:
    if tensor.ndim not in (1, 2) or not tensor.numel():
        raise ModelFileError(
            f"{path}: this is no embedding: its tensor {name!r} has shape {list(tensor.shape)}\n"
            "  An embedding holds vectors, [D] or [n, D]. Other adapters go into folders of their own."
        )
    return tensor.float().reshape(-1, tensor.shape[-1])


def _file(settings: Settings, name: str) -> Path:
    path = embedding_file(settings, name)
    if path is not None:
        return path
    for suffix in PICKLE_SUFFIXES:
        path = settings.find_file(EMBEDDINGS, name + suffix)
        if path is not None:
            raise pickle_error(path)
    known = ", ".join(repr(Path(each).stem) for each in settings.file_names(EMBEDDINGS)) or "none"
    raise InputError(
        "text",
        f"there is no embedding {name!r} in the {EMBEDDINGS!r} folder; there are: {known}.",
        rf"Put {name}.safetensors there; for the words themselves, write 'embedding\:{name}'.",
    )
