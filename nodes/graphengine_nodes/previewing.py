"""How a picture is shown while it is sampled."""

from __future__ import annotations

from typing import Literal

from graphengine import InputError, node
from graphengine.types import Model, Vae

Method = Literal["colors", "vae", "none"]


@node("ModelPreview", category="sampling")
def model_preview(model: Model, method: Method = "colors", vae: Vae | None = None) -> Model:
    """Choose how samplers show their steps. The picture that comes of it stays the same.

    Args:
        model: From LoadCheckpoint.
        method: colors is rough and costs nothing, vae shows details, none shows nothing.
        vae: For method vae: a tiny autoencoder for these latents, from LoadVAE. A large one takes as long as a step.
    """
    from graphengine.diffusion import latent_preview

    return latent_preview.shown_by(model, method, vae)


@model_preview.check
def _(method: Method, vae: None) -> None:
    """Unlinked, the autoencoder is known here as None."""
    if method == "vae":
        raise InputError("vae", "nothing is linked.", "Link a tiny autoencoder from LoadVAE, or choose colors.")
