"""Small things to train on, for the tests of training."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from graphengine.diffusion.networks import new_autoencoder, new_clip, new_unet, new_unet_2d
from graphengine.diffusion.tokenizer_training import tokenizer_from_captions
from graphengine.diffusion.training import StepResult, Subject, Trained
from graphengine.training_types import ExampleField, Examples
from graphengine.types import Clip, Model, Prediction, Vae

ONLY_IMAGES: tuple[ExampleField, ...] = ("images",)
ONLY_CAPTIONS: tuple[ExampleField, ...] = ("captions",)
CAPTIONS = ("a red square", "a blue square", "a red disc", "a blue disc")


@dataclass(frozen=True)
class Blocks:
    """Grey or coloured blocks on 8 x 8 cells; example i depends on i alone."""

    length: int | None = 8
    channels: int = 1
    size: int = 8
    fields: Collection[ExampleField] = ("images", "captions", "labels")
    digest: str = "blocks"

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        images = torch.stack([self._image(index) for index in indices])
        return Examples(
            images=images if "images" in fields else None,
            captions=[CAPTIONS[index % 4] for index in indices] if "captions" in fields else None,
            latents=self._latents(images) if "latents" in fields else None,
            labels={
                "colour": torch.tensor([index % 2 for index in indices]),
                "shape": torch.tensor([-1 if index % 8 == 7 else index // 2 % 2 for index in indices]),
            }
            if "labels" in fields
            else None,
        )

    def _image(self, index: int) -> torch.Tensor:
        image = torch.full((self.channels, self.size, self.size), -0.8)
        left, half = index % 4 * self.size // 8, self.size // 2
        image[:, left : left + half, index // 4 % 2 * half // 2 : half] = 0.8
        return image

    def _latents(self, images: torch.Tensor) -> torch.Tensor:
        pooled = nn.functional.avg_pool2d(images, 2)
        return torch.cat([pooled, pooled[:, :1]], dim=1)


def tiny_model(prediction: Prediction = "epsilon", *, seed: int = 0) -> Model:
    return new_unet_2d(
        seed=seed, size=8, block_channels=(8, 16), attention_levels=(False, True), layers_per_block=1, norm_groups=4,
        prediction=prediction,
    )  # fmt: skip


def tiny_clip(*, seed: int = 0) -> Clip:
    tokenizer = tokenizer_from_captions(CAPTIONS, vocab_size=600, max_length=8)
    return new_clip(tokenizer, seed=seed, width=16, layers=1, heads=2)


def tiny_text_model(*, seed: int = 0, pooled_text: bool = True) -> Model:
    return new_unet(
        seed=seed, text_width=16, block_channels=(8, 16), attention_levels=(False, True), heads=2, norm_groups=4,
        pooled_text=pooled_text, latent_size=4, latent_factor=2,
    )  # fmt: skip


def tiny_vae(*, seed: int = 0) -> Vae:
    return new_autoencoder(seed=seed, block_channels=(8, 8), norm_groups=2, size=8)


def finish(training: Generator[StepResult, None, Trained[Subject]]) -> tuple[list[StepResult], Trained[Subject]]:
    """Run a training to its end."""
    results: list[StepResult] = []
    while True:
        try:
            results.append(next(training))
        except StopIteration as end:
            return results, end.value


def weights_of(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same_weights(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
