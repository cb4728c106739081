"""Train an autoencoder, alone or towards latents that the dataset knows.

Without latents: reconstruction and a small divergence of the posterior from a unit Gaussian.

With latents: the encoder's mean learns them by regression, and its variance the size of its own error; the decoder
learns from them and from the encoder's, both with some noise, as a denoiser's latents will have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from graphengine.diffusion.objectives import distances
from graphengine.diffusion.step_random import StepRandom
from graphengine.diffusion.training_tasks import (
    Finished,
    check_samples,
    choose_fields,
    fields_that_count,
    finished,
    given,
    mask_at,
    mean_error,
    trainable_copy,
)
from graphengine.errors import InputError
from graphengine.training_types import Dataset, ExampleField, Examples, Recipe
from graphengine.types import Vae

_VARIANCE_WEIGHT = 0.01  # the variance is one output layer's work; more would only disturb the mean's gradients


class AutoencoderTask:
    """Reconstruct pictures through latents."""

    def __init__(self, vae: Vae, dataset: Dataset, recipe: Recipe, device: torch.device) -> None:
        self._vae = vae
        self._recipe = recipe
        self._supervised = "latents" in dataset.fields
        wanted: list[ExampleField] = ["images", "latents"] if self._supervised else ["images"]
        chosen = choose_fields(dataset, wanted, "Training an autoencoder")
        self.fields: Sequence[ExampleField] = [*chosen, *fields_that_count(dataset)]
        self._autoencoder: Any = trainable_copy(vae.autoencoder, device)  # Any: diffusers is untyped
        self.trained = {"autoencoder": self._autoencoder}
        self.frozen: dict[str, torch.nn.Module] = {}
        shift, scale = self._units()
        self.facts: dict[str, str | float] = {"shift_factor": shift, "scaling_factor": scale}

    def losses(self, examples: Examples, random: StepRandom) -> dict[str, Tensor]:
        pictures = given(examples.images, "images")  # [B, 3, H, W]
        check_samples(pictures, self._autoencoder, "images")
        posterior = self._autoencoder.encode(pictures).latent_dist
        if self._supervised:
            return self._supervised_losses(examples, pictures, posterior, random)
        latents = posterior.mean + posterior.std * random.normal(*posterior.mean.shape)
        losses = {"reconstruction": self._reconstruction(examples, pictures, self._noisy(latents, random))}
        if self._recipe.kl_weight > 0:
            losses["divergence"] = self._recipe.kl_weight * mean_error(posterior.kl(), examples)
        return losses

    def result(self, *, copied: bool = False) -> Finished:
        autoencoder = finished(self._autoencoder, copied=copied)
        return Finished(replace(self._vae, autoencoder=autoencoder, source="TrainLoop"))

    def _supervised_losses(
        self,
        examples: Examples,
        pictures: Tensor,
        posterior: Any,  # Any: diffusers is untyped
        random: StepRandom,
    ) -> dict[str, Tensor]:
        known = given(examples.latents, "latents")
        shift, scale = self._units()
        encoded = (posterior.mean - shift) * scale  # [B, C, h, w]
        if encoded.shape != known.shape:
            raise InputError(
                "dataset",
                f"its latents are {list(known.shape[1:])}; the autoencoder makes {list(encoded.shape[1:])}.",
                "Choose an autoencoder with as many channels and levels as the latents need.",
            )
        from_dataset = random.are_first(len(pictures), self._recipe.analytic_share)
        latents = torch.where(from_dataset.view(-1, 1, 1, 1), known, encoded)
        error = (encoded - known).detach() / scale
        surprise = posterior.logvar + error.square() / posterior.var
        return {
            "reconstruction": self._reconstruction(examples, pictures, self._noisy(latents, random) / scale + shift),
            "latents": self._recipe.latent_weight * mean_error((encoded - known).square(), examples),
            "variance": _VARIANCE_WEIGHT * 0.5 * mean_error(surprise, examples),
        }

    def _noisy(self, latents: Tensor, random: StepRandom) -> Tensor:
        if self._recipe.latent_noise == 0:
            return latents
        amounts = self._recipe.latent_noise * random.uniform(len(latents)).view(-1, 1, 1, 1)
        return latents + amounts * random.normal(*latents.shape)

    def _reconstruction(self, examples: Examples, pictures: Tensor, latents: Tensor) -> Tensor:
        mask = mask_at(examples, pictures.shape[2:])
        errors = distances(self._recipe.loss, self._autoencoder.decode(latents).sample, pictures, mask=mask)  # [B]
        return mean_error(errors, examples)

    def _units(self) -> tuple[float, float]:
        config = self._autoencoder.config
        return config.shift_factor or 0.0, config.scaling_factor
