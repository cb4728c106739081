"""The training loop on networks of a few thousand weights."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch.nn import functional

from graphengine.diffusion.step_random import StepRandom
from graphengine.diffusion.training import TrainingDiverged, train
from graphengine.errors import InputError
from graphengine.training_types import Recipe
from graphengine.types import Model
from tests.diffusion.killed_training import SAVED_EVERY, STEPS, killable
from tests.diffusion.tiny_training import (
    Blocks,
    finish,
    same_weights,
    tiny_clip,
    tiny_model,
    tiny_text_model,
    weights_of,
)

RECIPE = Recipe(batch_size=4, learning_rate=2e-3, lr_schedule="cosine", warmup_steps=2, ema_decay=0.9)
LATENT_BLOCKS = Blocks(length=None, channels=3, fields=("images", "captions", "latents", "labels"))


def trained_weights(seed: int = 1, *, steps: int = 6, recipe: Recipe = RECIPE) -> dict[str, torch.Tensor]:
    _, trained = finish(train(tiny_model(), Blocks(), recipe, steps=steps, seed=seed))
    return weights_of(trained.subject.network)


@pytest.mark.slow
def test_the_loss_falls_below_a_fifth_and_pictures_resemble_the_data() -> None:
    """Eight pictures, 100 steps, then DDPM sampling: nearer to the data than noise is."""
    recipe = Recipe(batch_size=8, learning_rate=6e-3, lr_schedule="cosine", warmup_steps=5, ema_decay=0.9)
    results, trained = finish(train(tiny_model("sample"), Blocks(), recipe, steps=100, seed=0))

    start = sum(result.loss for result in results[:5]) / 5
    end = sum(result.loss for result in results[-20:]) / 20
    assert end < 0.2 * start

    data = Blocks().examples(range(8), ["images"]).images
    assert data is not None
    made, noise = sampled(trained.subject), torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(5))
    assert distance_to_data(made, data) < 0.25 * distance_to_data(noise, data)


def sampled(model: Model) -> torch.Tensor:
    scheduler: Any = DDPMScheduler.from_config(dict(model.scheduler_config))  # Any: diffusers is untyped
    scheduler.set_timesteps(25)
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(8, 1, 8, 8, generator=generator)
    for timestep in scheduler.timesteps:
        with torch.no_grad():
            predicted = model.network(x, timestep).sample
        x = scheduler.step(predicted, timestep, x, generator=generator).prev_sample
    return x


def distance_to_data(pictures: torch.Tensor, data: torch.Tensor) -> float:
    """Mean squared distance to the nearest picture of the data."""
    return float((pictures[:, None] - data[None]).square().mean((2, 3, 4)).min(dim=1).values.mean())


def test_five_steps_equal_the_published_loop() -> None:
    """add_noise, UNet, mse, AdamW and clipping, as in diffusers' examples, from the same weights and noise.

    Outputs are compared, not weights: a bias before a normalisation has no gradient but rounding, which Adam scales up.
    """
    model = tiny_model()
    network: Any = copy.deepcopy(model.network).train()  # Any: diffusers is untyped
    scheduler: Any = DDPMScheduler.from_config(dict(model.scheduler_config))  # Any: as above
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01)
    losses = []
    for step in range(5):
        clean = Blocks(length=None).examples(range(4 * step, 4 * step + 4), ["images"]).images
        assert clean is not None
        random = StepRandom(3, step)
        timesteps = random.integers(1000, 4)
        noise = random.normal(*clean.shape)
        predicted = network(scheduler.add_noise(clean, noise, timesteps), timesteps).sample
        loss: Any = functional.mse_loss(predicted, noise)  # Any: torch leaves backward untyped
        loss.backward()
        losses.append(loss.item())
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    recipe = Recipe(batch_size=4, learning_rate=1e-3)
    results, trained = finish(train(model, Blocks(length=None), recipe, steps=5, seed=3))

    assert [result.loss for result in results] == pytest.approx(losses, rel=1e-5)
    with torch.no_grad():
        expected = network(clean, timesteps).sample
        torch.testing.assert_close(trained.subject.network(clean, timesteps).sample, expected, atol=1e-4, rtol=1e-3)
        assert not torch.allclose(model.network(clean, timesteps).sample, expected, atol=1e-2)


def test_a_seed_decides_everything() -> None:
    torch.manual_seed(1)
    first = trained_weights(seed=1)
    torch.manual_seed(2)
    assert same_weights(first, trained_weights(seed=1))
    assert not same_weights(first, trained_weights(seed=2))


def test_the_model_given_is_not_changed() -> None:
    model = tiny_model()
    before, processors = weights_of(model.network), processors_of(model)
    _, trained = finish(train(model, Blocks(), replace(RECIPE, attention="manual"), steps=3, seed=0))

    assert same_weights(before, weights_of(model.network))
    assert not same_weights(before, weights_of(trained.subject.network))
    assert processors_of(model) == processors
    assert not model.network.training
    assert all(parameter.requires_grad for parameter in model.network.parameters())
    assert all(parameter.grad is None for parameter in model.network.parameters())


def processors_of(model: Model) -> dict[str, Any]:  # Any: diffusers is untyped
    return {name: layer.processor for name, layer in model.network.named_modules() if isinstance(layer, Attention)}


def test_manual_attention_lasts_as_long_as_the_training() -> None:
    model = tiny_model()
    plain = trained_weights(recipe=RECIPE)
    manual = trained_weights(recipe=replace(RECIPE, attention="manual"))
    for name, expected in plain.items():
        torch.testing.assert_close(manual[name], expected, atol=1e-4, rtol=1e-3)

    _, trained = finish(train(model, Blocks(), replace(RECIPE, attention="manual"), steps=1, seed=0))
    left = processors_of(trained.subject)
    assert left
    assert not any(isinstance(each, AttnProcessor) for each in left.values())


def test_results_say_what_happened() -> None:
    results, trained = finish(train(tiny_model(), Blocks(), RECIPE, steps=4, seed=0))

    assert [result.step for result in results] == [1, 2, 3, 4]
    assert {result.steps for result in results} == {4}
    assert [result.learning_rate for result in results] == pytest.approx([0, 1e-3, 2e-3, 1e-3])
    assert all(result.items_per_s > 0 and result.grad_norm > 0 for result in results)
    assert list(trained.report.losses) == [result.loss for result in results]
    assert not trained.subject.network.training
    assert trained.subject.source == "TrainLoop"


def test_the_moving_average_is_the_published_one() -> None:
    """average = d average + (1 - d) weights with d = min(decay, (1 + n) / (10 + n)); the first step copies."""
    recipe = Recipe(batch_size=4, learning_rate=1e-2)
    steps = [
        weights_of(finish(train(tiny_model(), Blocks(), recipe, steps=count, seed=0))[1].subject.network)
        for count in (1, 2, 3)
    ]
    averaged = weights_of(
        finish(train(tiny_model(), Blocks(), replace(recipe, ema_decay=0.15), steps=3, seed=0))[1].subject.network
    )

    for name, first in steps[0].items():
        second = first + (1 - 2 / 11) * 0 + (1 - 0.15) * (steps[1][name] - first)  # 2 / 11 > 0.15: the decay counts
        third = second + (1 - 0.15) * (steps[2][name] - second)
        torch.testing.assert_close(averaged[name], third, atol=1e-6, rtol=1e-5)


def test_stopping_and_resuming_gives_the_same_bits(tmp_path: Path) -> None:
    whole, trained_whole = finish(train(tiny_model(), Blocks(length=10), RECIPE, steps=20, seed=1))

    training = train(tiny_model(), Blocks(length=10), RECIPE, steps=20, seed=1, state_dir=tmp_path)
    for _ in range(10):
        next(training)
    training.close()
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000010.safetensors"]
    torch.manual_seed(123)  # a resumed process has another random state
    rest, trained = finish(train(tiny_model(), Blocks(length=10), RECIPE, steps=20, seed=1, state_dir=tmp_path))

    assert [result.step for result in rest] == list(range(11, 21))
    assert [result.loss for result in rest] == [result.loss for result in whole[10:]]
    assert same_weights(weights_of(trained_whole.subject.network), weights_of(trained.subject.network))
    assert trained.report == trained_whole.report


def test_resuming_with_a_text_encoder_in_training(tmp_path: Path) -> None:
    recipe = replace(RECIPE, train_text_encoder=True, lr_schedule="constant")

    def training(state_dir: Path | None) -> Any:  # Any: a generator
        return train(tiny_text_model(), LATENT_BLOCKS, recipe, steps=6, seed=1, clip=tiny_clip(), state_dir=state_dir)

    _, whole = finish(training(None))
    stopped = training(tmp_path)
    for _ in range(3):
        next(stopped)
    stopped.close()
    _, trained = finish(training(tmp_path))

    assert whole.clip is not None
    assert trained.clip is not None
    assert same_weights(weights_of(whole.clip.encoders[0].network), weights_of(trained.clip.encoders[0].network))
    assert not same_weights(weights_of(whole.clip.encoders[0].network), weights_of(tiny_clip().encoders[0].network))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forks of a process")
def test_a_training_killed_at_any_moment_loses_an_interval_at_most_and_changes_no_bit(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.diffusion.killed_training", str(tmp_path / "killed"), "8", "1"]
    told = subprocess.run(words, env={**os.environ, "PYTHONPATH": sys_path()}, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    *killed, last = [[int(step) for step in line.split()] for line in told.stdout.splitlines()]

    done = 0
    for steps in [*killed, last]:
        assert steps == list(range(steps[0], steps[-1] + 1))
        assert done - SAVED_EVERY < steps[0] <= done + 1
        done = steps[-1]
    assert done == STEPS
    assert any(steps[-1] < STEPS for steps in killed)
    _, trained = finish(killable(tmp_path / "killed"))
    _, whole = finish(killable(None))
    assert same_weights(weights_of(trained.subject.network), weights_of(whole.subject.network))
    assert trained.report == whole.report
    assert not list((tmp_path / "killed").glob("*.partial-*"))


def sys_path() -> str:
    return os.pathsep.join(path for path in sys.path if path)


def test_a_finished_training_gives_its_result_again_without_a_step(tmp_path: Path) -> None:
    _, first = finish(train(tiny_model(), Blocks(), RECIPE, steps=5, seed=1, state_dir=tmp_path))
    results, again = finish(train(tiny_model(), Blocks(), RECIPE, steps=5, seed=1, state_dir=tmp_path))

    assert results == []
    assert same_weights(weights_of(first.subject.network), weights_of(again.subject.network))
    assert again.report == first.report


def test_more_steps_continue_a_training_with_a_constant_learning_rate(tmp_path: Path) -> None:
    recipe = replace(RECIPE, lr_schedule="constant")
    finish(train(tiny_model(), Blocks(), recipe, steps=4, seed=1, state_dir=tmp_path))
    results, trained = finish(train(tiny_model(), Blocks(), recipe, steps=7, seed=1, state_dir=tmp_path))

    assert [result.step for result in results] == [5, 6, 7]
    assert same_weights(weights_of(trained.subject.network), trained_weights(steps=7, recipe=recipe))


def test_a_key_names_the_folder_of_each_different_training(tmp_path: Path) -> None:
    def folder_of(seed: int, steps: int = 1, recipe: Recipe = RECIPE) -> str:
        keys: list[str] = []

        def place(key: str) -> Path:
            keys.append(key)
            return tmp_path / key

        finish(train(tiny_model(), Blocks(), recipe, steps=steps, seed=seed, state_dir=place))
        return keys[0]

    assert folder_of(1) == folder_of(1, recipe=replace(RECIPE, checkpoint_every=7))
    assert len({folder_of(1), folder_of(2), folder_of(1, steps=2)}) == 3
    constant = replace(RECIPE, lr_schedule="constant")
    assert folder_of(1, recipe=constant) == folder_of(1, steps=2, recipe=constant)


def test_an_unlikely_learning_rate_stops_before_it_spoils_the_weights(tmp_path: Path) -> None:
    recipe = Recipe(batch_size=4, learning_rate=1e25, max_grad_norm=0)
    with pytest.raises(TrainingDiverged, match=r"step 2; the weights are still those of step 1(?s:.*)learning_rate"):
        finish(train(tiny_model(), Blocks(), recipe, steps=5, seed=0, state_dir=tmp_path))


def test_dropout_in_the_network_repeats() -> None:
    """Layers with dropout draw from torch's global generator, which a step seeds and puts back."""

    def run() -> dict[str, torch.Tensor]:
        model = tiny_model()
        for module in model.network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.5
        _, trained = finish(train(model, Blocks(), RECIPE, steps=3, seed=0))
        return weights_of(trained.subject.network)

    torch.manual_seed(1)
    first = run()
    torch.manual_seed(2)
    assert same_weights(first, run())
    assert not same_weights(first, trained_weights(seed=0, steps=3))


def test_bfloat16_trains_and_keeps_float32_weights() -> None:
    results, trained = finish(train(tiny_model(), Blocks(), replace(RECIPE, precision="bfloat16"), steps=2, seed=0))
    reference, _ = finish(train(tiny_model(), Blocks(), RECIPE, steps=2, seed=0))

    assert {tensor.dtype for tensor in weights_of(trained.subject.network).values()} == {torch.float32}
    assert results[0].loss == pytest.approx(reference[0].loss, rel=0.05)
    assert results[0].loss != reference[0].loss


@pytest.mark.parametrize("name", ["checkpoint_every", "keep_checkpoints", "batch_size"])
def test_counts_below_one_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=name):
        next(train(tiny_model(), Blocks(), replace(RECIPE, **{name: 0}), steps=1, seed=0))  # type: ignore[arg-type]  # a name of three


def test_an_empty_dataset_is_refused() -> None:
    with pytest.raises(InputError, match="empty"):
        next(train(tiny_model(), Blocks(length=0), RECIPE, steps=1, seed=0))
