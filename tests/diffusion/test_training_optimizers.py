"""Optimizers by name, parts of a batch, half precision, recovery: each against what it stands for."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from graphengine.diffusion.step_random import StepRandom
from graphengine.diffusion.training import TrainingDiverged, train
from graphengine.diffusion.training_devices import Share, SharedWork
from graphengine.diffusion.training_optimizers import (
    Lion,
    make_optimizer,
    make_schedule,
    optimizer_state,
    restore_optimizer,
)
from graphengine.diffusion.training_precision import MixedPrecision, compiled
from graphengine.diffusion.training_tasks import Finished
from graphengine.errors import InputError
from graphengine.training_types import ExampleField, Examples, LearningRateSchedule, OptimizerRecipe, Recipe
from tests.diffusion.tiny_training import (
    Blocks,
    finish,
    same_weights,
    tiny_clip,
    tiny_model,
    tiny_text_model,
    tiny_vae,
    weights_of,
)

RECIPE = Recipe(batch_size=4, learning_rate=1e-3, data_workers=0)
OPTIMIZERS = {
    "sgd": replace(RECIPE, optimizer="sgd"),
    "sgd without momentum": replace(RECIPE, optimizer="sgd", optimizer_options=OptimizerRecipe(momentum=0)),
    "adafactor": replace(RECIPE, optimizer="adafactor"),
    "lion": replace(RECIPE, optimizer="lion"),
    "custom": replace(
        RECIPE,
        optimizer="custom",
        optimizer_options=OptimizerRecipe(custom_class="torch.optim.ASGD", custom_options='{"t0": 2}'),
    ),
}


def trained(
    recipe: Recipe = RECIPE, *, steps: int = 2, folder: Path | None = None, data: Blocks | None = None
) -> dict[str, torch.Tensor]:
    training = train(tiny_model(), data or Blocks(), recipe, steps=steps, seed=1, state_dir=folder)
    return weights_of(finish(training)[1].subject.network)


@pytest.fixture(scope="module")
def plain_weights() -> dict[str, torch.Tensor]:
    return trained(RECIPE, steps=3)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_resumes_to_the_same_bits(
    name: str, plain_weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    recipe = OPTIMIZERS[name]
    trained(recipe, steps=1, folder=tmp_path)
    resumed = trained(recipe, steps=3, folder=tmp_path)

    assert same_weights(resumed, trained(recipe, steps=3))
    assert not same_weights(resumed, plain_weights)


def test_lion_steps_by_the_published_formula() -> None:
    """c = b1 m + (1 - b1) g; w -= lr (sign(c) + decay w); m = b2 m + (1 - b2) g."""
    weight = nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
    optimizer = Lion([weight], lr=0.1, betas=(0.9, 0.99), weight_decay=0.01)
    expected, average = weight.detach().clone(), torch.zeros(3)
    for gradient in (torch.tensor([1.0, -1.0, 0.0]), torch.tensor([-20.0, -1.0, 3.0])):
        weight.grad = gradient
        optimizer.step()
        expected -= 0.1 * (torch.sign(0.9 * average + 0.1 * gradient) + 0.01 * expected)
        average = 0.99 * average + 0.01 * gradient
        torch.testing.assert_close(weight.detach(), expected)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0, 0.5, 1, 1, 1, 1]),
        ("linear", [0, 0.5, 1, 0.75, 0.5, 0.25]),
        ("polynomial", [0, 0.5, 1, 0.5625, 0.25, 0.0625]),
        ("cosine_with_restarts", [0, 0.5, 1, 0.5, 1, 0.5]),
    ],
)
def test_learning_rates_follow_their_schedule(schedule: LearningRateSchedule, expected: list[float]) -> None:
    options = OptimizerRecipe(power=2, restarts=2)
    recipe = Recipe(learning_rate=1, warmup_steps=2, lr_schedule=schedule, optimizer_options=options)
    optimizer = make_optimizer({"network": nn.Linear(1, 1)}, recipe)
    course = make_schedule(optimizer, recipe, steps=6)
    rates = []
    for _ in range(6):
        rates.append(course.get_last_lr()[0])
        optimizer.step()
        course.step()
    assert rates == pytest.approx(expected, abs=1e-6)


def test_the_text_encoder_may_have_a_rate_of_its_own(tmp_path: Path) -> None:
    data = Blocks(length=None, channels=3, fields=("images", "captions", "latents"))
    recipe = replace(RECIPE, train_text_encoder=True, text_encoder_rate=1e-12, optimizer="sgd")

    def run(recipe: Recipe, steps: int, folder: Path | None = None) -> Any:  # Any: a finished training
        return finish(train(tiny_text_model(), data, recipe, steps=steps, seed=0, clip=tiny_clip(), state_dir=folder))[
            1
        ]

    whole = run(recipe, 2)
    before = weights_of(tiny_clip().encoders[0].network)
    after = weights_of(whole.clip.encoders[0].network)
    assert all(torch.allclose(after[name], before[name], atol=1e-9, rtol=0) for name in before)
    run(recipe, 1, tmp_path)
    resumed = run(recipe, 2, tmp_path)
    assert same_weights(weights_of(whole.subject.network), weights_of(resumed.subject.network))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (OptimizerRecipe(custom_class="nowhere.Optimizer"), "no installed package"),
        (OptimizerRecipe(custom_class="os.getcwd"), "no installed package"),
        (OptimizerRecipe(custom_class="torch.nn.Linear"), "no optimizer of torch's kind"),
        (OptimizerRecipe(custom_class="torch.optim.Radam"), "can't be imported"),
        (OptimizerRecipe(custom_class="torch.optim.RAdam", custom_options="{"), "isn't JSON"),
        (OptimizerRecipe(custom_class="torch.optim.RAdam", custom_options="[1]"), "no JSON object"),
        (OptimizerRecipe(custom_class="torch.optim.RAdam", custom_options='{"speed": 1}'), "doesn't take these"),
    ],
    ids=["no package", "standard library", "no optimizer", "no class", "no JSON", "no object", "no option"],
)
def test_a_custom_optimizer_that_is_none_is_refused(options: OptimizerRecipe, match: str) -> None:
    with pytest.raises(InputError, match=match):
        make_optimizer({"network": nn.Linear(1, 1)}, replace(RECIPE, optimizer="custom", optimizer_options=options))


def test_an_optimizer_whose_package_is_missing_names_it() -> None:
    try:
        import bitsandbytes  # type: ignore[import-not-found]  # noqa: F401 - only whether it is there
    except ImportError:
        with pytest.raises(InputError, match="pip install bitsandbytes"):
            make_optimizer({"network": nn.Linear(1, 1)}, replace(RECIPE, optimizer="adamw_8bit"))


class Nesting(torch.optim.Adam):
    """Remembers tensors within dictionaries, one of them for all parameters, as bitsandbytes' 8-bit optimizers do."""

    table = torch.arange(4.0)

    def state_dict(self) -> dict[str, Any]:  # Any: torch's own
        state = super().state_dict()
        wrapped = {
            index: {"step": values.pop("step"), "wrapped": {"table": self.table, **values}}
            for index, values in ((index, dict(values)) for index, values in state["state"].items())
        }
        return {**state, "state": wrapped}

    def load_state_dict(self, state_dict: Any) -> None:
        state = {}
        for index, values in state_dict["state"].items():
            assert torch.equal(values["wrapped"].pop("table"), self.table)
            state[index] = {"step": values["step"], **values["wrapped"]}
        super().load_state_dict({**state_dict, "state": state})


def test_what_an_optimizer_nests_is_remembered(tmp_path: Path) -> None:
    def stepped(steps: int, saved_after: int | None = None) -> list[torch.Tensor]:
        weights = [nn.Parameter(torch.ones(3)), nn.Parameter(torch.full((2,), 2.0))]
        optimizer = Nesting(weights, lr=0.1)
        for step in range(steps):
            if step == saved_after:
                tensors, plain = optimizer_state(optimizer)
                save_file(tensors, tmp_path / "state.safetensors")
                optimizer = Nesting(weights, lr=0.1)
                restore_optimizer(optimizer, load_file(tmp_path / "state.safetensors"), json.loads(json.dumps(plain)))
            for weight in weights:
                weight.grad = weight.detach() * (step + 1)
            optimizer.step()
        return [weight.detach() for weight in weights]

    for whole, resumed in zip(stepped(4), stepped(4, saved_after=2), strict=True):
        assert torch.equal(whole, resumed)


@pytest.mark.parametrize("is_autoencoder", [False, True], ids=["denoiser", "autoencoder"])
def test_batches_in_parts_equal_the_whole_batch(is_autoencoder: bool) -> None:
    """SGD, whose steps are the gradients themselves, so that nothing hides a difference.

    Of the autoencoder's pictures 3 of 8 are decoded from known latents, which parts of a batch share unevenly.
    """
    whole = replace(RECIPE, batch_size=8, optimizer="sgd", learning_rate=0.1, analytic_share=0.35, latent_noise=0.1)
    losses, parts = [], []
    for recipe in (whole, replace(whole, batch_size=2, accumulate=4)):
        if is_autoencoder:
            data = Blocks(length=10, channels=3, fields=("images", "latents"))
            results, autoencoder = finish(train(tiny_vae(), data, recipe, steps=3, seed=1))
            network = autoencoder.subject.autoencoder
        else:
            results, model = finish(train(tiny_model(), Blocks(length=10), recipe, steps=3, seed=1))
            network = model.subject.network
        losses.append([result.loss for result in results])
        parts.append(weights_of(network))

    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    for name, weight in parts[0].items():
        torch.testing.assert_close(parts[1][name], weight, atol=1e-6, rtol=1e-6)


def test_float16_trains_with_a_scale_that_is_saved(tmp_path: Path) -> None:
    recipe = replace(RECIPE, precision="float16")
    whole = trained(recipe, steps=3)
    reference = trained(RECIPE, steps=3)
    trained(recipe, steps=2, folder=tmp_path)

    assert same_weights(trained(recipe, steps=3, folder=tmp_path), whole)
    assert {tensor.dtype for tensor in whole.values()} == {torch.float32}
    assert not same_weights(whole, reference)
    for name, weight in reference.items():
        torch.testing.assert_close(whole[name], weight, atol=5e-3, rtol=0.05)


def test_an_overflow_in_float16_halves_the_scale_and_steps_nothing() -> None:
    precision = MixedPrecision("float16", torch.device("cpu"))
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    before = precision.state()["scale"]
    precision.scaled((weight * float("inf")).sum()).backward()  # type: ignore[no-untyped-call]  # torch's
    precision.unscale(optimizer)
    assert precision.may_overflow()
    precision.step(optimizer)

    assert weight.tolist() == [1, 1]
    assert precision.state()["scale"] == before / 2


def test_gradient_checkpointing_changes_nothing_and_is_over_afterwards() -> None:
    _, done = finish(train(tiny_model(), Blocks(), replace(RECIPE, gradient_checkpointing=True), steps=2, seed=1))
    plain = trained(RECIPE)
    for name, weight in weights_of(done.subject.network).items():
        torch.testing.assert_close(weight, plain[name], atol=1e-6, rtol=1e-5)
    assert not done.subject.network.is_gradient_checkpointing
    finish(train(tiny_vae(), Blocks(channels=3), replace(RECIPE, gradient_checkpointing=True), steps=1, seed=1))


def test_compiled_networks_are_themselves_again_afterwards() -> None:
    network, x = nn.Linear(2, 2), torch.ones(1, 2)
    expected = network(x)
    with compiled([network], backend="eager"):
        assert network._compiled_call_impl is not None
        torch.testing.assert_close(network(x), expected)
    assert network._compiled_call_impl is None
    torch.testing.assert_close(network(x), expected)


@dataclass(frozen=True)
class Spoilt(Blocks):
    """Blocks, of which the pictures of some calls hold no numbers."""

    spoilt: tuple[int, ...] = ()
    calls: Any = None  # Any: a counter, which a frozen value can't hold otherwise

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        self.calls.append(indices)
        examples = super().examples(indices, fields)
        if examples.images is not None and len(self.calls) - 1 in self.spoilt:
            examples.images[:] = float("nan")
        return examples


@dataclass(frozen=True)
class _Nothing:
    """A task whose one layer the tests give gradients themselves."""

    trained: Mapping[str, nn.Module]
    fields: Collection[ExampleField] = ()
    frozen: Mapping[str, nn.Module] = field(default_factory=dict)
    facts: Mapping[str, str | float] = field(default_factory=dict)

    def losses(self, examples: Examples, random: StepRandom) -> dict[str, torch.Tensor]:
        raise NotImplementedError

    def result(self, *, copied: bool = False) -> Finished:
        raise NotImplementedError


@pytest.mark.parametrize("share", [0.5, 1 - 1e-7, 1, 1 + 1e-7, 3, math.inf])
def test_gradients_are_clipped_to_the_bits_that_torch_gives(share: float) -> None:
    layer = nn.Linear(7, 5)
    work = SharedWork(_Nothing({"layer": layer}), torch.device("cpu"), Share())
    gradients = [torch.randn(each.shape, generator=torch.Generator().manual_seed(1)) for each in layer.parameters()]

    def give() -> list[nn.Parameter]:
        for parameter, gradient in zip(layer.parameters(), gradients, strict=True):
            parameter.grad = gradient.clone()
        return list(layer.parameters())

    norm = float(nn.utils.get_total_norm(gradients))
    nn.utils.clip_grad_norm_(give(), share * norm)
    expected = [each.grad for each in layer.parameters()]
    assert work.clip(give(), share * norm) == norm
    for parameter, clipped in zip(layer.parameters(), expected, strict=True):
        assert parameter.grad is not None
        assert clipped is not None
        assert torch.equal(parameter.grad, clipped)


@pytest.mark.parametrize("is_saved", [True, False])
def test_a_diverged_training_rolls_back_and_goes_on_slower(is_saved: bool, tmp_path: Path) -> None:
    recipe = replace(RECIPE, if_diverged="roll_back", checkpoint_every=2)
    data = Spoilt(spoilt=(3, 5), calls=[])  # step 4, and again after going back
    folder = tmp_path if is_saved else None
    results, done = finish(train(tiny_model(), data, recipe, steps=5, seed=1, state_dir=folder))

    again = [3, 3, 4, 5] if is_saved else [1, 1, 2, 3, 4, 5]
    assert [result.step for result in results] == [1, 2, 3, *again]
    assert results[-1].learning_rate == pytest.approx(RECIPE.learning_rate / 4)
    assert len(done.report.losses) == 5
    assert "step 4 the training diverged; it went back to step" in done.report.notices[0]
    assert all(tensor.isfinite().all() for tensor in weights_of(done.subject.network).values())


def test_rolling_back_gives_up_after_a_while() -> None:
    recipe = replace(RECIPE, if_diverged="roll_back")
    data = Spoilt(spoilt=tuple(range(100)), calls=[])
    with pytest.raises(TrainingDiverged, match="rolled back 5 times"):
        finish(train(tiny_model(), data, recipe, steps=2, seed=1))
    assert len(data.calls) == 6
