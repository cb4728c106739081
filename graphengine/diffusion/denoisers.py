"""From a network's raw output to the denoised estimate that samplers ask for, under guidance.

A model of the variance preserving kind sees ``x / sqrt(1 + sigma^2)`` (Karras et al. 2022, arXiv:2206.00364, table 1,
column "VP") and is told a timestep. With unscaled ``x = data + sigma * noise`` its output gives the data as

    epsilon         denoised = x - sigma * raw
    v_prediction    denoised = x / (1 + sigma^2) - raw * sigma / sqrt(1 + sigma^2)
    sample          denoised = raw
    flow            denoised = (x - sigma * raw) / (1 + sigma)

and a flow (see ``schedules``) sees ``x / (1 + sigma)``. All are affine in ``raw``, so guiding the raw outputs is
guiding the estimates. Source of v: Salimans & Ho 2022, arXiv:2202.00512. Estimates of pictures are cut to their range
where a model's configuration asks for it, as in DDPM: at the noisiest levels of a cosine schedule sigma is some
20,000, and the smallest error of epsilon would be all there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Any

import torch
from diffusers import SD3Transformer2DModel, UNet2DConditionModel, UNet2DModel
from torch import Tensor

from graphengine.diffusion.controls import ControlCall, Controls, residuals
from graphengine.diffusion.image_prompts import ImageCall, ImagePrompts
from graphengine.diffusion.model_prompts import ADDED_CONDITIONS, ModelPrompts, Moments
from graphengine.diffusion.prompt_layout import Call, Layout, Side
from graphengine.diffusion.samplers import Ask
from graphengine.diffusion.schedules import TrainedLevels
from graphengine.errors import InputError
from graphengine.types import Conditioning, Model, Prediction


def raw_to_denoised(prediction: Prediction, raw: Tensor, x: Tensor, sigma: float) -> Tensor:
    """Turn the network's output for unscaled ``x`` at a noise level into the estimate of the data.

    Raises:
        ValueError: for ``mixing``, which has no noise levels.
    """
    match prediction:
        case "epsilon":
            return torch.sub(x, raw, alpha=sigma)
        case "v_prediction":
            return torch.sub(x * (1 / (1 + sigma**2)), raw, alpha=sigma / sqrt(1 + sigma**2))
        case "sample":
            return raw
        case "flow":
            return torch.sub(x, raw, alpha=sigma) * (1 / (1 + sigma))
        case _:
            raise ValueError(f"a {prediction!r} model has no noise levels")


@dataclass(frozen=True)
class NetworkInput:
    """One call of a network.

    Attributes:
        x: ``[n B, C, h, w]``, in the network's dtype; scaled as it was trained, n the prompts that are asked about.
        timestep: What the network is told, for the whole batch; may lie between two trained timesteps.
        conditions: What the network is given besides, by its name there, each ``[n B, ...]``.
        controls: What steers it by pictures.
        images: Which pictures it attends to.
    """

    x: Tensor
    timestep: Tensor
    conditions: Mapping[str, Tensor]
    controls: tuple[ControlCall, ...] = ()
    images: ImageCall | None = None


@dataclass(frozen=True)
class RunSteps:
    """Which steps a run takes of those that its schedule has.

    Attributes:
        first: Counted from 0.
        total: Of the whole schedule.
    """

    first: int
    total: int


class Denoiser:
    """One model with its prompts: answers what a sampler asks.

    Answering has three parts, ``prepare``, ``call`` and ``finish``, so that calls of several runs can be joined. It
    counts the steps that a run has taken, so it serves one run.

    Args:
        model: Predicting epsilon, v or the sample.
        positive: What is wanted; unconditional models ignore it.
        negative: What is guided away from; as above. Where and when none of its parts counts there is no guidance.
        cfg: Guidance scale; 1 skips the negative prompt and halves the time.
        batch: Items in the latents.
        device: Where the answers are computed; the network is moved there if it is elsewhere.
        sparing: Call the network for one item at a time, which takes least memory.
        steps: Which steps are asked about; prompts with schedules go by them.
        is_negative: Whether what it answers is guided away from, by whoever asks.

    Raises:
        InputError: if the model is of another kind, or the prompts do not fit it or the batch.
    """

    def __init__(
        self,
        model: Model,
        positive: Conditioning,
        negative: Conditioning,
        *,
        cfg: float,
        batch: int,
        device: torch.device | str = "cpu",
        sparing: bool = False,
        steps: RunSteps | None = None,
        is_negative: bool = False,
    ) -> None:
        self._sparing = sparing
        check_can_be_sampled(model)
        self.levels = TrainedLevels.of(model.scheduler_config)
        self.prediction = model.prediction
        weight = next(model.network.parameters())
        if weight.device != torch.device(device):  # else spare a walk over all modules
            model.network.to(device)
        self._network: Any = model.network  # Any: its call differs between the classes, see call()
        self._is_transformer = isinstance(model.network, SD3Transformer2DModel)
        self._dtype = weight.dtype
        self._cfg = cfg
        self._range = _picture_range(model)
        sides: dict[Side, Conditioning] = (
            {"positive": positive} if cfg == 1 else {"negative": negative, "positive": positive}
        )
        self._prompts = ModelPrompts(
            model, sides, batch=batch, device=device, dtype=weight.dtype, is_negative=is_negative
        )
        self._moments = Moments(self._prompts.parts, self.levels, steps=1 if steps is None else steps.total)
        self._step = -1 if steps is None else steps.first - 1
        self._layouts: dict[object, Layout] = {}
        self._controls = Controls(model, self.levels, device)
        self._images = ImagePrompts(model, self.levels, device, weight.dtype, hidden=is_negative)

    def __call__(self, ask: Ask) -> Tensor:
        """Answer one request, in the request's dtype.

        Raises:
            InputError: if no positive prompt counts, or the network gives something that is not a finite number.
        """
        layout, inputs = self.prepare(ask)
        return self.finish(ask, layout, [self.call(given) for given in inputs])

    def prepare(self, ask: Ask) -> tuple[Layout, list[NetworkInput]]:
        """Lay out the network's inputs for a request."""
        if not ask.within_step:
            self._step += 1
        layout = self._layout(ask)
        x, timestep = ask.x, ask.timestep
        if ask.want == "denoised":
            x = x * self.levels.scale(ask.sigma)
        if timestep is None:
            timestep = torch.tensor(self.levels.told(ask.sigma), dtype=torch.float32)
        seen = layout.inputs(x.to(self._dtype))
        return layout, [
            NetworkInput(each, timestep, call.conditions, self._controls_of(call, ask), self._images_of(call, ask))
            for each, call in zip(seen, layout.calls, strict=True)
        ]

    def call(self, given: NetworkInput) -> Tensor:
        """Run the network."""
        if self._sparing and len(given.x) > 1:
            return torch.cat([self.call(item) for item in _items(given)])
        added = {name: given.conditions[name] for name in ADDED_CONDITIONS if name in given.conditions}
        named: dict[str, Any] = {name: each for name, each in given.conditions.items() if name not in added}
        if added:
            named["added_cond_kwargs"] = added
        if given.controls:
            context = given.conditions["encoder_hidden_states"]
            named |= residuals(given.controls, given.x, given.timestep, context, added or None)
        network = self._network
        if given.images is not None:
            network, named = self._images.shown(given.images, named)
        if self._is_transformer:
            named["timestep"] = given.timestep.to(given.x.device).expand(len(given.x))
            output: Tensor = network(given.x, **named, return_dict=False)[0]
        else:
            output = network(given.x, given.timestep, **named, return_dict=False)[0]
        return output

    def finish(self, ask: Ask, layout: Layout, outputs: Sequence[Tensor]) -> Tensor:
        """Join and guide the network's outputs, and give what was asked for."""
        sides = layout.joined(outputs, ask.x)
        raw = sides["positive"]
        if layout.guided is not False:
            unconditional = sides["negative"]
            guided = unconditional + self._cfg * (raw - unconditional)
            raw = guided if layout.guided is True else torch.where(layout.guided, guided, raw)
        if not isfinite(raw.sum().item()):  # one pass; a NaN or an infinity anywhere shows in the sum
            raise InputError(
                "model",
                f"the network's output at noise level {ask.sigma:.4g} holds NaN or infinite values.",
                "In half precision this is an overflow: load the model in float32 or bfloat16. "
                "Otherwise its weights may be damaged, or cfg too large.",
            )
        if ask.want == "raw":
            return raw
        denoised = raw_to_denoised(self.prediction, raw, ask.x, ask.sigma)
        return denoised if self._range is None else denoised.clamp(-self._range, self._range)

    def _layout(self, ask: Ask) -> Layout:
        """Give the layout of the parts that count at a request; it is made once."""
        size = (ask.x.shape[-2], ask.x.shape[-1])
        numbers = self._moments.at(ask.sigma, self._step)
        if (numbers, size) not in self._layouts:
            self._layouts[numbers, size] = self._prompts.layout(numbers, size)
        return self._layouts[numbers, size]

    def _controls_of(self, call: Call, ask: Ask) -> tuple[ControlCall, ...]:
        """Give what steers a call at a request."""
        if not call.controls:
            return ()
        size = (ask.x.shape[-2], ask.x.shape[-1])
        windows = [place.window for place in call.places]
        return self._controls.calls(call.controls, windows, size, batch=len(ask.x), sigma=ask.sigma)

    def _images_of(self, call: Call, ask: Ask) -> ImageCall | None:
        """Give the pictures that a call is shown at a request."""
        size = (ask.x.shape[-2], ask.x.shape[-1])
        return self._images.call(call.places, size, batch=len(ask.x), sigma=ask.sigma)

    def preview(self, ask: Ask, answer: Tensor) -> Tensor:
        """Give the denoised estimate behind an answer, whatever was asked for."""
        if ask.want == "denoised":
            return answer
        return raw_to_denoised(self.prediction, answer, ask.x * (1 / self.levels.scale(ask.sigma)), ask.sigma)


def _picture_range(model: Model) -> float | None:
    """Tell how far from 0 estimates may be, for a model of pictures whose configuration cuts them off there."""
    config: Any = model.scheduler_config  # Any: of a scheduler's own types
    if model.latent_factor != 1 or not config.get("clip_sample"):
        return None
    return float(config.get("clip_sample_range", 1.0))


def check_can_be_sampled(model: Model) -> None:
    """Refuse models that the samplers here do not fit.

    Raises:
        InputError: naming what to use instead, where there is something.
    """
    if model.prediction == "mixing":
        raise InputError(
            "model",
            "it was trained to undo mixing with uniform noise, without timesteps, and has no noise levels.",
            "Sample it with the MixingSampler node.",
        )
    if not isinstance(model.network, UNet2DConditionModel | UNet2DModel | SD3Transformer2DModel):
        raise InputError(
            "model",
            f"its network is a {type(model.network).__name__}.",
            "Sampling works for UNet2DConditionModel, UNet2DModel and SD3Transformer2DModel.",
        )
    config: Any = model.network.config  # Any: diffusers builds configurations at run time
    if (config.in_channels, config.out_channels) != (
        model.latent_channels + model.extra_channels,
        model.latent_channels,
    ) or model.extra_channels not in (0, model.latent_channels + 1):
        raise InputError(
            "model",
            f"its network takes {config.in_channels} channels and gives {config.out_channels}, "
            f"for latents of {model.latent_channels}.",
            "Models that learned variances, or that take other pictures besides the latents, can't be sampled here.",
        )
    if config.get("addition_embed_type") not in (None, "text", "text_time"):  # "text" pools the prompt itself
        raise InputError(
            "model",
            f"its network wants more than the prompt (addition_embed_type {config.addition_embed_type!r}).",
            "Choose a checkpoint of the Stable Diffusion family.",
        )


def _items(given: NetworkInput) -> Iterator[NetworkInput]:
    """Divide a call into one for each item."""
    for number in range(len(given.x)):
        one = slice(number, number + 1)
        conditions = {name: each[one] for name, each in given.conditions.items()}
        controls = tuple(call.item(number) for call in given.controls)
        images = None if given.images is None else given.images.item(number)
        yield NetworkInput(given.x[one], given.timestep, conditions, controls, images)
