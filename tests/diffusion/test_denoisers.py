from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel, UNet2DModel
from torch import Tensor, nn

from graphengine.diffusion.denoisers import Denoiser, raw_to_denoised
from graphengine.diffusion.samplers import Ask
from graphengine.errors import InputError
from graphengine.types import Conditioning, Model, Prediction
from tests.diffusion.tiny_checkpoint import tiny_model

PREDICTIONS: list[Prediction] = ["epsilon", "v_prediction", "sample"]


def prompt(seed: int, *, batch: int = 1, tokens: int = 5, features: int = 16) -> Conditioning:
    return Conditioning.of(torch.randn(batch, tokens, features, generator=torch.Generator().manual_seed(seed)))


def latents(batch: int = 2) -> Tensor:
    return torch.randn(batch, 4, 4, 4, generator=torch.Generator().manual_seed(3))


def unconditional_model(channels: int = 3) -> Model:
    torch.manual_seed(0)
    network = UNet2DModel(
        sample_size=8, in_channels=channels, out_channels=channels, layers_per_block=1, block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4, add_attention=False,
    )  # fmt: skip
    return Model(network.eval(), "epsilon", dict(DDPMScheduler().config), channels, 1, "tiny")


class Recording(nn.Module):
    """Wraps a network and keeps what it was called with."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.calls: list[tuple[Tensor, Tensor, Tensor | None]] = []

    def attach(self) -> nn.Module:
        self.network.register_forward_pre_hook(self._record, with_kwargs=True)
        return self.network

    def _record(self, module: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        # Any: what hooks are given
        self.calls.append((positional[0], positional[1], named.get("encoder_hidden_states")))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_ideal_raw_output_gives_the_clean_data(prediction: Prediction) -> None:
    """Definitions of the three kinds in scaled variables: x = a data + s noise with a^2 + s^2 = 1."""
    data, noise, sigma = latents(), latents(5)[:2].flip(0), 3.0
    a, s = 1 / sqrt(1 + sigma**2), sigma / sqrt(1 + sigma**2)
    raw = {"epsilon": noise, "v_prediction": a * noise - s * data, "sample": data}[prediction]
    x = data + sigma * noise
    torch.testing.assert_close(raw_to_denoised(prediction, raw, x, sigma), data)


def test_mixing_models_have_no_noise_levels() -> None:
    x = latents()
    with pytest.raises(ValueError, match="no noise levels"):
        raw_to_denoised("mixing", x, x, 1.0)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_answer_is_guided_from_the_network_at_the_trained_scale_and_timestep(prediction: Prediction) -> None:
    model = tiny_model(prediction=prediction)
    positive, negative, x = prompt(1), prompt(2), latents()
    denoiser = Denoiser(model, positive, negative, cfg=3.0, batch=2)
    sigma = denoiser.levels.sigma(250)
    with torch.no_grad():
        answer = denoiser(Ask(x, sigma))
        raw = [
            model.network(x / sqrt(1 + sigma**2), torch.tensor(250), each.parts[0].embedding.expand(2, -1, -1)).sample
            for each in (negative, positive)
        ]
    guided = raw[0] + 3.0 * (raw[1] - raw[0])
    torch.testing.assert_close(answer, raw_to_denoised(prediction, guided, x, sigma), rtol=1e-4, atol=1e-4)


def test_timestep_between_two_trained_ones_is_passed_on() -> None:
    model = tiny_model()
    recording = Recording(model.network)
    recording.attach()
    denoiser = Denoiser(model, prompt(1), prompt(2), cfg=1.0, batch=2)
    with torch.no_grad():
        denoiser(Ask(latents(), denoiser.levels.sigma(123.25)))
    assert recording.calls[0][1].item() == pytest.approx(123.25, abs=1e-3)


def test_both_prompts_share_one_call_negative_first() -> None:
    model = tiny_model()
    recording = Recording(model.network)
    recording.attach()
    positive, negative = prompt(1), prompt(2)
    with torch.no_grad():
        Denoiser(model, positive, negative, cfg=2.0, batch=2)(Ask(latents(), 1.0))
    ((x, _, context),) = recording.calls
    assert x.shape[0] == 4
    assert context is not None
    expected = torch.cat([negative.parts[0].embedding.expand(2, -1, -1), positive.parts[0].embedding.expand(2, -1, -1)])
    assert torch.equal(context, expected)


def test_cfg_1_leaves_the_negative_prompt_out() -> None:
    model = tiny_model()
    recording = Recording(model.network)
    recording.attach()
    unusable = prompt(2, tokens=9, features=3)  # never looked at
    with torch.no_grad():
        Denoiser(model, prompt(1), unusable, cfg=1.0, batch=2)(Ask(latents(), 1.0))
    ((x, _, context),) = recording.calls
    assert context is not None
    assert x.shape[0] == context.shape[0] == 2


def test_raw_requests_reach_the_network_as_they_are() -> None:
    model = tiny_model()
    recording = Recording(model.network)
    recording.attach()
    x, timestep = latents(), torch.tensor(421)
    with torch.no_grad():
        answer = Denoiser(model, prompt(1), prompt(2), cfg=1.0, batch=2)(Ask(x, 1.0, want="raw", timestep=timestep))
        expected = model.network(
            x, timestep, encoder_hidden_states=prompt(1).parts[0].embedding.expand(2, -1, -1)
        ).sample
    assert recording.calls[0][0] is x
    assert recording.calls[0][1] is timestep
    assert torch.equal(answer, expected)


def test_prompts_as_many_as_latents_go_one_to_each() -> None:
    model, x = tiny_model(), latents()
    both, negative = prompt(1, batch=2), prompt(2)
    with torch.no_grad():
        together = Denoiser(model, both, negative, cfg=2.0, batch=2)(Ask(x, 1.0))
        second = Denoiser(model, Conditioning.of(both.parts[0].embedding[1:]), negative, cfg=2.0, batch=1)(
            Ask(x[1:], 1.0)
        )
    torch.testing.assert_close(together[1:], second)


def test_unconditional_models_ignore_prompts() -> None:
    model = unconditional_model()
    recording = Recording(model.network)
    recording.attach()
    x = torch.randn(2, 3, 8, 8)
    unusable = prompt(1, batch=7, features=3)
    with torch.no_grad():
        denoiser = Denoiser(model, unusable, unusable, cfg=5.0, batch=2)
        answer = denoiser(Ask(x, 1.0))
    assert answer.shape == x.shape
    assert [call[0].shape[0] for call in recording.calls] == [2]


def test_half_precision_networks_are_asked_and_answered_in_float32() -> None:
    model = tiny_model()
    model = replace(model, network=model.network.to(torch.bfloat16))
    with torch.no_grad():
        answer = Denoiser(model, prompt(1), prompt(2), cfg=2.0, batch=2)(Ask(latents(), 1.0))
    assert answer.dtype == torch.float32


def test_preview_of_a_raw_answer_is_its_denoised_estimate() -> None:
    denoiser = Denoiser(tiny_model(), prompt(1), prompt(2), cfg=2.0, batch=2)
    x, sigma = latents(), denoiser.levels.sigma(300)
    scaled = Ask(x / sqrt(1 + sigma**2), sigma, want="raw", timestep=torch.tensor(300))
    with torch.no_grad():
        preview = denoiser.preview(scaled, denoiser(scaled))
        torch.testing.assert_close(preview, denoiser(Ask(x, sigma)), rtol=1e-4, atol=1e-4)


def test_output_that_is_not_a_number_is_an_error_that_says_so() -> None:
    model = tiny_model()
    with torch.no_grad():
        next(iter(model.network.parameters())).fill_(float("nan"))
        with pytest.raises(InputError, match=r"output at noise level 1\.5 holds NaN") as caught:
            Denoiser(model, prompt(1), prompt(2), cfg=2.0, batch=2)(Ask(latents(), 1.5))
    assert caught.value.input == "model"


@pytest.mark.parametrize(
    ("positive", "negative", "wrong_input", "message"),
    [
        (prompt(1, batch=3), prompt(2), "positive", "3 prompts don't fit 2 latents"),
        (prompt(1), prompt(2, batch=3), "negative", "3 prompts don't fit 2 latents"),
        (prompt(1, features=24), prompt(2), "positive", "24 features a token, and the model takes 16"),
    ],
    ids=["positive batch", "negative batch", "another encoder"],
)
def test_prompts_that_do_not_fit_are_refused(
    positive: Conditioning, negative: Conditioning, wrong_input: str, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Denoiser(tiny_model(), positive, negative, cfg=2.0, batch=2)
    assert caught.value.input == wrong_input


def inpainting_model() -> Model:
    network = UNet2DConditionModel(
        sample_size=4, in_channels=9, out_channels=4, block_out_channels=(8,), layers_per_block=1,
        down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), mid_block_type=None, norm_num_groups=4,
        cross_attention_dim=16,
    )  # fmt: skip
    return replace(tiny_model(), network=network)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (replace(tiny_model(), prediction="mixing"), "MixingSampler"),
        (replace(tiny_model(), network=nn.Conv2d(4, 4, 3)), "its network is a Conv2d"),
        (inpainting_model(), "takes 9 channels and gives 4"),
    ],
    ids=["mixing", "not a UNet", "inpainting"],
)
def test_models_of_other_kinds_are_refused(model: Model, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Denoiser(model, prompt(1), prompt(2), cfg=2.0, batch=2)
    assert caught.value.input == "model"
