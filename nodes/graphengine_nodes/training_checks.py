"""What is known to be missing for a training before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphengine import InputError

__all__ = ["needs_clip"]

Facts = Mapping[str, Mapping[str, Any]]  # Any: facts are plain values


def needs_clip(_literals: object, facts: Facts) -> Facts:
    """Refuse a denoiser, or one that a ControlNet steers, that is known to read captions without a text encoder.

    Raises:
        InputError: naming the input that is open.
    """
    for model in (facts.get("model", {}), facts.get("base", {})):
        reads_captions = model.get("context_width") and model.get("latent_channels")  # text encoders lack these
        if not reads_captions or "clip" in facts:
            continue
        raise InputError("clip", "it is missing: the model reads captions.", "Link the text encoder made for it.")
    return {}
