"""Try a training before it starts: how long its steps take, how much memory, and whether its set-up learns at all.

The self-test trains on a single batch: a set-up in which anything is wrong, such as captions that don't fit the model,
a frozen part or a learning rate of the wrong size, can't even learn that by heart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import psutil
import torch

from graphengine.diffusion.batch_order import make_order
from graphengine.diffusion.training import Subject, train
from graphengine.training_types import Dataset, ExampleField, Examples, Recipe
from graphengine.types import Clip, Model, Vae

__all__ = ["Trial", "try_training"]

_LEARNT = 0.7  # of the first loss; noise moves a mean over a batch by less
_GB = 1e9


@dataclass(frozen=True)
class Trial:
    """What a few steps showed.

    Attributes:
        seconds_per_step: The median of the steps after the first, which prepares things.
        memory_bytes: The most that was held at once: on a GPU by torch, else by what the process grew.
        steps: That the training is to have.
        first_loss: Of the self-test, after its first step; None if it was not asked for.
        last_loss: Of the same examples with the same noise, after its last step.
    """

    seconds_per_step: float
    memory_bytes: int
    steps: int
    first_loss: float | None = None
    last_loss: float | None = None

    @property
    def seconds(self) -> float:
        """How long all steps would take."""
        return self.seconds_per_step * self.steps

    @property
    def learns(self) -> bool:
        """Whether the self-test's loss fell clearly; True without a self-test."""
        return self.first_loss is None or self.last_loss is None or self.last_loss < _LEARNT * self.first_loss

    @property
    def summary(self) -> str:
        """Tell it in sentences."""
        sentences = [
            f"{self.steps:,} steps of {self.seconds_per_step:.3g} s take about {_as_time(self.seconds)} "
            f"and {self.memory_bytes / _GB:.2g} GB."
        ]
        if self.first_loss is not None and self.last_loss is not None:
            fell = f"the loss of one batch went from {self.first_loss:.4g} to {self.last_loss:.4g}"
            verdict = "The set-up learns" if self.learns else "The set-up does not learn"
            remedy = "" if self.learns else " Look at the captions; try another learning rate and more steps."
            sentences.append(f"{verdict}: {fell}.{remedy}")
        return " ".join(sentences)


def try_training(
    subject: Subject,
    dataset: Dataset,
    recipe: Recipe,
    *,
    steps: int,
    seed: int,
    clip: Clip | None = None,
    vae: Vae | None = None,
    base: Model | None = None,
    device: torch.device | str = "cpu",
    trial_steps: int = 3,
    overfit_steps: int = 0,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> Trial:
    """Do a few steps of a training and throw their result away.

    Args:
        trial_steps: That are timed, ≥ 1.
        overfit_steps: Steps of the self-test; 0 for none.
        watch: Told after each step how many of how many are done; what it raises ends the trial.

    Raises:
        InputError: as ``train`` does.
        TrainingDiverged: as ``train`` does.
    """
    device = torch.device(device)
    total = 1 + trial_steps + overfit_steps
    memory = _MemoryWatch(device)
    seconds: list[float] = []
    training = train(
        subject, dataset, recipe, steps=1 + trial_steps, seed=seed, clip=clip, vae=vae, device=device, base=base
    )
    with closing(training):
        began = time.perf_counter()
        for result in training:
            memory.look()
            seconds.append(time.perf_counter() - began)
            watch(result.step, total)
            began = time.perf_counter()
    trial = Trial(sorted(seconds[1:])[trial_steps // 2], memory.most_bytes, steps)
    if not overfit_steps:
        return trial
    batch = _OneBatch(dataset, make_order(dataset, recipe.batch_size, seed).indices(0))
    plain = replace(recipe, lr_schedule="constant", warmup_steps=0, ema_decay=0.0, caption_dropout=0.0)
    training = train(
        subject, batch, plain, steps=overfit_steps, seed=seed, clip=clip, vae=vae, device=device,
        held_out=batch, look_every=1, base=base,
    )  # fmt: skip
    losses: list[float] = []
    with closing(training):
        for result in training:
            losses += [] if result.held_out_loss is None else [result.held_out_loss]
            watch(1 + trial_steps + result.step, total)
    return replace(trial, first_loss=losses[0], last_loss=losses[-1])


class _OneBatch:
    """A dataset of one batch's examples, each as that batch has it; of endless datasets and random crops too."""

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self._dataset = dataset
        self._indices = list(dict.fromkeys(indices))
        self.length = len(self._indices)
        self.fields: Collection[ExampleField] = dataset.fields
        self.digest = f"one batch of {dataset.digest}"

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        return self._dataset.examples([self._indices[index] for index in indices], fields)


class _MemoryWatch:
    """Notes the most memory that is held while something runs."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self.most_bytes = 0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def look(self) -> None:
        """Look now."""
        if self._device.type == "cuda":
            self.most_bytes = torch.cuda.max_memory_allocated(self._device)
        else:
            self.most_bytes = max(self.most_bytes, self._process.memory_info().rss - self._before)


def _as_time(seconds: float) -> str:
    return " ".join(_time_parts(seconds))


def _time_parts(seconds: float) -> Iterator[str]:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        yield f"{hours} h"
    if minutes:
        yield f"{minutes} min"
    if not hours and (rest or not minutes):
        yield f"{rest} s"
