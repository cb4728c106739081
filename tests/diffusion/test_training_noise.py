"""What ObjectiveRecipe and a dataset's masks and weights change of a training."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import pytest
import torch

from graphengine.diffusion.model_sampling import with_sampling
from graphengine.diffusion.step_random import StepRandom
from graphengine.diffusion.training import train
from graphengine.diffusion.training_denoisers import DenoisingTask
from graphengine.training_types import ExampleField, Examples, ObjectiveRecipe, Recipe
from tests.diffusion.tiny_training import Blocks, finish, same_weights, tiny_model, weights_of

RECIPE = Recipe(batch_size=4, learning_rate=1e-3)


@dataclass(frozen=True)
class Counted(Blocks):
    """Blocks of which only the left half counts, and every other example twice."""

    fields: Collection[ExampleField] = ("images", "mask", "weights")

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        mask = torch.zeros(len(indices), 1, 8, 8)
        mask[..., :4] = 1
        weights = torch.tensor([1.0 + index % 2 for index in indices])
        return replace(super().examples(indices, fields), mask=mask, weights=weights)


def loss_of(dataset: Blocks) -> torch.Tensor:
    task = DenoisingTask(tiny_model(), dataset, RECIPE, torch.device("cpu"), clip=None, vae=None)
    examples = dataset.examples([0, 1, 2, 3], task.fields)
    return task.losses(examples, StepRandom(0, 0))["denoising"]


def test_masks_and_weights_say_what_counts() -> None:
    """Against the errors themselves: of each place times its mask, of each example times its weight, then the mean."""
    model, random = tiny_model(), StepRandom(0, 0)
    images = Blocks().examples([0, 1, 2, 3], ["images"]).images
    assert images is not None
    task = DenoisingTask(model, Blocks(), RECIPE, torch.device("cpu"), clip=None, vae=None)
    timesteps, noise = random.integers(1000, 4), random.normal(*images.shape)
    with torch.no_grad():
        predicted = model.network(task._levels.noised(images, noise, timesteps), timesteps).sample
    errors = (predicted - noise).square()  # [B, 1, 8, 8]

    torch.testing.assert_close(loss_of(Blocks()), errors.mean())
    errors[..., 4:] = 0
    expected = (errors.mean((1, 2, 3)) * torch.tensor([1.0, 2.0, 1.0, 2.0])).mean()
    torch.testing.assert_close(loss_of(Counted()), expected)


CHOICES = {
    "timesteps": ObjectiveRecipe(timesteps="logit_normal"),
    "offset": ObjectiveRecipe(noise_offset=0.1),
    "pyramid": ObjectiveRecipe(pyramid_noise=0.5),
    "perturbation": ObjectiveRecipe(input_perturbation=0.1),
}


@pytest.mark.parametrize("name", CHOICES)
def test_each_choice_changes_the_training_and_repeats(name: str) -> None:
    def trained(objective: ObjectiveRecipe | None) -> dict[str, torch.Tensor]:
        recipe = replace(RECIPE, objective=objective)
        return weights_of(finish(train(tiny_model(), Blocks(), recipe, steps=1, seed=1))[1].subject.network)

    first = trained(CHOICES[name])
    assert same_weights(first, trained(CHOICES[name]))
    assert not same_weights(first, trained(None))


def test_a_flow_is_learnt() -> None:
    model = with_sampling(tiny_model(), "flow", shift=1.0)
    recipe = Recipe(batch_size=8, learning_rate=6e-3, objective=ObjectiveRecipe(timesteps="logit_normal"))
    results, trained = finish(train(model, Blocks(), recipe, steps=30, seed=0))

    losses = [result.loss for result in results]
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])
    assert trained.subject.prediction == "flow"
    assert trained.subject.scheduler_config == model.scheduler_config
