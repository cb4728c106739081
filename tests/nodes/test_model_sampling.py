from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from graphengine.authoring.testing import run_node
from graphengine.diffusion.objectives import alphas_cumprod
from graphengine.errors import InputError
from graphengine.types import Model
from graphengine_nodes.model_sampling import model_sampling
from tests.diffusion.tiny_checkpoint import tiny_model


def changed(model: Model, **inputs: Any) -> Model:  # Any: the node's inputs
    result: Model = run_node(model_sampling, model=model, **inputs)
    return result


def test_a_prediction_is_what_it_is_said_to_be_and_the_network_stays() -> None:
    model = tiny_model()
    result = changed(model, prediction="v_prediction")
    assert (result.prediction, result.scheduler_config["prediction_type"]) == ("v_prediction", "v_prediction")
    assert result.network is model.network
    assert model.prediction == "epsilon"
    assert changed(model) == replace(model, scheduler_config={**model.scheduler_config})


def test_zero_terminal_snr_leaves_no_signal_at_the_last_level_and_the_first_as_it_was() -> None:
    model = tiny_model()
    before = alphas_cumprod(model.scheduler_config)
    after = alphas_cumprod(changed(model, zero_terminal_snr=True).scheduler_config)
    assert before[-1] > 1e-4
    assert after[-1] == 0
    torch.testing.assert_close(after[0], before[0])


def test_a_flow_has_the_shift_that_is_wanted() -> None:
    flow = changed(tiny_model(), prediction="flow")
    assert flow.scheduler_config["shift"] == 3.0
    assert changed(flow, shift=5.0).scheduler_config["shift"] == 5.0
    assert changed(flow).scheduler_config["shift"] == 3.0


@pytest.mark.parametrize(
    ("model", "inputs", "name"),
    [
        (tiny_model(), {"shift": 2.0}, "shift"),
        (tiny_model(), {"prediction": "flow", "zero_terminal_snr": True}, "zero_terminal_snr"),
        (replace(tiny_model(), prediction="flow"), {"prediction": "epsilon"}, "prediction"),
        (replace(tiny_model(), prediction="mixing"), {}, "model"),
    ],
)
def test_contradictions_are_refused_at_their_input(model: Model, inputs: dict[str, Any], name: str) -> None:
    with pytest.raises(InputError, match=f"input '{name}'"):
        changed(model, **inputs)
