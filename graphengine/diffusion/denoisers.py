"""From a network's raw output to the denoised estimate that samplers ask for, under guidance.

A model of the variance preserving kind sees ``x / sqrt(1 + sigma^2)`` (Karras et al. 2022, arXiv:2206.00364, table 1,
column "VP") and is told a timestep. With unscaled ``x = data + sigma * noise`` its output gives the data as

    epsilon         denoised = x - sigma * raw
    v_prediction    denoised = x / (1 + sigma^2) - raw * sigma / sqrt(1 + sigma^2)
    sample          denoised = raw

All three are affine in ``raw``, so guiding the raw outputs is guiding the estimates.
Source of v: Salimans & Ho 2022, arXiv:2202.00512.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Any

import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from torch import Tensor

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
        case _:
            raise ValueError(f"a {prediction!r} model has no noise levels")


def denoised_to_raw(prediction: Prediction, denoised: Tensor, x: Tensor, sigma: float) -> Tensor:
    """Undo ``raw_to_denoised``; ``sigma`` above 0.

    Raises:
        ValueError: for ``mixing``, which has no noise levels.
    """
    match prediction:
        case "epsilon":
            return (x - denoised) * (1 / sigma)
        case "v_prediction":
            return (x * (1 / (1 + sigma**2)) - denoised) * (sqrt(1 + sigma**2) / sigma)
        case "sample":
            return denoised
        case _:
            raise ValueError(f"a {prediction!r} model has no noise levels")


@dataclass(frozen=True)
class NetworkInput:
    """One call of a network.

    Attributes:
        x: ``[B, C, h, w]``, or ``[2 B, C, h, w]`` under guidance, in the network's dtype; scaled as it was trained.
        timestep: What the network is told, for the whole batch; may lie between two trained timesteps.
        context: Prompts ``[B or 2 B, T, D]``, negative ones first; None for an unconditional network.
    """

    x: Tensor
    timestep: Tensor
    context: Tensor | None


class Denoiser:
    """One model with its prompts: answers what a sampler asks.

    Answering has three parts, ``prepare``, ``call`` and ``finish``, so that calls of several runs can be joined.

    Args:
        model: Predicting epsilon, v or the sample.
        positive: What is wanted; unconditional models ignore it.
        negative: What is guided away from; as above.
        cfg: Guidance scale; 1 skips the negative prompt and halves the time.
        batch: Items in the latents.
        device: Where the answers are computed; the network is moved there if it is elsewhere.
        sparing: Call the network for one item at a time, which takes least memory.

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
    ) -> None:
        self._sparing = sparing
        check_can_be_sampled(model)
        self.levels = TrainedLevels.of(model.scheduler_config)
        self.prediction = model.prediction
        weight = next(model.network.parameters())
        if weight.device != torch.device(device):  # else spare a walk over all modules
            model.network.to(device)
        self._network: Any = model.network  # Any: its call differs between the two classes, see call()
        self._dtype = weight.dtype
        self._context: Tensor | None = None
        self._cfg = 1.0
        if isinstance(model.network, UNet2DConditionModel):
            self._cfg = cfg
            prompts = {"positive": positive} if cfg == 1 else {"negative": negative, "positive": positive}
            self._context = _context(model, prompts, batch).to(device, self._dtype)

    def __call__(self, ask: Ask) -> Tensor:
        """Answer one request in one call of the network, in the request's dtype.

        Raises:
            InputError: if the network gives something that is not a finite number.
        """
        return self.finish(ask, self.call(self.prepare(ask)))

    def prepare(self, ask: Ask) -> NetworkInput:
        """Lay out the network's input for a request."""
        x, timestep = ask.x, ask.timestep
        if ask.want == "denoised":
            x = x * (1 / sqrt(1 + ask.sigma**2))
        if timestep is None:
            timestep = torch.tensor(self.levels.timestep(ask.sigma), dtype=torch.float32)
        x = x.to(self._dtype)
        return NetworkInput(x if self._cfg == 1 else torch.cat([x, x]), timestep, self._context)

    def call(self, given: NetworkInput) -> Tensor:
        """Run the network."""
        if self._sparing and len(given.x) > 1:
            count = len(given.x)
            contexts = [None] * count if given.context is None else given.context.chunk(count)
            items = zip(given.x.chunk(count), contexts, strict=True)
            return torch.cat([self.call(NetworkInput(x, given.timestep, context)) for x, context in items])
        named = {} if given.context is None else {"encoder_hidden_states": given.context}
        output: Tensor = self._network(given.x, given.timestep, **named, return_dict=False)[0]
        return output

    def finish(self, ask: Ask, output: Tensor) -> Tensor:
        """Guide the network's output, and give what was asked for."""
        raw = output.to(ask.x.dtype)
        if self._cfg != 1:
            unconditional, conditional = raw.chunk(2)
            raw = unconditional + self._cfg * (conditional - unconditional)
        if not isfinite(raw.sum().item()):  # one pass; a NaN or an infinity anywhere shows in the sum
            raise InputError(
                "model",
                f"the network's output at noise level {ask.sigma:.4g} holds NaN or infinite values.",
                "In half precision this is an overflow: load the model in float32 or bfloat16. "
                "Otherwise its weights may be damaged, or cfg too large.",
            )
        return raw if ask.want == "raw" else raw_to_denoised(self.prediction, raw, ask.x, ask.sigma)

    def preview(self, ask: Ask, answer: Tensor) -> Tensor:
        """Give the denoised estimate behind an answer, whatever was asked for."""
        if ask.want == "denoised":
            return answer
        return raw_to_denoised(self.prediction, answer, ask.x * sqrt(1 + ask.sigma**2), ask.sigma)


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
    if not isinstance(model.network, UNet2DConditionModel | UNet2DModel):
        raise InputError(
            "model",
            f"its network is a {type(model.network).__name__}.",
            "Sampling works for UNet2DConditionModel and UNet2DModel.",
        )
    config: Any = model.network.config  # Any: diffusers builds configurations at run time
    if (config.in_channels, config.out_channels) != (model.latent_channels, model.latent_channels):
        raise InputError(
            "model",
            f"its network takes {config.in_channels} channels and gives {config.out_channels}, "
            f"for latents of {model.latent_channels}.",
            "Inpainting checkpoints and learned variances can't be sampled here; choose a plain checkpoint.",
        )
    if config.get("addition_embed_type") not in (None, "text"):  # "text" pools the prompt itself
        raise InputError(
            "model",
            f"its network wants more than the prompt (addition_embed_type {config.addition_embed_type!r}).",
            "Choose a checkpoint of the Stable Diffusion 1 or 2 family.",
        )


def _context(model: Model, prompts: dict[str, Conditioning], batch: int) -> Tensor:
    """Join the prompts' embeddings, each repeated over the batch: ``[len(prompts) * B, T, D]``."""
    config: Any = model.network.config  # Any: diffusers builds configurations at run time
    width = config.cross_attention_dim
    for name, prompt in prompts.items():
        items, _, features = prompt.parts[0].embedding.shape
        if isinstance(width, int) and features != width:
            raise InputError(
                name,
                f"the prompt has {features} features a token, and the model takes {width}.",
                "Encode it with the text encoder of the model's own checkpoint.",
            )
        if items not in (1, batch):
            raise InputError(
                name,
                f"{items} prompts don't fit {batch} latents.",
                f"Give one prompt for all, or {batch}.",
            )
    lengths = {name: prompt.parts[0].embedding.shape[1] for name, prompt in prompts.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(
            "negative",
            f"it has {lengths['negative']} tokens, and the positive prompt {lengths['positive']}.",
            "Encode both to the same length.",
        )
    return torch.cat([prompt.parts[0].embedding.expand(batch, -1, -1) for prompt in prompts.values()])
