"""Looks at a training while it goes on: what is trained so far, and the loss over examples held out."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from graphengine.diffusion.plots import compare_losses, difference_names, plot_losses
from graphengine.diffusion.training import Trained, train
from graphengine.diffusion.training_denoisers import DenoisingTask
from graphengine.diffusion.training_run import StepResult, TrainingRun
from graphengine.errors import InputError
from graphengine.training_types import LoraRecipe, Recipe, Report
from graphengine.types import Model
from tests.diffusion.tiny_training import ONLY_CAPTIONS, Blocks, finish, same_weights, tiny_model, weights_of

RECIPE = Recipe(batch_size=4, learning_rate=5e-3, ema_decay=0.5)
HELD_OUT = Blocks(length=6, digest="held out")


def trained(recipe: Recipe = RECIPE, *, steps: int = 4, **more: Any) -> tuple[list[StepResult], Trained[Model]]:
    return finish(train(tiny_model(), Blocks(), recipe, steps=steps, seed=1, **more))


def held_out_of(results: Sequence[StepResult]) -> dict[int, float]:
    return {each.step: each.held_out_loss for each in results if each.held_out_loss is not None}


@pytest.mark.parametrize("recipe", [RECIPE, replace(RECIPE, ema_decay=0.0)], ids=["average", "last"])
def test_what_is_trained_so_far_is_what_as_many_steps_give(recipe: Recipe) -> None:
    looks = []
    training = train(tiny_model(), Blocks(), recipe, steps=4, seed=1)
    for result in training:
        if result.step == 2:
            looks.append(result.so_far().subject)
    _, two = trained(recipe, steps=2)
    assert isinstance(looks[0], Model)
    assert same_weights(weights_of(looks[0].network), weights_of(two.subject.network))
    assert not looks[0].network.training


def test_a_lora_is_looked_at_with_its_base() -> None:
    recipe = replace(RECIPE, lora=LoraRecipe(rank=2))
    looks = {}
    for result in train(tiny_model(), Blocks(), recipe, steps=2, seed=1):
        looks[result.step] = result.so_far()
    _, done = trained(recipe, steps=2)
    subject, lora = looks[2].subject, looks[2].lora
    assert isinstance(subject, Model)
    assert lora is not None
    assert same_weights(weights_of(subject.network), weights_of(done.subject.network))
    assert not same_weights(weights_of(subject.network), weights_of(tiny_model().network))


def test_looking_changes_nothing() -> None:
    plain = weights_of(trained()[1].subject.network)

    def looked_at() -> Generator[StepResult, None, Trained[Model]]:
        training = train(tiny_model(), Blocks(), RECIPE, steps=4, seed=1, held_out=HELD_OUT, look_every=1)
        while True:
            try:
                result = next(training)
            except StopIteration as end:
                done: Trained[Model] = end.value
                return done
            result.so_far()
            yield result

    results, done = finish(looked_at())
    assert list(held_out_of(results)) == [1, 2, 3, 4]
    assert same_weights(weights_of(done.subject.network), plain)


def test_a_result_says_when_a_look_is_due() -> None:
    results, _ = trained(steps=5, look_every=2)
    assert [each.step for each in results if each.is_look_due] == [2, 4, 5]


def test_the_held_out_loss_falls_with_what_is_learnt() -> None:
    results, done = trained(steps=40, held_out=HELD_OUT, look_every=15)
    losses = held_out_of(results)
    assert list(losses) == [15, 30, 40]
    assert losses[40] < losses[15]
    assert done.report.held_out == losses


def test_the_held_out_loss_has_the_same_noise_each_time() -> None:
    """With a rate of nearly 0 nothing is learnt, and the batches trained on have other noise at each step."""
    results, _ = trained(Recipe(batch_size=4, learning_rate=1e-12, weight_decay=0), held_out=HELD_OUT, look_every=1)
    assert len({round(loss, 6) for loss in held_out_of(results).values()}) == 1
    assert len({round(each.loss, 6) for each in results}) == 4


def test_a_resumed_training_knows_its_earlier_held_out_losses(tmp_path: Path) -> None:
    looks: dict[str, Any] = {"held_out": HELD_OUT, "look_every": 2, "state_dir": tmp_path}
    _, first = trained(steps=4, **looks)
    _, second = trained(steps=8, **looks)
    assert list(second.report.held_out) == [2, 4, 6, 8]
    assert {step: second.report.held_out[step] for step in (2, 4)} == first.report.held_out


def test_sizes_are_not_mixed() -> None:
    @dataclass(frozen=True)
    class TwoSizes(Blocks):
        """Examples 0 to 3 are of one size, the others of another."""

        varies: bool = False
        seen: tuple[list[int], ...] = ([],)

        @property
        def groups(self) -> Sequence[Sequence[int]]:
            return ((0, 1, 2), (3, 4, 5))

        def examples(self, indices: Sequence[int], fields: Any) -> Any:
            assert len({index < 3 for index in indices}) == 1
            self.seen[0].extend(indices)
            return super().examples(indices, fields)

    held_out = TwoSizes(length=6)
    trained(steps=1, held_out=held_out)
    assert held_out.seen[0] == [0, 1, 2, 3, 4, 5]


def test_an_endless_dataset_is_measured_on_its_first_examples() -> None:
    results, _ = trained(steps=1, held_out=Blocks(length=None))
    assert list(held_out_of(results)) == [1]


@pytest.mark.parametrize(
    ("held_out", "said"),
    [(Blocks(length=0), "it is empty"), (Blocks(fields=ONLY_CAPTIONS), "needs images")],
    ids=["empty", "no pictures"],
)
def test_what_cannot_be_measured_is_refused_before_the_first_step(held_out: Blocks, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        next(train(tiny_model(), Blocks(), RECIPE, steps=1, seed=1, held_out=held_out))
    assert caught.value.input == "held_out"


def test_held_out_losses_are_drawn() -> None:
    flat = (0.5,) * 100
    plain = Report(steps=100, losses=flat, learning_rates=flat, grad_norms=flat)
    drawn = plot_losses(replace(plain, held_out={50: 0.9, 100: 0.1}), smoothing=0)
    second = (torch.tensor([214, 93, 14]) / 255).expand(3)
    assert (drawn == second).all(-1).any()
    assert not (plot_losses(plain, smoothing=0) == second).all(-1).any()


def test_a_training_that_is_rolled_back_forgets_what_was_measured_since() -> None:
    task = DenoisingTask(tiny_model(), Blocks(), RECIPE, torch.device("cpu"), clip=None, vae=None)
    run = TrainingRun(task, Blocks(), RECIPE, steps=4, seed=1, device=torch.device("cpu"))
    run.advance()
    before = run.state()
    run.held_out_loss(HELD_OUT)
    run.restore(before)
    assert run.report().held_out == {}
    run.close()


def test_trainings_are_compared_by_what_differs_in_them() -> None:
    def report(loss: float, **training: str) -> Report:
        curve = [loss] * 50
        return Report(steps=50, losses=curve, learning_rates=curve, grad_norms=curve, training=training)

    rates = [report(1, learning_rate="0.1", seed="1", steps="50"), report(2, learning_rate="0.2", seed="1", steps="99")]
    assert difference_names(rates) == ["learning_rate 0.1", "learning_rate 0.2"]
    assert difference_names([rates[0], report(3, learning_rate="0.1", dataset="0123456789abcdef0123")]) == [
        "seed 1, dataset -",
        "seed -, dataset 0123456…",
    ]
    assert difference_names([rates[0], rates[0]]) == ["", ""]
    drawn = compare_losses(rates, smoothing=0.9, width=200, height=100)
    assert drawn.shape == (1, 100, 200, 3)
    colours = {tuple(pixel) for pixel in (drawn[0] * 255).round().int().flatten(0, 1).tolist()}
    assert {(31, 119, 180), (214, 93, 14)} <= colours
