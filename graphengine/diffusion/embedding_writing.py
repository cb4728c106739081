"""Write words learned by textual inversion, as ``textual_inversion`` reads them and other programs do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from torch import Tensor

from graphengine.diffusion.adapter_files import modelspec, write_whole
from graphengine.types import LearnedVectors

EmbeddingLayout = Literal["web interfaces", "diffusers"]

_PLACES = ("clip_l", "clip_g")


def write_embedding(path: Path, word: LearnedVectors, *, layout: EmbeddingLayout, workflow: str = "") -> None:
    """Write a learned word as a safetensors file; it appears there complete or not at all.

    The header says what the training was, under the names of the model specification (``modelspec.…``) and whole as
    ``graphengine_training``.

    Args:
        workflow: JSON that goes into the header; an empty text for none.

    Raises:
        OSError: if it can't be written.
    """
    described = modelspec(path.stem, "textual-inversion", word.training) | {
        "modelspec.trigger_phrase": word.placeholder,
        "graphengine_training": json.dumps(dict(word.training), sort_keys=True),
    }
    write_whole(path, _named(word, layout), described | ({"workflow": workflow} if workflow else {}))


def _named(word: LearnedVectors, layout: EmbeddingLayout) -> dict[str, Tensor]:
    vectors = [each.contiguous() for each in word.vectors if len(each)]  # T5 has none
    if len(vectors) > 1:
        return dict(zip(_PLACES, vectors, strict=True))
    return {word.placeholder if layout == "diffusers" else "emb_params": vectors[0]}
