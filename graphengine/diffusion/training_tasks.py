"""What can be trained: each task holds its own copies of the weights, and turns a batch into a loss."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import torch
from diffusers import SD3Transformer2DModel, UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from graphengine.diffusion.step_random import StepRandom
from graphengine.errors import InputError
from graphengine.training_types import Dataset, ExampleField, Examples, Lora, Precision
from graphengine.types import Clip, ControlNet, LearnedVectors, Model, Vae

Trainable = Model | Vae | Clip | ControlNet


@dataclass(frozen=True)
class Finished:
    """What came of a task.

    Attributes:
        subject: What was trained, of the kind that was given.
        clip: The text encoder, if it was trained along.
        lora: The changes alone, if only those were trained.
        word: What was trained of a word; the clip knows it.
    """

    subject: Trainable
    clip: Clip | None = None
    lora: Lora | None = None
    word: LearnedVectors | None = None


class TrainingTask(Protocol):
    """A thing to train, as the loop sees it; the loop decides mode and precision, a task holds no random state."""

    @property
    def fields(self) -> Collection[ExampleField]:
        """What it asks of the dataset."""

    @property
    def trained(self) -> Mapping[str, nn.Module]:
        """The modules whose weights change, by name; copies, in float32, of which all that require gradients are."""

    @property
    def frozen(self) -> Mapping[str, nn.Module]:
        """The modules it only calls, by name."""

    @property
    def facts(self) -> Mapping[str, str | float]:
        """What else decides its losses, besides the recipe and the weights."""

    def losses(self, examples: Examples, random: StepRandom) -> Mapping[str, Tensor]:
        """Give the parts of the loss, each already weighted; their sum is what falls."""

    def result(self, *, copied: bool = False) -> Finished:
        """Give what was trained.

        Args:
            copied: Leave the networks as they are, as the training goes on.
        """


def trainable_copy(module: nn.Module, device: torch.device) -> nn.Module:
    """Copy a module to train it, in float32; the original may be in use elsewhere, or a mapped file."""
    return copy.deepcopy(module).to(device).float().requires_grad_(True)


def frozen_on(module: nn.Module, device: torch.device, precision: Precision = "float32") -> nn.Module:
    """Give a module to call on a device, as ``frozen_copy`` does; the module itself where it fits."""
    kept = _kept_as_loaded(module, precision)
    tensors = [*module.parameters(), *(each for each in module.buffers() if each.is_floating_point())]
    fits = all(each.device == device and (each.dtype == torch.float32 or id(each) in kept) for each in tensors)
    return module if fits else frozen_copy(module, device, precision)


Network = TypeVar("Network", bound=nn.Module)


def frozen_copy(network: Network, device: torch.device, precision: Precision = "float32") -> Network:
    """Copy a network's modules to call or adapt them, and its weights only as far as they aren't as needed.

    They are float32. A training in half precision computes what linear and convolutional layers do in it anyway, so the
    weights of these stay as they were loaded where that is half precision too: the same results in half the memory.
    """
    kept = _kept_as_loaded(network, precision)
    moved: dict[int, Any] = {  # Any: what deepcopy takes for copied
        id(weight): nn.Parameter(
            weight.detach().to(device, weight.dtype if id(weight) in kept else torch.float32), requires_grad=False
        )
        for weight in network.parameters()
    }
    for buffer in network.buffers():
        moved[id(buffer)] = buffer.to(device, torch.float32 if buffer.is_floating_point() else buffer.dtype)
    return copy.deepcopy(network, moved)


def _kept_as_loaded(network: nn.Module, precision: Precision) -> Collection[int]:
    """Give the identities of the weights that needn't be float32."""
    if precision == "float32":
        return ()
    layers = (each for each in network.modules() if isinstance(each, nn.Linear | nn.Conv2d))
    return {id(each.weight) for each in layers if each.weight.dtype in (torch.bfloat16, torch.float16)}


def finished(module: nn.Module, *, copied: bool = False) -> nn.Module:
    """Make a trained module, or a copy of it, ready for use: on the CPU, in eval mode, without gradients."""
    module = copy.deepcopy(module) if copied else module
    return module.to("cpu").eval().requires_grad_(False)


def config_of(module: nn.Module) -> Any:  # Any: diffusers' and transformers' configurations are untyped
    """Give a network's configuration."""
    return module.config


def given(value: Tensor | None, field: ExampleField) -> Tensor:
    """Return a batch's field, which the dataset promised."""
    if value is None:
        raise InputError("dataset", f"it promised {field!r} but a batch came without.", "Correct the dataset's fields.")
    return value


def choose_fields(
    dataset: Dataset, wanted: Sequence[ExampleField], purpose: str, *, name: str = "dataset"
) -> Sequence[ExampleField]:
    """Check that a dataset can give what a task needs.

    Args:
        name: The input that gives the dataset.

    Raises:
        InputError: naming what it lacks.
    """
    missing = [field for field in wanted if field not in dataset.fields]
    if missing:
        raise InputError(
            name,
            f"{purpose} needs {' and '.join(missing)}; this dataset gives {', '.join(dataset.fields) or 'nothing'}.",
            "Choose a dataset that gives them.",
        )
    return wanted


def fields_that_count(dataset: Dataset) -> Sequence[ExampleField]:
    """Choose of what a dataset gives besides: how much places and examples count."""
    fields: tuple[ExampleField, ...] = ("mask", "weights")
    return [each for each in fields if each in dataset.fields]


def mask_at(examples: Examples, size: torch.Size) -> Tensor | None:
    """Give a batch's mask at another height and width, ``[B, 1, h, w]``; None if all places count."""
    return None if examples.mask is None else functional.interpolate(examples.mask, size, mode="area")


def mean_error(errors: Tensor, examples: Examples) -> Tensor:
    """Average errors ``[B]`` or ``[B, C, h, w]`` over places and examples as far as these count."""
    mask = mask_at(examples, errors.shape[2:]) if errors.ndim > 1 else None
    if mask is not None:
        errors = errors * mask
    if examples.weights is None:
        return errors.mean()
    return (
        (errors.flatten(1).mean(1) * examples.weights).mean() if errors.ndim > 1 else (errors * examples.weights).mean()
    )


def on_device(examples: Examples, device: torch.device) -> Examples:
    """Move a batch's tensors to a device; labels stay, their tasks move them."""

    def moved(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.to(device)

    return replace(
        examples,
        images=moved(examples.images),
        latents=moved(examples.latents),
        mask=moved(examples.mask),
        weights=moved(examples.weights),
        sizes=moved(examples.sizes),
        embeddings=moved(examples.embeddings),
        pooled=moved(examples.pooled),
        hints=moved(examples.hints),
    )


def check_samples(samples: Tensor, network: nn.Module, what: str) -> None:
    """Refuse a batch whose channels or size the network can't work on.

    Raises:
        InputError: naming what it has and what is needed.
    """
    config = config_of(network)
    expected = config.in_channels
    if samples.shape[1] != expected:
        raise InputError(
            "dataset",
            f"its {what} have {samples.shape[1]} channels; the network reads {expected}.",
            f"Choose a dataset with as many, or make the network with {samples.shape[1]}.",
        )
    if isinstance(network, UNet2DConditionModel):
        return  # it pads odd sizes itself
    if isinstance(network, SD3Transformer2DModel):
        _check_patches(samples, config, what)
        return
    multiple = 2 ** (len(config.get("block_out_channels", (1, 1, 1))) - 1)  # BasicUNet has three levels
    if any(side % multiple for side in samples.shape[2:]):
        height, width = samples.shape[2:]
        raise InputError(
            "dataset",
            f"its {what} are {width} x {height}; the network halves them {multiple.bit_length() - 1} times.",
            f"Choose a size that is a multiple of {multiple}.",
        )


def _check_patches(samples: Tensor, config: Any, what: str) -> None:  # Any: diffusers' configuration, untyped
    side: int = config.patch_size
    most = side * config.pos_embed_max_size
    height, width = samples.shape[2:]
    if height % side or width % side or max(height, width) > most:
        raise InputError(
            "dataset",
            f"its {what} are {width} x {height}; the network reads patches of {side} x {side}, and no more than {most} "
            "along a side.",
            f"Choose sizes that are multiples of {side} and at most {most}.",
        )


def digest_of(module: nn.Module, *, as_float32: bool = False) -> str:
    """Hash a module's weights with their names and shapes.

    Args:
        as_float32: Give the same for weights of the same values in half precision.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, given in sorted(module.state_dict().items()):
        tensor = given.float() if as_float32 and given.is_floating_point() else given
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@contextmanager
def manual_attention(modules: Collection[nn.Module]) -> Iterator[None]:
    """Write attention out in matrix products for this block, as the backward pass of SDPA is slow on some CPUs.

    Measured on one core each, training the embedded model's denoiser: SDPA's backward pass took 46 % of a step on one
    processor; on another (AMD EPYC) a step with SDPA was 11 % shorter. So it is a choice.

    Raises:
        InputError: if a network's attention is of another kind.
    """
    if any(isinstance(module, SD3Transformer2DModel) for module in modules):
        raise InputError(
            "recipe", "its attention can't be manual for transformers.", "Choose attention default in TrainRecipe."
        )
    layers: list[Any] = [  # Any: diffusers is untyped
        layer for module in modules for layer in module.modules() if isinstance(layer, Attention)
    ]
    encoders: list[Any] = [module for module in modules if isinstance(module, PreTrainedModel)]  # Any: as above
    processors = [layer.processor for layer in layers]
    implementations = [encoder.config._attn_implementation for encoder in encoders]
    for layer in layers:
        layer.set_processor(AttnProcessor())
    for encoder in encoders:
        encoder.set_attn_implementation("eager")
    try:
        yield
    finally:
        for layer, processor in zip(layers, processors, strict=True):
            layer.set_processor(processor)
        for encoder, implementation in zip(encoders, implementations, strict=True):
            encoder.set_attn_implementation(implementation)
