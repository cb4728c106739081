"""Trying a training before it starts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from graphengine.authoring.testing import FakeContext, run_node
from graphengine.diffusion.training_trial import Trial, try_training
from graphengine.errors import InputError
from graphengine.training_types import Recipe
from graphengine_nodes.training_trials import try_training as try_training_node
from tests.diffusion.tiny_training import Blocks, same_weights, tiny_model, weights_of

RECIPE = Recipe(batch_size=4, learning_rate=1e-2, warmup_steps=100, lr_schedule="cosine")


def test_a_sound_training_learns_a_batch_by_heart() -> None:
    trial = try_training(tiny_model("sample"), Blocks(), RECIPE, steps=500, seed=1, overfit_steps=30)
    assert trial.learns
    assert trial.seconds == pytest.approx(500 * trial.seconds_per_step)
    assert "The set-up learns" in trial.summary


def test_a_training_that_can_not_learn_is_told() -> None:
    ctx = FakeContext()
    outputs = run_node(
        try_training_node, ctx=ctx, model=tiny_model(), dataset=Blocks(),
        recipe=replace(RECIPE, learning_rate=1e-9), trial_steps=1, overfit_steps=4,
    )  # fmt: skip
    assert not outputs.learns
    assert ctx.warnings == [outputs.summary]
    assert "does not learn" in outputs.summary
    assert ctx.progress_reports == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])


def test_nothing_is_changed_and_the_self_test_is_left_out_unless_asked_for() -> None:
    model = tiny_model()
    before = weights_of(model.network)
    trial = try_training(model, Blocks(length=1), RECIPE, steps=10, seed=1, trial_steps=1)
    assert same_weights(weights_of(model.network), before)
    assert (trial.first_loss, trial.learns) == (None, True)
    assert "set-up" not in trial.summary


def test_what_can_not_be_trained_is_refused_as_by_the_training() -> None:
    with pytest.raises(InputError, match="it is empty"):
        try_training(tiny_model(), Blocks(length=0), RECIPE, steps=1, seed=0)


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.2, "0 s"), (65, "1 min 5 s"), (3600, "1 h"), (90_061, "25 h 1 min")], ids=str
)
def test_times_are_told_in_words(seconds: float, told: str) -> None:
    assert f"take about {told} and 1.5 GB" in Trial(seconds, 1_500_000_000, 1).summary
