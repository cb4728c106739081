"""The training loop: a generator of step results, so that whoever runs it decides when to show, pause or stop.

Everything random is a function of the seed and the step, and so is the place in the data. A training that stops after
any step and resumes from its saved state therefore gives the same weights, bit for bit on the CPU, as one that did not.

    training = train(model, dataset, recipe, steps=1000, seed=0, state_dir=folder)
    for result in training: ...          # closing the generator saves the state, then stops
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar, cast

import torch

from graphengine.diffusion.step_random import derive_seed, seeded_globally
from graphengine.diffusion.training_autoencoder import AutoencoderTask
from graphengine.diffusion.training_checks import check_training
from graphengine.diffusion.training_controls import ControlNetTask
from graphengine.diffusion.training_denoisers import DenoisingTask, MixingTask
from graphengine.diffusion.training_devices import Share, check_group
from graphengine.diffusion.training_group import steps_in_group
from graphengine.diffusion.training_precision import compiled, gradient_checkpointing
from graphengine.diffusion.training_recovery import Recovery
from graphengine.diffusion.training_run import StepResult, TrainingDiverged, TrainingRun
from graphengine.diffusion.training_state import StateFolder, TrainingStateError
from graphengine.diffusion.training_tasks import Trainable, TrainingTask, choose_fields, manual_attention
from graphengine.diffusion.training_text import TextTask
from graphengine.errors import InputError
from graphengine.training_types import Dataset, Lora, Recipe, Report
from graphengine.types import Clip, ControlNet, LearnedVectors, Model, Vae

__all__ = ["StepResult", "Trained", "TrainingDiverged", "TrainingStateError", "train"]

Subject = TypeVar("Subject", Model, Vae, Clip, ControlNet)


@dataclass(frozen=True)
class Asked:
    """What a training is asked to do; see ``train``."""

    subject: Trainable
    dataset: Dataset
    recipe: Recipe
    steps: int
    seed: int
    clip: Clip | None = None
    vae: Vae | None = None
    held_out: Dataset | None = None
    look_every: int = 500
    base: Model | None = None

    def check(self) -> None:
        """Refuse what can't be trained so, see ``check_training``."""
        check_training(
            self.subject,
            self.dataset,
            self.recipe,
            self.steps,
            clip=self.clip,
            vae=self.vae,
            held_out=self.held_out,
            base=self.base,
        )

    def begin(self, device: torch.device, share: Share | None = None) -> tuple[TrainingTask, TrainingRun]:
        """Make the task, and what changes while it is trained; it was checked before.

        Args:
            share: Of a process of several; a device alone has all of it.
        """
        with seeded_globally(derive_seed(self.seed, "new weights")):
            task = _make_task(
                self.subject, self.dataset, self.recipe, device, clip=self.clip, vae=self.vae, base=self.base
            )
        if self.held_out:
            choose_fields(self.held_out, list(task.fields), "Measuring this training", name="held_out")
        run = TrainingRun(task, self.dataset, self.recipe, steps=self.steps, seed=self.seed, device=device, share=share)
        return task, run


@dataclass(frozen=True)
class Trained(Generic[Subject]):
    """What a training gives.

    Attributes:
        subject: A new value of the kind that was given; the one given is unchanged.
        clip: The text encoder, if it was trained along with a denoiser.
        lora: What was trained, if the recipe asks for a LoRA; it is in the subject and clip as well.
        report: What the training went through.
        word: What was trained, if the recipe asks for a word; the clip knows it.
    """

    subject: Subject
    clip: Clip | None
    lora: Lora | None
    report: Report
    word: LearnedVectors | None = None


def train(
    subject: Subject,
    dataset: Dataset,
    recipe: Recipe,
    *,
    steps: int,
    seed: int,
    clip: Clip | None = None,
    vae: Vae | None = None,
    state_dir: Path | Callable[[str], Path] | None = None,
    device: torch.device | str = "cpu",
    held_out: Dataset | None = None,
    look_every: int = 500,
    base: Model | None = None,
    devices: Sequence[str] = (),
    scratch: Path | None = None,
) -> Generator[StepResult, None, Trained[Subject]]:
    """Train a denoiser, an autoencoder, a text encoder or a ControlNet; one result is given after each step.

    Closing the generator (or letting go of it) between steps saves the state, if there is a ``state_dir``, and stops.

    Args:
        subject: What to train. Its weights are copied first.
        dataset: Gives images, and captions, latents or labels if the subject needs them.
        steps: Steps in all, ≥ 1; those that a resumed state has had count.
        seed: Decides batches, noise, timesteps and dropout.
        clip: The text encoder of a denoiser that reads captions; trained along if the recipe says so.
        vae: The frozen autoencoder of a denoiser of latents, for a dataset that has none.
        state_dir: Where states are saved and resumed from, or a function that gives this from the training's key (a
            hash of all that decides the weights); None saves nothing.
        device: Where to compute. The result is on the CPU.
        held_out: Examples to measure the loss on without training on them; changes nothing else.
        look_every: Steps between those measurements, and between results that say so; the last step has one too.
        base: The denoiser that a ControlNet steers; it stays as it is.
        devices: More than one trains in a process for each, which computes a batch of its own; ``device`` is unused.
            The result is that of one device with a batch so many times as large, but for rounding and dropout.
        scratch: Where these processes are given models and data; by default where temporary files go.

    Raises:
        InputError: if dataset, subject and recipe don't fit each other; GraphEngineError where several don't.
        TrainingStateError: if the saved state is of another training or can't be read, or is in use by a training; when
            closed, if the state could not be saved.
        TrainingDiverged: if the loss or its gradients are no longer numbers.
        GroupEnded: if a process of several ends before its time.
    """
    asked = Asked(subject, dataset, recipe, steps, seed, clip, vae, held_out, look_every, base)
    asked.check()
    if len(devices) > 1:
        check_group(devices)
        whole = replace(asked, recipe=replace(recipe, batch_size=recipe.batch_size * len(devices)))
        task, run = whole.begin(torch.device("cpu"))  # follows what the group does
    else:
        task, run = asked.begin(torch.device(device))
    place = state_dir(run.key) if callable(state_dir) else state_dir
    folder = StateFolder(place, run.identity, recipe.keep_checkpoints) if place else None
    try:
        if len(devices) > 1:
            yield from steps_in_group(asked, run, devices, place, scratch)
        else:
            yield from take_steps(asked, task, run, folder)
    finally:
        run.close()
    run.finish()
    finished = task.result()
    lora = finished.lora and replace(finished.lora, training={**run.summary(), **finished.lora.training})
    report = run.report()
    report = replace(report, training={**report.training, **_told(base or subject, dataset, held_out)})
    word = finished.word and replace(finished.word, training={**run.summary(), **finished.word.training})
    trained = finished.subject
    if isinstance(trained, ControlNet):
        trained = replace(trained, training={**run.summary(), **trained.training})
    return Trained(cast(Subject, trained), finished.clip, lora, report, word)


def take_steps(
    asked: Asked, task: TrainingTask, run: TrainingRun, folder: StateFolder | None
) -> Generator[StepResult, None, None]:
    """Resume from the newest state, if there is one, and do all steps that are left; closing it saves the state."""
    recipe, steps, held_out = asked.recipe, asked.steps, asked.held_out
    with ExitStack() as stack:
        if folder:
            stack.enter_context(folder.held())
            _resume(run, folder, steps)
        recovery = Recovery(run, folder, steps=steps) if recipe.if_diverged == "roll_back" else None
        saved, saved_at = run.step, time.monotonic()
        if recipe.attention == "manual":
            stack.enter_context(manual_attention(task.trained.values()))
        if recipe.gradient_checkpointing:
            stack.enter_context(gradient_checkpointing(task.trained.values()))
        if recipe.compile:
            stack.enter_context(compiled(task.trained.values()))
        try:
            while run.step < steps:
                result = recovery.advance() if recovery else run.advance()
                if run.step == steps or run.step % asked.look_every == 0:
                    measured = run.held_out_loss(held_out) if held_out else None
                    result = replace(result, is_look_due=True, held_out_loss=measured)
                if folder and _is_save_due(recipe, run.step, steps, minutes=(time.monotonic() - saved_at) / 60):
                    run.note(folder.save(run.state()))
                    saved, saved_at = run.step, time.monotonic()
                yield result
        except (GeneratorExit, InputError) as stopped:  # or a picture went away on the way
            lost = folder.save(run.state()) if folder and saved < run.step else None
            if lost and isinstance(stopped, GeneratorExit):
                raise TrainingStateError(lost) from None
            raise


def _told(subject: Trainable, dataset: Dataset, held_out: Dataset | None) -> Mapping[str, str]:
    """Tell what a training was given, besides what decided its weights."""
    told = {"examples": "endless" if dataset.length is None else f"{dataset.length:,}"}
    if held_out:
        told["held-out examples"] = "endless" if held_out.length is None else f"{held_out.length:,}"
    return told | ({"base model": subject.source} if subject.source else {})


def _resume(run: TrainingRun, folder: StateFolder, steps: int) -> None:
    """Continue from the newest state that is whole, if there is one."""
    state = folder.load(at_most=steps)
    if state:
        run.restore(state)
    for notice in folder.take_damaged():
        run.note(notice)


def _is_save_due(recipe: Recipe, step: int, steps: int, *, minutes: float) -> bool:
    overdue = 0 < recipe.checkpoint_minutes <= minutes
    return step == steps or step % recipe.checkpoint_every == 0 or overdue


def _make_task(
    subject: Trainable,
    dataset: Dataset,
    recipe: Recipe,
    device: torch.device,
    *,
    clip: Clip | None,
    vae: Vae | None,
    base: Model | None,
) -> TrainingTask:
    match subject:
        case Vae():
            return AutoencoderTask(subject, dataset, recipe, device)
        case Clip():
            return TextTask(subject, dataset, device)
        case ControlNet():
            assert base is not None, "check_training refuses that"
            return ControlNetTask(subject, base, dataset, recipe, device, clip=clip, vae=vae)
        case Model(prediction="mixing"):
            return MixingTask(subject, dataset, recipe, device)
        case Model():
            return DenoisingTask(subject, dataset, recipe, device, clip=clip, vae=vae)
