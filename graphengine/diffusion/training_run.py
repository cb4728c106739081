"""One training between its steps: what changes while it runs, and how to save and restore that."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]  # accelerate ships no types
from accelerate.state import AcceleratorState  # type: ignore[import-untyped]  # as above
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer

from graphengine.diffusion.batch_feed import BatchFeed
from graphengine.diffusion.batch_order import make_order
from graphengine.diffusion.step_random import StepRandom, derive_seed, seeded_globally
from graphengine.diffusion.training_state import Identity, TrainingState
from graphengine.diffusion.training_tasks import Finished, TrainingTask, digest_of, on_device
from graphengine.errors import GraphEngineError
from graphengine.training_types import ArrangedDataset, Dataset, Examples, Recipe, Report

# Fields of a Recipe that don't change the weights.
_NOT_IDENTITY = {"checkpoint_every", "checkpoint_minutes", "keep_checkpoints", "data_workers"}
# Those that the identity of states has had from the first.
_FIRST_FIELDS = {
    "batch_size", "optimizer", "learning_rate", "lr_schedule", "warmup_steps", "weight_decay", "max_grad_norm",
    "ema_decay", "loss", "loss_weighting", "min_snr_gamma", "caption_dropout", "train_text_encoder", "kl_weight",
    "latent_weight", "latent_noise", "analytic_share", "precision", "attention",
}  # fmt: skip
_DEFAULTS = {each.name: each.default for each in fields(Recipe)}
_MOST_HELD_OUT = 256  # examples that held-out losses are measured on
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
        notices: What the user should know since the last step, such as a state that could not be saved.
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
    notices: tuple[str, ...] = ()


class TrainingRun:
    """A task with its optimizer, schedule and moving average, after some number of steps.

    Attributes:
        step: Steps done.
        identity: What decides the weights; see StateFolder.
    """

    def __init__(
        self, task: TrainingTask, dataset: Dataset, recipe: Recipe, *, steps: int, seed: int, device: torch.device
    ) -> None:
        self._task = task
        self._recipe = recipe
        self._steps = steps
        self._seed = seed
        self._device = device
        self.step = 0
        self.identity = _identity(task, dataset, recipe, steps=steps, seed=seed)
        self._accelerator = _make_accelerator(device, recipe)
        self._feed = BatchFeed(
            dataset,
            make_order(dataset, recipe.batch_size, seed),
            task.fields,
            workers=recipe.data_workers,
            steps=steps,
        )
        for module in task.trained.values():
            module.train()
        modules = task.trained.values()
        self._parameters = [each for module in modules for each in module.parameters() if each.requires_grad]
        self._optimizer = _make_optimizer(self._parameters, recipe)
        self._schedule: Any = get_scheduler(  # Any: diffusers is untyped
            "constant_with_warmup" if recipe.lr_schedule == "constant" else recipe.lr_schedule,
            self._optimizer,
            num_warmup_steps=recipe.warmup_steps,
            num_training_steps=steps,
        )
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
        examples = self._batch()
        random = StepRandom(self._seed, self.step, self._device)
        with seeded_globally(derive_seed(self._seed, "dropout", self.step), self._device), self._accelerator.autocast():
            parts = self._task.losses(examples, random)
            loss = torch.stack(list(parts.values())).sum()
        self._check_finite("loss", loss.item())
        self._accelerator.backward(loss)
        grad_norm = float(self._accelerator.clip_grad_norm_(self._parameters, self._recipe.max_grad_norm or math.inf))
        self._check_finite("gradient", grad_norm)
        learning_rate = float(self._schedule.get_last_lr()[0])
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad()
        if self._average:
            self._average.step(self._parameters)
        self.step += 1
        for name, value in zip(_HISTORY, (loss.item(), learning_rate, grad_norm), strict=True):
            self._history[name].append(value)
        return StepResult(
            step=self.step,
            steps=self._steps,
            loss=loss.item(),
            parts={name: part.item() for name, part in parts.items()},
            learning_rate=learning_rate,
            grad_norm=grad_norm,
            items_per_s=self._recipe.batch_size / self._smooth(time.perf_counter() - started),
            so_far=self._so_far,
            notices=self._take_notices(),
        )

    def held_out_loss(self, held_out: Dataset) -> float:
        """Measure the mean loss over examples that are not trained on, by the moving average if there is one.

        Noise, timesteps and dropped captions are the same each time, so that what changes is what was learnt.
        """
        seed = derive_seed(self._seed, "held out")
        total = count = 0.0
        with self._averaged(), _evaluating(self._task.trained.values()):
            for number, indices in enumerate(_batches(held_out, self._recipe.batch_size)):
                examples = on_device(held_out.examples(indices, self._task.fields), self._device)
                with seeded_globally(seed, self._device), self._accelerator.autocast():
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

    def state(self) -> TrainingState:
        """Give all that the next step needs; the tensors are the live ones, so write them before it."""
        tensors: dict[str, Tensor] = {}
        for name, module in self._task.trained.items():
            tensors |= {f"weights/{name}/{key}": tensor for key, tensor in _changing(module).items()}
        optimizer = self._optimizer.state_dict()
        for index, values in optimizer["state"].items():
            tensors |= {f"optimizer/{index}/{key}": tensor for key, tensor in values.items()}
        if self._average:
            tensors |= {f"average/{index}": tensor for index, tensor in enumerate(self._average.shadow_params)}
        for name, history in self._history.items():
            tensors[f"history/{name}"] = torch.tensor(history, dtype=torch.float64)
        if self._held_out:
            tensors["history/held_out"] = torch.tensor(list(self._held_out.items()), dtype=torch.float64)
        groups = [_without("params", group) for group in optimizer["param_groups"]]
        schedule = _without("lr_lambdas", self._schedule.state_dict())
        return TrainingState(self.step, tensors, {"groups": groups, "schedule": schedule, "notices": self._notices})

    def restore(self, state: TrainingState) -> None:
        """Continue from a state of a training with the same identity."""
        for name, module in self._task.trained.items():
            # Not strict: weights that don't change aren't saved; the identity holds that they are the same.
            module.load_state_dict(_below(f"weights/{name}/", state.tensors), strict=False)
        fresh = self._optimizer.state_dict()["param_groups"]
        saved: Any = state.settings  # Any: parsed JSON
        self._optimizer.load_state_dict(
            {
                "state": {
                    index: _below(f"optimizer/{index}/", state.tensors) for index in range(len(self._parameters))
                },
                "param_groups": [group | values for group, values in zip(fresh, saved["groups"], strict=True)],
            }
        )
        self._schedule.load_state_dict(saved["schedule"] | {"lr_lambdas": [None] * len(fresh)})
        if self._average:
            averages = [state.tensors[f"average/{index}"] for index in range(len(self._parameters))]
            self._average.shadow_params = [average.to(self._device) for average in averages]
            self._average.optimization_step = state.step
        self._history = {name: state.tensors[f"history/{name}"].tolist() for name in _HISTORY}
        if "history/held_out" in state.tensors:
            self._held_out = {int(step): loss for step, loss in state.tensors["history/held_out"].tolist()}
        self._notices = list(saved["notices"])
        self.step = state.step

    def finish(self) -> None:
        """Put the moving average, if there is one, in the place of the last weights."""
        if self._average:
            self._average.copy_to(self._parameters)

    def _so_far(self) -> Finished:
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
        history = {name: tuple(values) for name, values in self._history.items()}
        return Report(steps=self.step, notices=tuple(self._notices), held_out=dict(self._held_out), **history)

    def _batch(self) -> Examples:
        return on_device(self._feed.take(self.step), self._device)

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

    def _take_notices(self) -> tuple[str, ...]:
        taken = tuple(self._unseen_notices)
        self._unseen_notices.clear()
        return taken


def _identity(task: TrainingTask, dataset: Dataset, recipe: Recipe, *, steps: int, seed: int) -> Identity:
    chosen = recipe_choices(recipe)
    weights = {f"starting weights of {name}": digest_of(module) for name, module in task.trained.items()}
    frozen = {f"weights of {name}": digest_of(module) for name, module in task.frozen.items()}
    # A falling learning rate was planned for a number of steps; a constant one goes on for more.
    planned = {} if recipe.lr_schedule == "constant" else {"steps": steps}
    return {**chosen, **weights, **frozen, **task.facts, **planned, "seed": seed, "dataset": dataset.digest}


def recipe_choices(recipe: Recipe) -> dict[str, str | int | float | bool]:
    """Name what decides the weights of what a recipe chooses.

    Choices that came with later versions aren't named where they are left at their default, so that states saved before
    are still found: such a default must never change.
    """
    plain = {name: value for name, value in vars(recipe).items() if name in _FIRST_FIELDS}
    for name, value in vars(recipe).items():
        if name in _NOT_IDENTITY or name in _FIRST_FIELDS or value == _DEFAULTS[name]:
            continue
        parts = vars(value) if is_dataclass(value) else {"": value}
        plain |= {f"{name} {part}".strip(): _as_plain(each) for part, each in parts.items()}
    return plain


def _as_plain(value: Any) -> str | int | float | bool:  # Any: a recipe's choice, as JSON knows it or nested
    return value if isinstance(value, str | int | float | bool) else json.dumps(value)


def _make_accelerator(device: torch.device, recipe: Recipe) -> Accelerator:
    precision = {"float32": "no", "bfloat16": "bf16"}[recipe.precision]
    # Accelerate keeps the first one's choices for the whole process; a second training may choose otherwise.
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=device.type == "cpu", mixed_precision=precision)


def _make_optimizer(parameters: list[torch.nn.Parameter], recipe: Recipe) -> Optimizer:
    kind = AdamW if recipe.optimizer == "adamw" else Adam
    return kind(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)


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
    groups = dataset.groups if isinstance(dataset, ArrangedDataset) else [range(dataset.length or _MOST_HELD_OUT)]
    left = _MOST_HELD_OUT
    for group in groups:
        for start in range(0, min(len(group), left), batch_size):
            yield group[start : min(start + batch_size, left)]
        left -= min(len(group), left)


def _changing(module: torch.nn.Module) -> dict[str, Tensor]:
    """Give a module's state without the weights that stay as they are."""
    still = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    return {name: tensor for name, tensor in module.state_dict().items() if name not in still}


def _without(name: str, values: Mapping[str, Any]) -> dict[str, Any]:  # Any: an optimizer's settings
    return {key: value for key, value in values.items() if key != name}


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
