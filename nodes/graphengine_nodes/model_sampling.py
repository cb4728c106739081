"""Say otherwise than a checkpoint how its model is sampled."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graphengine import node
from graphengine.diffusion.options import PredictionChoice
from graphengine.types import Model


@node("ModelSampling", category="sampling")
def model_sampling(
    model: Model,
    prediction: PredictionChoice = "unchanged",
    zero_terminal_snr: bool = False,
    shift: Annotated[float, Field(gt=0, le=100)] | None = None,
) -> Model:
    """Change what a model is taken to predict, or its noise levels, where its file tells them wrongly or not at all.

    Args:
        model: From LoadCheckpoint or LoadUNet.
        prediction: What its network gives: the noise (epsilon), the velocity (v_prediction), the clean sample, or the
            flow from one to the other.
        zero_terminal_snr: Rescale the noise levels so that sampling starts from pure noise; for models trained so,
            which then make darker and brighter pictures.
        shift: For flows: above 1 spends more steps at high noise, as large pictures need; open leaves it as trained.
    """
    from graphengine.diffusion.model_sampling import with_sampling

    return with_sampling(model, prediction, zero_terminal_snr=zero_terminal_snr, shift=shift)
