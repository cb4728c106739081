"""From a guider to what answers a sampler's requests.

Besides a prompt against another (``Denoiser`` itself), a guider may have three: with ``n``, ``m`` and ``p`` for the
estimates under the negative, the middle and the positive prompt, and ``g`` and ``h`` for the scales of positive and
middle, the estimate is

    regular    n + h (m - n) + g (p - m)
    nested     n + h (m + g (p - m) - n)

Source of the first: InstructPix2Pix, Brooks et al. 2023, arXiv:2211.09800, eq. 3.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from graphengine.diffusion.denoisers import Denoiser, RunSteps
from graphengine.diffusion.samplers import Ask
from graphengine.diffusion.schedules import TrainedLevels
from graphengine.types import Conditioning, Guider


class Answerer(Protocol):
    """What answers a sampler's requests."""

    @property
    def levels(self) -> TrainedLevels:
        """The noise levels that the model was trained at."""

    def __call__(self, ask: Ask) -> Tensor:
        """Answer one request."""

    def preview(self, ask: Ask, answer: Tensor) -> Tensor:
        """Give the denoised estimate behind an answer, whatever was asked for."""


def answerer_for(guider: Guider, *, batch: int, device: torch.device | str, sparing: bool, steps: RunSteps) -> Answerer:
    """Make ready what a guider describes, for a batch of latents.

    Raises:
        InputError: as ``Denoiser`` does.
    """
    if guider.middle is not None:
        return DualDenoiser(guider, batch=batch, device=device, sparing=sparing, steps=steps)
    negative = guider.positive if guider.negative is None else guider.negative
    cfg = 1.0 if guider.negative is None else guider.cfg
    return Denoiser(
        guider.model, guider.positive, negative, cfg=cfg, batch=batch, device=device, sparing=sparing, steps=steps
    )


class DualDenoiser:
    """A model guided by three prompts; answers with one call of the network for each."""

    def __init__(
        self, guider: Guider, *, batch: int, device: torch.device | str, sparing: bool, steps: RunSteps
    ) -> None:
        assert guider.middle is not None and guider.negative is not None, "without them there is nothing dual"  # noqa: PT018 - one invariant

        def alone(prompt: Conditioning, *, is_negative: bool = False) -> Denoiser:
            return Denoiser(
                guider.model, prompt, prompt, cfg=1, batch=batch, device=device, sparing=sparing, steps=steps,
                is_negative=is_negative,
            )  # fmt: skip

        self._negative = alone(guider.negative, is_negative=True)
        self._middle, self._positive = alone(guider.middle), alone(guider.positive)
        self._guider = guider
        self.levels = self._positive.levels

    def __call__(self, ask: Ask) -> Tensor:
        """Answer one request; what is affine in the raw output may be guided after it, so any may be asked for."""
        negative, middle, positive = self._negative(ask), self._middle(ask), self._positive(ask)
        towards_positive = self._guider.cfg * (positive - middle)
        if self._guider.nested:
            return negative + self._guider.middle_cfg * (middle + towards_positive - negative)
        return negative + self._guider.middle_cfg * (middle - negative) + towards_positive

    def preview(self, ask: Ask, answer: Tensor) -> Tensor:
        """Give the denoised estimate behind an answer, whatever was asked for."""
        return self._positive.preview(ask, answer)
