"""Each thing that can be trained: what it learns, what it asks for, what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from graphengine.diffusion import conditioning, vae
from graphengine.diffusion.networks import new_basic_unet, new_unet_2d
from graphengine.diffusion.step_random import StepRandom
from graphengine.diffusion.training import train
from graphengine.diffusion.training_autoencoder import AutoencoderTask
from graphengine.diffusion.training_denoisers import DenoisingTask, MixingTask
from graphengine.diffusion.training_tasks import TrainingTask
from graphengine.diffusion.training_text import TextTask, encode_captions
from graphengine.errors import InputError
from graphengine.training_types import Dataset, ExampleField, Examples, Recipe
from graphengine.types import Clip, Image, Model
from tests.diffusion.tiny_training import (
    CAPTIONS,
    ONLY_CAPTIONS,
    Blocks,
    finish,
    same_weights,
    tiny_clip,
    tiny_model,
    tiny_text_model,
    tiny_vae,
    weights_of,
)

CPU = torch.device("cpu")
RECIPE = Recipe(batch_size=4, learning_rate=5e-3)
LATENTS = Blocks(length=None, channels=3, fields=("images", "captions", "latents", "labels"))
PICTURES = Blocks(channels=3)


def test_an_autoencoder_learns_the_latents_the_dataset_knows() -> None:
    dataset = replace(LATENTS, length=8, size=8)
    recipe = Recipe(batch_size=8, learning_rate=1e-2, latent_noise=0.05)
    results, trained = finish(train(tiny_vae(), dataset, recipe, steps=80, seed=0))
    examples = dataset.examples(range(8), ["images", "latents"])
    assert examples.images is not None
    assert examples.latents is not None

    encoded = vae.encode(trained.subject, Image((examples.images.permute(0, 2, 3, 1) + 1) / 2))

    assert set(results[0].parts) == {"reconstruction", "latents", "variance"}
    assert (encoded.samples - examples.latents).square().mean() < 0.1 * examples.latents.var()
    assert results[-1].parts["reconstruction"] < 0.2 * results[0].parts["reconstruction"]


@pytest.mark.slow
def test_its_variance_learns_the_size_of_its_error() -> None:
    """Drawn from the posterior, latents are then as far from the known ones as the mean is, not a unit away."""
    dataset = replace(LATENTS, length=8)
    _, trained = finish(train(tiny_vae(), dataset, Recipe(batch_size=8, learning_rate=1e-2), steps=80, seed=0))
    examples = dataset.examples(range(8), ["images", "latents"])
    autoencoder: Any = trained.subject.autoencoder  # Any: diffusers is untyped
    with torch.no_grad():
        posterior = autoencoder.encode(examples.images).latent_dist

    error = (posterior.mean - examples.latents).square().mean().sqrt()
    assert posterior.std.mean() < 0.6
    assert posterior.std.mean() > 0.3 * error


def test_an_autoencoder_without_known_latents_reconstructs() -> None:
    recipe = Recipe(batch_size=8, learning_rate=1e-2, loss="l1")
    results, _ = finish(train(tiny_vae(), PICTURES, recipe, steps=40, seed=0))
    assert set(results[0].parts) == {"reconstruction", "divergence"}
    assert results[-1].loss < 0.6 * results[0].loss


def test_latents_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match=r"its latents are \[4, 2, 4\]; the autoencoder makes \[4, 4, 4\]"):
        next(train(tiny_vae(), WrongLatents(), RECIPE, steps=1, seed=0))


class WrongLatents(Blocks):
    def __init__(self) -> None:
        super().__init__(channels=3, fields=("images", "latents"))

    def _latents(self, images: torch.Tensor) -> torch.Tensor:
        return super()._latents(images)[:, :, :2]


def test_a_text_encoder_learns_what_captions_say() -> None:
    """Afterwards captions of different colours lie further apart than before."""
    results, trained = finish(train(tiny_clip(), Blocks(), replace(RECIPE, learning_rate=1e-2), steps=60, seed=0))
    assert set(results[0].parts) == {"colour", "shape"}
    assert results[-1].loss < 0.3 * results[0].loss
    assert trained.clip is None

    assert colour_contrast(trained.subject) > 2 * colour_contrast(tiny_clip())


def colour_contrast(clip: Clip) -> float:
    """Distance between red captions' and blue captions' mean states, over the states' own size."""
    states = torch.stack([pooled_state(clip, caption) for caption in CAPTIONS])
    return float((states[[0, 2]].mean(0) - states[[1, 3]].mean(0)).norm() / states.norm(dim=1).mean())


def pooled_state(clip: Clip, caption: str) -> torch.Tensor:
    pooled = conditioning.encode(clip, caption).parts[0].pooled
    assert pooled is not None
    return pooled[0]


@pytest.mark.slow
def test_a_denoiser_follows_its_caption() -> None:
    """One caption, one picture: with the right caption the trained model's error is lower than with another one."""
    _, text = finish(train(tiny_clip(), Blocks(), replace(RECIPE, learning_rate=1e-2), steps=60, seed=0))
    dataset = replace(LATENTS, length=4)
    recipe = Recipe(batch_size=4, learning_rate=1e-2, lr_schedule="cosine", loss_weighting="sqrt_one_minus_alphas")
    _, trained = finish(train(tiny_text_model(), dataset, recipe, steps=80, seed=0, clip=text.subject))
    examples = dataset.examples(range(4), ["latents"])
    assert examples.latents is not None

    timesteps = torch.full((4,), 999)
    noise = torch.randn(examples.latents.shape, generator=torch.Generator().manual_seed(3))

    def error(captions: list[str]) -> float:
        embedding = torch.cat([conditioning.encode(text.subject, caption).parts[0].embedding for caption in captions])
        with torch.no_grad():
            v = trained.subject.network(noise, timesteps, encoder_hidden_states=embedding).sample
        return float((-v - examples.latents).square().mean())  # at pure noise, v is minus the sample

    right = list(CAPTIONS)
    assert error(right) < 0.6 * error(right[1:] + right[:1])


def test_a_dropped_caption_is_the_empty_one() -> None:
    """With every caption dropped, what captions say can't matter."""

    class Silent(Blocks):
        def examples(self, indices: Any, fields: Any) -> Any:  # Any: as in Blocks
            return replace(super().examples(indices, fields), captions=["a blue disc"] * len(indices))

    def losses(dataset: Blocks, dropout: float) -> list[float]:
        recipe = replace(RECIPE, caption_dropout=dropout)
        results, _ = finish(train(tiny_text_model(), dataset, recipe, steps=2, seed=0, clip=tiny_clip()))
        return [result.loss for result in results]

    silent = Silent(length=None, channels=3, fields=LATENTS.fields)
    assert losses(LATENTS, 1.0) == losses(silent, 1.0)
    assert losses(LATENTS, 0.0) != losses(silent, 0.0)


def test_captions_are_encoded_as_prompts_are() -> None:
    clip = tiny_clip()
    hidden, pooled, real = encode_captions(clip, clip.encoders[0].network, CAPTIONS, torch.device("cpu"))
    single = [conditioning.encode(clip, text).parts[0] for text in CAPTIONS]

    torch.testing.assert_close(hidden, torch.cat([each.embedding for each in single]))
    torch.testing.assert_close(pooled, torch.cat([each.pooled for each in single if each.pooled is not None]))
    assert real.tolist() == [[1, 1, 1, 1, 1, 0, 0, 0]] * 4  # two marks and three words


def test_the_frozen_text_encoder_stays() -> None:
    clip = tiny_clip()
    before = weights_of(clip.encoders[0].network)
    _, trained = finish(train(tiny_text_model(), LATENTS, RECIPE, steps=2, seed=0, clip=clip))
    assert trained.clip is None
    assert same_weights(before, weights_of(clip.encoders[0].network))
    assert all(parameter.grad is None for parameter in clip.encoders[0].network.parameters())


def test_pictures_are_encoded_by_the_frozen_autoencoder() -> None:
    results, _ = finish(train(tiny_text_model(), PICTURES, RECIPE, steps=2, seed=0, clip=tiny_clip(), vae=tiny_vae()))
    assert len(results) == 2


def test_mixing_trains_in_the_range_of_uniform_noise() -> None:
    """The first loss by hand: the dataset's -1…1 becomes 0…1, mixed with numbers from 0 to 1."""
    model = tiny_model("mixing")
    results, _ = finish(train(model, Blocks(length=None), RECIPE, steps=1, seed=5))
    images = Blocks().examples(range(4), ["images"]).images
    assert images is not None
    random = StepRandom(5, 0)
    pictures = (images + 1) / 2
    noise, amounts = random.uniform(4, 1, 8, 8), random.uniform(4).view(4, 1, 1, 1)
    with torch.no_grad():
        predicted = model.network(pictures * (1 - amounts) + noise * amounts, 0).sample
    assert results[0].loss == pytest.approx(float((predicted - pictures).square().mean()), rel=1e-5)


def refused(model: Model, dataset: Blocks, *, recipe: Recipe = RECIPE, **linked: Any) -> str:  # Any: clip and vae
    with pytest.raises(InputError) as caught:
        next(train(model, dataset, recipe, steps=1, seed=0, **linked))
    return str(caught.value)


def test_what_does_not_fit_is_refused_in_words() -> None:
    assert "model reads captions" in refused(tiny_text_model(), LATENTS)
    assert "denoises latents, and the dataset gives pictures only" in refused(
        tiny_text_model(), PICTURES, clip=tiny_clip()
    )
    assert "needs images; this dataset gives captions" in refused(tiny_model(), Blocks(fields=ONLY_CAPTIONS))
    assert "images have 3 channels; the network reads 1" in refused(tiny_model(), PICTURES)
    assert "images are 7 x 7; the network halves them 1 times" in refused(tiny_model(), Blocks(size=7))
    assert "reads no text" in refused(tiny_model(), Blocks(), recipe=replace(RECIPE, train_text_encoder=True))

    from graphengine.diffusion.networks import new_clip

    wide = new_clip(tiny_clip().encoders[0].tokenizer, seed=0, width=32, layers=1, heads=2)  # type: ignore[arg-type]  # a tokenizer
    assert "32 wide; the model reads 16" in refused(tiny_text_model(), LATENTS, clip=wide)


def test_too_many_classes_are_refused() -> None:
    class Many(Blocks):
        def examples(self, indices: Any, fields: Any) -> Any:  # Any: as in Blocks
            return replace(super().examples(indices, fields), labels={"kind": torch.full((len(indices),), 64)})

    with pytest.raises(InputError, match="'kind' has a label 64; 63 is the highest"):
        next(train(tiny_clip(), Many(), RECIPE, steps=1, seed=0))


@dataclass(frozen=True)
class Counted:
    """A dataset whose places and examples count as a test says."""

    dataset: Blocks
    mask: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    length: int | None = 4
    digest: str = "counted"

    @property
    def fields(self) -> Collection[ExampleField]:
        return (*self.dataset.fields, "mask", "weights")

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        examples = self.dataset.examples(indices, fields)
        mask = self.mask if "mask" in fields else None
        return replace(examples, mask=mask, weights=self.weights if "weights" in fields else None)


MAKES_TASK: dict[str, Callable[[Dataset], TrainingTask]] = {
    "mixing": lambda data: MixingTask(new_basic_unet(seed=0, channels=3), data, RECIPE, CPU),
    "denoiser": lambda data: DenoisingTask(pixel_model(), data, RECIPE, CPU, clip=None, vae=None),
    "autoencoder": lambda data: AutoencoderTask(tiny_vae(), data, replace(RECIPE, kl_weight=0), CPU),
    "autoencoder of known latents": lambda data: AutoencoderTask(tiny_vae(), data, RECIPE, CPU),
    "text encoder": lambda data: TextTask(tiny_clip(), data, CPU),
}


def pixel_model() -> Model:
    return new_unet_2d(
        seed=0, size=8, channels=3, block_channels=(4, 8), attention_levels=(False, False), layers_per_block=1,
        norm_groups=4,
    )  # fmt: skip


@pytest.mark.parametrize("kind", MAKES_TASK)
def test_places_and_examples_count_as_the_dataset_says(kind: str) -> None:
    """Errors that are divided among masks, and among weights, add up to those where all counts."""
    data = replace(PICTURES, length=4)
    if kind == "autoencoder of known latents":
        data = replace(data, fields=("images", "latents"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        task = MAKES_TASK[kind](Counted(data))

    def losses(mask: torch.Tensor | None, weights: torch.Tensor | None) -> dict[str, float]:
        examples = Counted(data, mask, weights).examples(range(4), task.fields)
        return {name: value.item() for name, value in task.losses(examples, StepRandom(0, 0)).items()}

    def added(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
        return {name: value + second[name] for name, value in first.items()}

    whole = losses(None, None)
    side = 4 if kind == "autoencoder of known latents" else 8
    left = torch.cat([torch.ones(4, 1, side, side // 2), torch.zeros(4, 1, side, side // 2)], dim=3)
    weights = torch.tensor([0.25, 1.0, 0.0, 0.5])
    assert added(losses(None, weights), losses(None, 1 - weights)) == pytest.approx(whole, rel=1e-5)
    assert losses(None, weights) != losses(None, weights.flip(0))
    if kind != "text encoder":
        assert added(losses(left, None), losses(1 - left, None)) == pytest.approx(whole, rel=1e-5)
        assert losses(left, weights) != pytest.approx(losses(None, weights), rel=1e-2)
