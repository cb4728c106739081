"""One training between its steps: what changes while it runs, and how to save and restore that."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor

from graphengine.diffusion.batch_feed import BatchFeed
from graphengine.diffusion.batch_order import PartedOrder, make_order
from graphengine.diffusion.dataset_numbers import groups_of
from graphengine.diffusion.step_random import StepRandom, derive_seed, seeded_globally
from graphengine.diffusion.training_bands import Banded
from graphengine.diffusion.training_devices import Share, SharedOrder, SharedWork
from graphengine.diffusion.training_identity import identity_of
from graphengine.diffusion.training_optimizers import make_optimizer, make_schedule, optimizer_state, restore_optimizer
from graphengine.diffusion.training_precision import MixedPrecision
from graphengine.diffusion.training_state import TrainingState
from graphengine.diffusion.training_tasks import Finished, TrainingTask, on_device
from graphengine.errors import GraphEngineError
from graphengine.training_types import Dataset, Examples, Recipe, Report

_MOST_HELD_OUT = 256  # examples that held-out losses are measured on
_BANDS_EVERY = 10  # steps; a batch has few examples in each band, and taking them waits for the device
_HISTORY = ("losses", "learning_rates", "grad_norms")


class TrainingDiverged(GraphEngineError):
    """The loss or its gradients are no longer numbers."""


@dataclass(frozen=True)
class StepResult:
    """One step of a training.

    Attributes:
        step: Steps done, this one included.
        steps: Steps in all.
        parts: What the loss is the sum of, by name.
        learning_rate: That this step used.
        grad_norm: The gradients' norm before clipping.
        items_per_s: Examples a second, averaged over the last steps.
        so_far: Gives a copy of what was trained up to here, to be called before the next step.
        held_out_loss: Over examples that are not trained on, if it was measured after this step.
        is_look_due: Whether ``look_every`` steps have passed, or all.
        notices: What the user should know since the last step, such as a state that could not be saved.
        bands: After some of the steps, the loss by how noisy the examples were, see LossBands.
    """

    step: int
    steps: int
    loss: float
    parts: Mapping[str, float]
    learning_rate: float
    grad_norm: float
    items_per_s: float
    so_far: Callable[[], Finished] = field(repr=False)
    held_out_loss: float | None = None
    is_look_due: bool = False
    notices: tuple[str, ...] = ()
    bands: Mapping[str, float] = field(default_factory=dict)


class TrainingRun:
    """A task with its optimizer, schedule and moving average, after some number of steps.

    Args:
        share: What this process does of it; all of it by default.

    Attributes:
        step: Steps done.
        identity: What decides the weights; see StateFolder.
    """

    def __init__(
        self,
        task: TrainingTask,
        dataset: Dataset,
        recipe: Recipe,
        *,
        steps: int,
        seed: int,
        device: torch.device,
        share: Share | None = None,
    ) -> None:
        share = self._share = share or Share()
        self._task = task
        self._recipe = recipe
        self._steps = steps
        self._seed = seed
        self._device = device
        self.step = 0
        self._batch_size = recipe.batch_size * share.count  # of all devices
        as_one = replace(recipe, batch_size=self._batch_size)
        self.identity = identity_of(task, dataset, as_one, steps=steps, seed=seed)
        self._precision = MixedPrecision(recipe.precision, device)
        order = make_order(dataset, self._batch_size * recipe.accumulate, seed)
        self._feed = BatchFeed(
            dataset,
            SharedOrder(PartedOrder(order, parts=recipe.accumulate * share.count), share),
            task.fields,
            workers=recipe.data_workers,
            steps=steps * recipe.accumulate,
        )
        for module in task.trained.values():
            module.train()
        self._work = SharedWork(task, device, share)
        self._optimizer = make_optimizer(task.trained, recipe)
        self._parameters = [each for group in self._optimizer.param_groups for each in group["params"]]
        self._schedule = make_schedule(self._optimizer, recipe, steps)
        self._average: Any = None  # Any: diffusers is untyped
        if recipe.ema_decay > 0:
            self._average = EMAModel(self._parameters, decay=recipe.ema_decay, foreach=True)
        self._history: dict[str, list[float]] = {name: [] for name in _HISTORY}
        self._held_out: dict[int, float] = {}
        self._notices: list[str] = []
        self._unseen_notices: list[str] = []
        self._seconds_per_step = 0.0

    @property
    def key(self) -> str:
        """A hash of the identity."""
        text = json.dumps(self.identity, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def advance(self) -> StepResult:
        """Do one step.

        Raises:
            TrainingDiverged: before the step changes any weight.
        """
        started = time.perf_counter()
        losses = self._backward()
        self._precision.unscale(self._optimizer)
        # The first number read of the step: until then a GPU is given work without a wait.
        grad_norm = self._work.clip(self._parameters, self._recipe.max_grad_norm or math.inf)
        parts = self._work.means(_mean_parts(losses))
        loss = sum(parts.values())
        self._check_finite("loss", loss)  # on all devices, or on none
        if math.isfinite(grad_norm) or not self._precision.may_overflow():
            self._check_finite("gradient", grad_norm)
        else:
            grad_norm = 0.0  # nothing is stepped
        learning_rate = float(self._schedule.get_last_lr()[0])
        self._precision.step(self._optimizer)
        self._schedule.step()
        self._optimizer.zero_grad()
        if self._average:
            self._average.step(self._parameters)
        self.step += 1
        for name, value in zip(_HISTORY, (loss, learning_rate, grad_norm), strict=True):
            self._history[name].append(value)
        examples = self._batch_size * self._recipe.accumulate
        return StepResult(
            step=self.step,
            steps=self._steps,
            loss=loss,
            parts=parts,
            learning_rate=learning_rate,
            grad_norm=grad_norm,
            items_per_s=examples / self._smooth(time.perf_counter() - started),
            so_far=self.so_far,
            notices=self._take_notices(),
            bands=self._take_bands(),
        )

    def _backward(self) -> Sequence[Mapping[str, Tensor]]:
        """Add up the gradients of a step's batches; give the parts of each one's loss, still on the device."""
        count = self._recipe.accumulate
        all_losses: list[Mapping[str, Tensor]] = []
        with seeded_globally(self._dropout_seed, self._device):
            for number in range(count):
                examples = self._batch(number)
                part = number * self._share.count + self._share.rank
                random = StepRandom(self._seed, self.step, self._device, part=part, parts=count * self._share.count)
                is_last = number == count - 1
                with nullcontext() if is_last else self._work.apart():
                    with self._precision.autocast():
                        losses = self._work.losses(examples, random)
                        loss = torch.stack(list(losses.values())).sum() / count
                    self._work.backward(self._precision.scaled(loss))
                all_losses.append({name: value.detach() for name, value in losses.items()})
        return all_losses

    @property
    def _dropout_seed(self) -> int:
        others = (self._share.rank,) if self._share.rank else ()  # each device drops other things
        return derive_seed(self._seed, "dropout", self.step, *others)

    def held_out_loss(self, held_out: Dataset) -> float:
        """Measure the mean loss over examples that are not trained on, by the moving average if there is one.

        Noise, timesteps and dropped captions are the same each time, so that what changes is what was learnt.
        """
        seed = derive_seed(self._seed, "held out")
        total = count = 0.0
        with self._averaged(), _evaluating(self._task.trained.values()):
            for number, indices in enumerate(_batches(held_out, self._batch_size)):
                examples = on_device(held_out.examples(indices, self._task.fields), self._device)
                with seeded_globally(seed, self._device), self._precision.autocast():
                    parts = self._task.losses(examples, StepRandom(seed, number, self._device))
                total += float(torch.stack(list(parts.values())).sum()) * len(indices)
                count += len(indices)
        loss = total / count
        self._held_out[self.step] = loss
        return loss

    def note(self, notice: str | None) -> None:
        """Add something that the user should know, to the next step's result and to the report."""
        if notice:
            self._notices.append(notice)
            self._unseen_notices.append(notice)

    def outcome(self) -> TrainingState:
        """Give what has come of it so far; the tensors are the live ones, so write them before the next step."""
        tensors: dict[str, Tensor] = {}
        for name, module in self._task.trained.items():
            tensors |= {f"weights/{name}/{key}": tensor for key, tensor in _changing(module).items()}
        if self._average:
            tensors |= {f"average/{index}": tensor for index, tensor in enumerate(self._average.shadow_params)}
        for name, history in self._history.items():
            tensors[f"history/{name}"] = torch.tensor(history, dtype=torch.float64)
        if self._held_out:
            tensors["history/held_out"] = torch.tensor(list(self._held_out.items()), dtype=torch.float64)
        return TrainingState(self.step, tensors, {"notices": self._notices})

    def adopt(self, outcome: TrainingState) -> None:
        """Take over what has come of a training with the same identity."""
        for name, module in self._task.trained.items():
            # Not strict: weights that don't change aren't saved; the identity holds that they are the same.
            module.load_state_dict(_below(f"weights/{name}/", outcome.tensors), strict=False)
        if self._average:
            averages = [outcome.tensors[f"average/{index}"] for index in range(len(self._parameters))]
            self._average.shadow_params = [average.to(self._device) for average in averages]
            self._average.optimization_step = outcome.step
        self._history = {name: outcome.tensors[f"history/{name}"].tolist() for name in _HISTORY}
        held_out = outcome.tensors["history/held_out"].tolist() if "history/held_out" in outcome.tensors else []
        self._held_out = {int(step): loss for step, loss in held_out}  # none from after a state that was rolled back to
        notices: Any = outcome.settings["notices"]  # Any: parsed JSON
        self._notices = list(notices)
        self.step = outcome.step

    def state(self) -> TrainingState:
        """Give all that the next step needs; the tensors are the live ones, so write them before it."""
        outcome = self.outcome()
        optimizer_tensors, optimizer_settings = optimizer_state(self._optimizer)
        tensors = {f"optimizer/{name}": tensor for name, tensor in optimizer_tensors.items()}
        schedule = {name: value for name, value in self._schedule.state_dict().items() if name != "lr_lambdas"}
        settings = {"schedule": schedule, "scale": self._precision.state(), **outcome.settings}
        return TrainingState(self.step, {**outcome.tensors, **tensors}, settings | optimizer_settings)

    def restore(self, state: TrainingState) -> None:
        """Continue from a state of a training with the same identity."""
        self.adopt(state)
        saved: Any = state.settings  # Any: parsed JSON
        restore_optimizer(self._optimizer, _below("optimizer/", state.tensors), saved)
        lambdas = [None] * len(self._optimizer.param_groups)
        self._schedule.load_state_dict(saved["schedule"] | {"lr_lambdas": lambdas})
        self._precision.restore(saved.get("scale", {}))
        self._optimizer.zero_grad()

    def wait(self) -> None:
        """Wait until all processes of the group are here."""
        self._work.wait()

    def lower_rate(self, factor: float) -> None:
        """Multiply the learning rate of all steps from here on."""
        self._schedule.base_lrs = [rate * factor for rate in self._schedule.base_lrs]
        for group in self._optimizer.param_groups:
            group["lr"] *= factor
            group["initial_lr"] *= factor
        self._schedule._last_lr = [group["lr"] for group in self._optimizer.param_groups]

    def finish(self) -> None:
        """Put the moving average, if there is one, in the place of the last weights."""
        if self._average:
            self._average.copy_to(self._parameters)

    def so_far(self) -> Finished:
        """Give a copy of what was trained up to here."""
        with self._averaged():
            return self._task.result(copied=True)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Have the moving average, if there is one, in the place of the last weights within the block."""
        if self._average is None:
            yield
            return
        self._average.store(self._parameters)
        self._average.copy_to(self._parameters)
        try:
            yield
        finally:
            self._average.restore(self._parameters)

    def summary(self) -> Mapping[str, str]:
        """Tell what decided the weights, by name, as texts."""
        return {name: str(value) for name, value in {**self.identity, "steps": self.step}.items()}

    def close(self) -> None:
        """Stop reading data ahead."""
        self._feed.close()

    def report(self) -> Report:
        """Tell what the training went through."""
        losses, learning_rates, grad_norms = (tuple(self._history[name]) for name in _HISTORY)
        notices, held_out = tuple(self._notices), dict(self._held_out)
        return Report(self.step, losses, learning_rates, grad_norms, notices, held_out, self.summary())

    def _batch(self, part: int) -> Examples:
        return on_device(self._feed.take(self.step * self._recipe.accumulate + part), self._device)

    def _check_finite(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            raise TrainingDiverged(
                f"the {what} is {value} at step {self.step + 1:,}; the weights are still those of step {self.step:,}.\n"
                "  Choose a lower learning_rate, more warmup_steps or a smaller max_grad_norm, and precision float32; "
                "then train again from the start."
            )

    def _smooth(self, seconds: float) -> float:
        before = self._seconds_per_step or seconds
        self._seconds_per_step = 0.9 * before + 0.1 * seconds
        return self._seconds_per_step

    def _take_bands(self) -> Mapping[str, float]:
        if self.step % _BANDS_EVERY and self.step != self._steps:
            return {}
        return self._task.bands.take() if isinstance(self._task, Banded) else {}

    def _take_notices(self) -> tuple[str, ...]:
        taken = tuple(self._unseen_notices)
        self._unseen_notices.clear()
        return taken


def _mean_parts(losses: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
    """Read the parts of a step's losses; give their means over its batches."""
    values: list[float] = torch.stack([value for each in losses for value in each.values()]).tolist()
    totals: dict[str, float] = {}
    for name, value in zip((name for each in losses for name in each), values, strict=True):
        totals[name] = totals.get(name, 0.0) + value / len(losses)
    return totals


@contextmanager
def _evaluating(modules: Collection[torch.nn.Module]) -> Iterator[None]:
    """Call networks without training them within the block."""
    for module in modules:
        module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in modules:
            module.train()


def _batches(dataset: Dataset, batch_size: int) -> Iterator[Sequence[int]]:
    """Give the numbers of the first examples in batches that may share a size."""
    left = _MOST_HELD_OUT
    for group in groups_of(dataset) or [range(_MOST_HELD_OUT)]:  # endless ones have none
        for start in range(0, min(len(group), left), batch_size):
            yield group[start : min(start + batch_size, left)]
        left -= min(len(group), left)


def _changing(module: torch.nn.Module) -> dict[str, Tensor]:
    """Give a module's state without the weights that stay as they are."""
    still = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    return {name: tensor for name, tensor in module.state_dict().items() if name not in still}


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
