"""Say otherwise than a checkpoint what a model predicts and at which noise levels it was trained."""

from __future__ import annotations

from dataclasses import replace

from graphengine.diffusion.options import PredictionChoice
from graphengine.errors import InputError
from graphengine.types import Model

_FLOW_SCHEDULER = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000}
_DEFAULT_SHIFT = 3.0  # of Stable Diffusion 3


def with_sampling(
    model: Model, prediction: PredictionChoice, *, zero_terminal_snr: bool = False, shift: float | None = None
) -> Model:
    """Give the model with another prediction or other noise levels; its network stays the same.

    Args:
        prediction: What its raw output means; "unchanged" leaves that.
        zero_terminal_snr: Its betas are rescaled so that the last level has no signal left (Lin et al. 2023,
            arXiv:2305.08891).
        shift: Of a flow's noise levels towards more noise: ``t' = shift t / (1 + (shift - 1) t)`` (Esser et al. 2024,
            arXiv:2403.03206, eq. 23).

    Raises:
        InputError: if the wishes contradict each other.
    """
    if model.prediction == "mixing":
        raise InputError("model", "it has no noise levels: it undoes mixing.", "Sample it with MixingSampler.")
    chosen = model.prediction if prediction == "unchanged" else prediction
    if chosen == "flow":
        if zero_terminal_snr:
            raise InputError("zero_terminal_snr", "a flow ends without signal anyway.", "Turn it off.")
        return replace(model, prediction=chosen, scheduler_config=_flow_config(model, shift))
    if shift is not None:
        raise InputError("shift", f"only flows are shifted, and this model predicts {chosen}.", "Leave it open.")
    if model.prediction == "flow":
        raise InputError("prediction", f"a flow's noise levels don't fit {chosen}.", "Leave it unchanged.")
    config = dict(model.scheduler_config) | {"prediction_type": chosen}
    if zero_terminal_snr:
        config |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return replace(model, prediction=chosen, scheduler_config=config)


def _flow_config(model: Model, shift: float | None) -> dict[str, object]:
    config = dict(model.scheduler_config) if model.prediction == "flow" else dict(_FLOW_SCHEDULER)
    wanted = config.get("shift", _DEFAULT_SHIFT) if shift is None else shift
    if shift is not None:
        config["use_dynamic_shifting"] = False
    return config | {"shift": wanted}
