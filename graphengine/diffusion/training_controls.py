"""Train a ControlNet: the denoiser that it steers stays as it is, and its error tells what the ControlNet should say.

    noisy latents, caption ──┬──▶ ControlNet ◀── hint       trained
                             │        │ adds to each level
                             └──▶ denoiser ──▶ prediction   frozen, but gradients pass through its way up

Source: Zhang et al. 2023, arXiv:2302.05543, eq. 10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn

from graphengine.diffusion.training_denoisers import DenoisingTask, denoiser_checks
from graphengine.diffusion.training_tasks import (
    Finished,
    check_samples,
    config_of,
    finished,
    frozen_copy,
    given,
    trainable_copy,
)
from graphengine.errors import InputError
from graphengine.training_types import Dataset, Examples, Recipe
from graphengine.types import Clip, ControlNet, Model, Vae

_SHARED = {
    "cross_attention_dim": "features of a prompt's token",
    "in_channels": "channels of the latents",
    "block_out_channels": "channels of the levels",
    "layers_per_block": "layers of a level",
    "addition_embed_type": "what is told besides prompts",
}
"""What a ControlNet has in common with the denoisers that it can steer."""


class SteeredDenoiser(nn.Module):
    """A ControlNet in training and the frozen denoiser that it steers, called as the denoiser is, with hints."""

    _supports_gradient_checkpointing = True

    def __init__(self, control_net: nn.Module, denoiser: nn.Module) -> None:
        super().__init__()
        self.control_net = control_net
        self.denoiser = denoiser

    def train(self, mode: bool = True) -> SteeredDenoiser:
        """Train the ControlNet alone: the denoiser predicts as it does when it is used."""
        super().train(mode)
        self.denoiser.eval()
        return self

    def forward(self, noised: Tensor, timestep: Tensor, *, hints: Tensor, **conditions: Any) -> Any:  # Any: diffusers'
        downs, middle = self.control_net(noised, timestep, controlnet_cond=hints, return_dict=False, **conditions)
        return self.denoiser(
            noised,
            timestep,
            down_block_additional_residuals=downs,
            mid_block_additional_residual=middle,
            **conditions,
        )

    def enable_gradient_checkpointing(self) -> None:
        """Keep nothing of what lies within either network's blocks."""
        for network in self._networks:
            network.enable_gradient_checkpointing()

    def disable_gradient_checkpointing(self) -> None:
        """Keep it again."""
        for network in self._networks:
            network.disable_gradient_checkpointing()

    @property
    def _networks(self) -> Sequence[Any]:  # Any: diffusers' networks are untyped
        return self.control_net, self.denoiser


class ControlNetTask(DenoisingTask):
    """Learn to steer a frozen denoiser, as ``DenoisingTask`` trains one.

    Args:
        control_net: What is trained.
        base: The denoiser that it steers.

    Raises:
        InputError: if a dataset's first hint doesn't fit.
    """

    def __init__(
        self,
        control_net: ControlNet,
        base: Model,
        dataset: Dataset,
        recipe: Recipe,
        device: torch.device,
        *,
        clip: Clip | None,
        vae: Vae | None,
    ) -> None:
        self._control_net = control_net
        super().__init__(base, dataset, recipe, device, clip=clip, vae=vae)
        self.fields = [*self.fields, "hints"]
        self._check_first(dataset)

    def result(self, *, copied: bool = False) -> Finished:
        network = finished(self._steered.control_net, copied=copied)
        trained = replace(self._control_net, network=network, source="TrainLoop", training=self._base_facts)
        return Finished(trained)

    @property
    def _steered(self) -> SteeredDenoiser:
        network = self._network
        assert isinstance(network, SteeredDenoiser), "_copies makes one"
        return network

    def _copies(self, device: torch.device) -> dict[str, nn.Module]:
        control_net = trainable_copy(self._control_net.network, device)
        return {
            "network": SteeredDenoiser(control_net, frozen_copy(self._model.network, device, self._recipe.precision))
        }

    def _besides(self, examples: Examples) -> dict[str, Tensor]:
        return {"hints": given(examples.hints, "hints")}

    def _check(self, samples: Tensor, examples: Examples) -> None:
        check_samples(samples, self._steered.denoiser, self._sample_field)
        factor = self._model.latent_factor
        self._check_hints(given(examples.hints, "hints"), (samples.shape[2] * factor, samples.shape[3] * factor))

    def _check_first(self, dataset: Dataset) -> None:
        """Look at one example before the first step."""
        examples = dataset.examples([0], [self._sample_field, "hints"])
        samples = given(getattr(examples, self._sample_field), self._sample_field)
        factor = self._model.latent_factor if self._sample_field == "latents" else 1
        self._check_hints(given(examples.hints, "hints"), (samples.shape[2] * factor, samples.shape[3] * factor))

    def _check_hints(self, hints: Tensor, size: tuple[int, int]) -> None:
        channels = config_of(self._control_net.network).conditioning_channels
        if hints.shape[1] != channels:
            raise InputError(
                "dataset",
                f"its hints have {hints.shape[1]} channels; the ControlNet reads {channels}.",
                f"Train a ControlNet that reads {hints.shape[1]}, such as NewControlNet's for 3.",
            )
        if tuple(hints.shape[2:]) != size:
            raise InputError(
                "dataset",
                f"its hints are {hints.shape[3]} x {hints.shape[2]}, its pictures {size[1]} x {size[0]}.",
                "Give hints of the pictures' size.",
            )


def control_net_checks(
    control_net: ControlNet, base: Model | None, dataset: Dataset, recipe: Recipe, *, clip: Clip | None, vae: Vae | None
) -> Iterator[Callable[[], object]]:
    """Give what raises InputError if a ControlNet can't be trained so, each for a reason of its own."""
    yield lambda: _check_kind(control_net)
    yield lambda: _check_base(control_net, base)
    yield lambda: _check_hinted(dataset)
    if recipe.train_text_encoder:
        yield _refuse_text_encoder
    if base is not None and isinstance(base.network, UNet2DConditionModel):
        alone = replace(recipe, lora=None, word=None, train_text_encoder=False)  # what is asked of the denoiser
        yield from denoiser_checks(base, dataset, alone, clip=clip, vae=vae)


def _check_kind(control_net: ControlNet) -> None:
    if not isinstance(control_net.network, ControlNetModel):
        kind = type(control_net.network).__name__
        raise InputError("model", f"it is a {kind}; only a ControlNetModel is trained.", "Use NewControlNet.")


def _check_base(control_net: ControlNet, base: Model | None) -> None:
    if base is None:
        remedy = "Link the model that the ControlNet is to steer, such as LoadCheckpoint's."
        raise InputError("base", "it is missing: a ControlNet learns before a denoiser.", remedy)
    if not isinstance(base.network, UNet2DConditionModel):
        kind = type(base.network).__name__
        raise InputError("base", f"its network is a {kind}, which can't be steered.", "Choose a Stable Diffusion.")
    if not isinstance(control_net.network, ControlNetModel):
        return
    ours, its = config_of(control_net.network), config_of(base.network)
    differing = [
        f"{what}: {_plain(ours[name])} instead of {_plain(its[name])}"
        for name, what in _SHARED.items()
        if _plain(ours[name]) != _plain(its[name])
    ]
    factor = 2 ** (len(ours.conditioning_embedding_out_channels) - 1)
    if factor != base.latent_factor:
        differing.append(f"pixels of a cell: {factor} instead of {base.latent_factor}")
    if differing:
        raise InputError(
            "base",
            f"the ControlNet {control_net.source!r} is for another family ({'; '.join(differing)}).",
            "Link the model that it was made for, or make one for this model with NewControlNet.",
        )


def _check_hinted(dataset: Dataset) -> None:
    if "hints" not in dataset.fields:
        gives = ", ".join(dataset.fields) or "nothing"
        raise InputError(
            "dataset",
            f"it gives no hints to steer by, only {gives}.",
            "Choose a folder of hints in ImageFolder, a hint_column in ImageTable, link hints to ListDataset, or let "
            "DatasetEdges find edges.",
        )


def _refuse_text_encoder() -> None:
    raise InputError("recipe", "it trains the text encoder, which stays as it is here.", "Turn that off.")


def _plain(value: Any) -> Any:  # Any: a configuration's value, whose lists are tuples until they are saved
    return list(value) if isinstance(value, tuple) else value
