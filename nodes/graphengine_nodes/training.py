"""Train networks: the loop, its recipe, and what to watch it by."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, NamedTuple, TypeVar

from pydantic import Field

from graphengine import Body, Context, InputError, Subgraph, Widget, node
from graphengine.diffusion.memory import training_memory
from graphengine.training_types import (
    Dataset,
    LearningRateSchedule,
    Lora,
    LoraRecipe,
    LossName,
    LossWeighting,
    ObjectiveRecipe,
    OptimizerName,
    OptimizerRecipe,
    Precision,
    Recipe,
    Report,
    WordRecipe,
)
from graphengine.types import Clip, ControlNet, Image, LearnedVectors, Model, Vae
from graphengine_nodes.inputs import RareShare, Seed, Share
from graphengine_nodes.training_checks import needs_clip

if TYPE_CHECKING:
    from graphengine.diffusion.training import StepResult, Trained
    from graphengine.diffusion.training_record import TrainingRecord

Subject = TypeVar("Subject", Model, Vae, Clip, ControlNet)
NotNegative = Annotated[float, Field(ge=0)]


class TrainLoopOutputs(NamedTuple, Generic[Subject]):
    """What a training gives.

    Attributes:
        model: What was trained, of the kind that was given.
        clip: The text encoder: trained along or taught a word if the recipe says so, else the one given.
        lora: What was trained, for SaveLora, if the recipe asks for a LoRA; model and clip have it in them.
        report: Loss, learning rate and gradient norm of each step.
        word: The word that was learnt, for SaveEmbedding, if the recipe asks for one; clip understands it.
    """

    model: Subject
    clip: Clip | None
    lora: Lora | None
    report: Report
    word: LearnedVectors | None


@node(
    "TrainLoop",
    category="training",
    device="gpu",
    memory=training_memory,
    body=Body(input="watch", supplies=("model", "clip", "vae", "step", "base"), outputs=False),
    refine=needs_clip,
    devices="devices",
)
def train_loop(
    ctx: Context,
    model: Subject,
    dataset: Dataset,
    recipe: Recipe,
    steps: Annotated[int, Field(ge=1, le=100_000_000)] = 1000,
    seed: Seed = 0,
    clip: Clip | None = None,
    vae: Vae | None = None,
    name: str = "",
    held_out: Dataset | None = None,
    watch: Subgraph | None = None,
    look_every: Annotated[int, Field(ge=1), Widget("number", advanced=True)] = 500,
    base: Model | None = None,
    devices: Annotated[int, Field(ge=1, le=64), Widget("number", advanced=True)] = 1,
    tensorboard: Annotated[bool, Widget("checkbox", advanced=True)] = False,
    **inputs: Any,  # Any: what the watching sub-graph asks for besides
) -> TrainLoopOutputs:  # type: ignore[type-arg]  # a node's return annotation names the class; Subject is a socket
    """Train a denoiser, an autoencoder, a text encoder or a ControlNet.

    Stopping the run saves the training's state first; running the same workflow again continues from there, with the
    same result as if it had not stopped. Captions longer than the text encoder reads are cut. What is measured is kept
    in metrics.jsonl beside the state, in state/training of the data folder.

    Args:
        model: What to train: a model, a vae, a clip or a ControlNet. It is copied; the one linked stays as it is.
        dataset: Examples to learn from: pictures, and captions for a model that reads text.
        recipe: How to train, from TrainRecipe.
        steps: Steps in all, those of earlier runs included.
        seed: Decides the order of examples, noise and dropout: the same seed gives the same weights.
        clip: The text encoder of a model that reads captions.
        vae: The autoencoder that gives latents, where the dataset has only pictures.
        name: Name of the saved state, to find it again. Left empty, each different training has its own.
        held_out: Examples that are not trained on, such as SplitDataset's, to see whether what is learnt holds for
            them too: their loss is measured every so many steps, with the same noise each time.
        watch: A sub-graph to run every so many steps, such as one that samples pictures and saves them. Its inputs
            model, clip, vae and step are given what was trained up to then, and base this node's, as far as it declares
            them; its other inputs become inputs of this node. Numbers among its outputs are drawn beside the loss.
        look_every: Steps between looks at the training, by held_out and by watch. The last step has one too.
        base: For a ControlNet, the model that it learns to steer, which stays as it is; the dataset gives hints.
        devices: GPUs to train on, each with batches of batch_size of its own. So 2 train as 1 does with twice the
            batch_size, in about half the time, and one can go on where the other stopped.
        tensorboard: Keep what is measured, and the pictures among watch's outputs, for TensorBoard too, whose package
            has to be installed: tensorboard --logdir state/training, in the data folder.
    """
    from graphengine.diffusion.training import train
    from graphengine.diffusion.training_devices import choose_devices
    from graphengine.diffusion.training_record import TrainingRecord

    chosen = choose_devices(devices, ctx.settings.device, ctx.settings.devices)
    record = TrainingRecord(tensorboard=tensorboard)
    training = train(
        model,
        dataset,
        recipe,
        steps=steps,
        seed=seed,
        clip=clip,
        vae=vae,
        state_dir=lambda key: record.open(ctx.state_folder(f"training/{name or key}")),
        device=ctx.device,
        held_out=held_out,
        look_every=look_every,
        base=base,
        devices=chosen,
        scratch=ctx.settings.data / "temporary",
    )
    look = None if watch is None else partial(_look, ctx, watch, {"clip": clip, "vae": vae, "base": base} | inputs)
    with closing(record), ctx.saving_when_stopped(), closing(training):  # a Stop raises here; closing saves the state
        trained = _follow(ctx, training, record, look)
    return TrainLoopOutputs(trained.subject, trained.clip or clip, trained.lora, trained.report, trained.word)


@train_loop.check
def _name_stays_inside(name: Any) -> None:  # Any: a literal
    parts = PurePosixPath(str(name).replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts:
        raise InputError("name", f"{name!r} leads out of the folder of trainings.", "Give a name such as 'my_cat'.")


def _follow(
    ctx: Context,
    training: Generator[StepResult, None, Trained[Any]],  # Any: of each kind
    record: TrainingRecord,
    look: Callable[[StepResult], Mapping[str, Any]] | None,  # Any: sockets' values
) -> Trained[Any]:
    """Run a training to its end, reporting each step."""
    first = began = 0.0
    while True:
        try:
            result = next(training)
        except StopIteration as end:
            trained: Trained[Any] = end.value
            return trained
        measured = _measured(result)
        if began == 0 or result.step <= first:  # the first step is no measure of the others; or it was rolled back
            first, began = result.step, time.monotonic()
        else:
            pace = (time.monotonic() - began) / (result.step - first)  # looks and saved states included
            measured["eta_s"] = round(pace * (result.steps - result.step), 1)
        record.measured(result.step, measured)
        for notice in (*result.notices, *record.take_notices()):
            ctx.warn(notice)
        ctx.report(result.step, **measured)
        ctx.report_progress(result.step, result.steps)
        if look is not None and result.is_look_due:
            seen = look(result)
            record.pictured(result.step, seen)
            numbers = {name: float(value) for name, value in seen.items() if isinstance(value, int | float)}
            if numbers:
                record.measured(result.step, numbers)
                ctx.report(result.step, **numbers)


def _measured(result: StepResult) -> dict[str, float]:
    measured = {
        "loss": result.loss,
        "learning_rate": result.learning_rate,
        "grad_norm": result.grad_norm,
        "items_per_s": result.items_per_s,
    }
    if result.held_out_loss is not None:
        measured["held_out_loss"] = result.held_out_loss
    if len(result.parts) > 1:
        measured |= {f"loss_{part}": value for part, value in result.parts.items()}
    return measured | dict(result.bands)


def _look(ctx: Context, watch: Subgraph, inputs: Mapping[str, Any], result: StepResult) -> Mapping[str, Any]:
    """Run the watching sub-graph on what was trained up to now; give what comes out."""  # Any: sockets' values
    trained = result.so_far()
    known = {**inputs, "model": trained.subject, "step": result.step}
    if trained.clip is not None:
        known["clip"] = trained.clip
    declared = {each.name for each in watch.inputs}
    given = {name: value for name, value in known.items() if name in declared and value is not None}
    return ctx.run_subgraph(watch, f"step{result.step}", **given)


@node("TrainRecipe", category="training", outputs="recipe")
def train_recipe(
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 32,
    optimizer: OptimizerName = "adamw",
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-4,
    lr_schedule: LearningRateSchedule = "constant",
    warmup_steps: Annotated[int, Field(ge=0)] = 0,
    weight_decay: Annotated[NotNegative, Widget("number", advanced=True)] = 0.01,
    max_grad_norm: Annotated[NotNegative, Widget("number", advanced=True)] = 1.0,
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    loss: Annotated[LossName, Widget("select", advanced=True)] = "mse",
    loss_weighting: Annotated[LossWeighting, Widget("select", advanced=True)] = "none",
    min_snr_gamma: Annotated[float, Field(gt=0), Widget("number", advanced=True)] = 5.0,
    caption_dropout: Share = 0.1,
    train_text_encoder: bool = False,
    kl_weight: Annotated[NotNegative, Widget("number", advanced=True)] = 1e-6,
    latent_weight: Annotated[NotNegative, Widget("number", advanced=True)] = 1.0,
    latent_noise: Annotated[NotNegative, Widget("number", advanced=True)] = 0.0,
    analytic_share: RareShare = 0.5,
    precision: Precision = "float32",
    attention: Annotated[Literal["default", "manual"], Widget("select", advanced=True)] = "default",
    checkpoint_every: Annotated[int, Field(ge=1), Widget("number", advanced=True)] = 500,
    checkpoint_minutes: Annotated[NotNegative, Widget("number", advanced=True)] = 10.0,
    keep_checkpoints: Annotated[int, Field(ge=1), Widget("number", advanced=True)] = 2,
    data_workers: Annotated[int, Field(ge=0, le=64), Widget("number", advanced=True)] = 2,
    lora: LoraRecipe | None = None,
    objective: ObjectiveRecipe | None = None,
    optimizer_options: OptimizerRecipe | None = None,
    text_encoder_rate: Annotated[float, Field(ge=0, le=1), Widget("number", advanced=True)] = 0.0,
    accumulate: Annotated[int, Field(ge=1, le=65_536), Widget("number", advanced=True)] = 1,
    if_diverged: Annotated[Literal["stop", "roll_back"], Widget("select", advanced=True)] = "stop",
    gradient_checkpointing: Annotated[bool, Widget("checkbox", advanced=True)] = False,
    compile: Annotated[bool, Widget("checkbox", advanced=True)] = False,
    word: WordRecipe | None = None,
) -> Recipe:
    """Choose how to train.

    Args:
        batch_size: Examples a step; where there are fewer, each comes more often.
        optimizer: adamw decays the weights apart from the gradient, adam within it. sgd and adafactor take less memory,
            lion wants a third of the learning rate. prodigy (at learning_rate 1) and adamw_8bit need packages of their
            own; custom takes any class, from OptimizerRecipe.
        learning_rate: The highest learning rate, reached after the warm-up.
        lr_schedule: After the warm-up: constant, or down to 0 at the last step along a cosine, several of them, a line
            or a power. Only constant lets a training be given more steps later.
        warmup_steps: Steps over which the learning rate rises from 0.
        weight_decay: How strongly weights are drawn to 0.
        max_grad_norm: Gradients are scaled down to this norm; 0 leaves them alone.
        ema_decay: The result is a moving average of the weights; 0.998 averages about 500 steps, 0 gives the last ones.
        loss: How far a prediction is from its target: squared (mse), absolute (l1), or squared up to 1 (huber).
        loss_weighting: none, sqrt_one_minus_alphas (noisy examples count more), min_snr and soft_min_snr (nearly clean
            ones less), debiased, p2 or edm as published, whatever is predicted; sigma_sqrt and cosmap for flows.
        min_snr_gamma: The cap of min_snr and soft_min_snr.
        caption_dropout: Share of captions replaced by the empty one, which a cfg above 1 needs.
        train_text_encoder: Train the text encoder along with the model; a T5 among several stays as it is.
        kl_weight: Autoencoders, where the dataset has no latents: weight of the divergence from a unit Gaussian.
        latent_weight: Autoencoders, where the dataset has latents: weight of the distance to them.
        latent_noise: Autoencoders: the decoder sees latents with noise of up to this standard deviation.
        analytic_share: Autoencoders: share of pictures decoded from the dataset's latents, not from the encoder's.
        precision: bfloat16 is faster where the processor has it, float16 on older GPUs; what is trained stays float32.
            What a LoRA leaves as it is then stays in the precision that it was loaded in, and takes half the memory.
        attention: manual is faster to train with on some CPUs, default on others; the result is used as usual.
        checkpoint_every: Steps between saved states. Does not change the result.
        checkpoint_minutes: A state is also saved when so many minutes have passed; 0 never. Does not change the result.
        keep_checkpoints: Saved states that are kept. Does not change the result.
        data_workers: Threads that read pictures ahead; 0 reads them between steps. Does not change the result.
        lora: Train small changes of a model instead of all its weights, from LoraRecipe.
        objective: Which noise a model is shown, and how its errors count, from ObjectiveRecipe.
        optimizer_options: Numbers of the optimizer and the learning rate's course, from OptimizerRecipe.
        text_encoder_rate: The own learning rate of the text encoder, where it is trained, and of a word; 0 for that of
            the model.
        accumulate: Batches that make up one step, as one batch so many times as large would, in the memory of one.
        if_diverged: When the loss is no number any more: stop, or roll_back to the last saved state and go on at half
            the learning rate, up to five times.
        gradient_checkpointing: Takes less memory and about a third more time. Does not change the result.
        compile: Make kernels for this model first, which takes minutes and pays off on GPUs. Changes only rounding.
        word: Teach a word by pictures, from WordRecipe: only its vectors are trained, and the lora if there is one.
    """
    return Recipe(
        batch_size=batch_size,
        optimizer=optimizer,
        learning_rate=learning_rate,
        lr_schedule=lr_schedule,
        warmup_steps=warmup_steps,
        weight_decay=weight_decay,
        max_grad_norm=max_grad_norm,
        ema_decay=ema_decay,
        loss=loss,
        loss_weighting=loss_weighting,
        min_snr_gamma=min_snr_gamma,
        caption_dropout=caption_dropout,
        train_text_encoder=train_text_encoder,
        kl_weight=kl_weight,
        latent_weight=latent_weight,
        latent_noise=latent_noise,
        analytic_share=analytic_share,
        precision=precision,
        attention=attention,
        checkpoint_every=checkpoint_every,
        checkpoint_minutes=checkpoint_minutes,
        keep_checkpoints=keep_checkpoints,
        data_workers=data_workers,
        lora=lora,
        objective=objective,
        optimizer_options=optimizer_options,
        text_encoder_rate=text_encoder_rate,
        accumulate=accumulate,
        if_diverged=if_diverged,
        gradient_checkpointing=gradient_checkpointing,
        compile=compile,
        word=word,
    )


@node("LossPlot", category="training")
def loss_plot(
    report: Report,
    smoothing: Annotated[float, Field(ge=0, lt=1), Widget("slider", step=0.01)] = 0.98,
    width: Annotated[int, Field(ge=64, le=8192)] = 640,
    height: Annotated[int, Field(ge=64, le=8192)] = 400,
) -> Image:
    """Draw a training's loss over its steps.

    Args:
        report: From TrainLoop.
        smoothing: Decay of the moving average drawn over the losses; 0 draws the losses only.
        width: Of the picture, in pixels.
        height: Of the picture, in pixels.
    """
    from graphengine.diffusion.plots import plot_losses

    return plot_losses(report, smoothing=smoothing, width=width, height=height)


@node("ComparePlot", category="training")
def compare_plot(
    reports: list[Report],
    smoothing: Annotated[float, Field(ge=0, lt=1), Widget("slider", step=0.01)] = 0.98,
    width: Annotated[int, Field(ge=64, le=8192)] = 960,
    height: Annotated[int, Field(ge=64, le=8192)] = 400,
) -> Image:
    """Draw the losses of several trainings over each other; each is named by what it was given that others weren't.

    Args:
        reports: Of trainings, from TrainLoop by JoinLists, or of one TrainLoop that ran for each item of a list.
        smoothing: Decay of the moving average that is drawn; 0 draws the losses themselves.
        width: Of the picture, in pixels.
        height: Of the picture, in pixels.
    """
    from graphengine.diffusion.plots import compare_losses

    return compare_losses(reports, smoothing=smoothing, width=width, height=height)
