"""The from-scratch walk-through: its sampler, and the pictures that explain it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from graphengine.diffusion import plots
from graphengine.diffusion.networks import new_basic_unet, new_unet_2d
from graphengine.diffusion.walkthrough import BasicUNet, sample_mixing
from graphengine.errors import InputError
from graphengine.training_types import Report
from graphengine.types import Image, Model
from tests.diffusion.tiny_training import tiny_model


class Grey(nn.Module):
    """A network that always predicts the same grey."""

    def forward(self, x: torch.Tensor, timestep: int) -> object:
        return type("Answer", (), {"sample": torch.full_like(x, 0.25)})


def grey_model() -> Model:
    network = Grey()
    network.config = new_basic_unet(seed=0).network.config
    network.weight = nn.Parameter(torch.zeros(1))
    return replace(new_basic_unet(seed=0), network=network)


@pytest.mark.parametrize("steps", [1, 5, 40])
def test_sampling_goes_straight_to_a_constant_prediction(steps: int) -> None:
    """Step i of n moves 1 / (n - i) of what is left, so the inputs lie evenly on the line to it."""
    history = list(sample_mixing(grey_model(), size=4, count=2, steps=steps, seed=3))

    assert len(history) == steps
    start = history[0].noisy
    assert start.min() >= 0
    assert start.max() < 1
    for step, each in enumerate(history):
        torch.testing.assert_close(each.noisy, start + (0.25 - start) * step / steps)
    torch.testing.assert_close(history[-1].predicted, torch.full((2, 1, 4, 4), 0.25))


def test_a_picture_is_the_same_alone_and_in_a_batch() -> None:
    model = new_basic_unet(seed=0)
    batch = list(sample_mixing(model, size=8, count=3, steps=2, seed=10))[-1].predicted
    alone = list(sample_mixing(model, size=8, count=1, steps=2, seed=12))[-1].predicted
    torch.testing.assert_close(batch[2:], alone)


def test_a_model_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match="'epsilon', not mixing"):
        next(sample_mixing(tiny_model("epsilon"), size=8, count=1, steps=1, seed=0))


def test_basic_unet_adds_what_it_saw_on_the_way_down() -> None:
    """With all convolutions but the last levels' zero, the output depends on skips alone."""
    network = BasicUNet()
    x = torch.rand(1, 1, 8, 8)
    full = network(x)
    with torch.no_grad():
        network.up[0].weight.zero_()
        network.up[0].bias.zero_()
        network.up[1].weight.zero_()
        network.up[1].bias.zero_()
    assert not torch.equal(network(x), full)
    assert not torch.equal(network(x), network(1 - x))


def test_a_mixing_grid_shows_each_step_in_a_row() -> None:
    history = list(sample_mixing(grey_model(), size=4, count=3, steps=5, seed=0))
    grid = plots.mixing_grid(history)
    assert grid.shape == (1, 5 * 4, 3 * 4 + 4 + 3 * 4, 3)
    torch.testing.assert_close(grid[0, :, 16:], torch.full((20, 12, 3), 0.25))
    torch.testing.assert_close(grid[0, :4, :4, 0], history[0].noisy[0, 0])


def test_a_strip_goes_from_the_picture_to_noise() -> None:
    image = Image(torch.full((1, 8, 8, 3), 0.5))
    for model in (tiny_model("mixing"), tiny_model("epsilon")):
        strip = plots.noise_strip(image, model, levels=8, seed=0)
        assert strip.shape == (1, 8, 64, 3)
        cells = strip.reshape(8, 8, 8, 3).permute(1, 0, 2, 3)
        spread = [float(cell.std()) for cell in cells]
        assert spread == sorted(spread)
        assert spread[0] < 0.02
        assert spread[-1] > 0.2


def test_the_schedule_plot_draws_two_crossing_curves() -> None:
    model = new_unet_2d(seed=0, size=8, block_channels=(8,), attention_levels=(False,), norm_groups=4)
    plot = plots.plot_schedule(model, width=300, height=200)
    assert plot.shape == (1, 200, 300, 3)
    colours = {tuple(pixel) for pixel in (plot[0].reshape(-1, 3) * 255).round().int().tolist()}
    assert {(31, 119, 180), (214, 93, 14)} <= colours

    with pytest.raises(InputError, match="has no schedule"):
        plots.plot_schedule(new_basic_unet(seed=0))


def test_a_curve_is_where_its_values_are() -> None:
    """One rising line: dark pixels from the lower left of the axes to the upper right."""
    plot = plots.plot_curves({"loss": [0.0, 1.0]}, width=200, height=200)[0]
    blue = (plot[..., 2] - plot[..., 0]) > 0.4
    below_legend = blue[24:]
    rows, columns = below_legend.nonzero(as_tuple=True)
    correlation = torch.corrcoef(torch.stack([rows.float(), columns.float()]))[0, 1]
    assert correlation < -0.99


def test_smoothing_starts_at_the_first_value() -> None:
    assert plots.smooth([4.0, 4.0, 4.0], 0.9) == pytest.approx([4.0, 4.0, 4.0])
    assert plots.smooth([1.0, 3.0], 0.5) == pytest.approx([1.0, (0.25 * 1 + 0.5 * 3) / 0.75])
    assert plots.smooth([1.0, 3.0], 0.0) == [1.0, 3.0]


@pytest.mark.parametrize(
    "losses", [[], [1.0], [2.0, float("nan"), 1.0], [1.0, 1.0]], ids=["none", "one", "nan", "flat"]
)
def test_losses_of_any_kind_can_be_drawn(losses: list[float]) -> None:
    report = Report(steps=len(losses), losses=losses, learning_rates=[], grad_norms=[])
    assert plots.plot_losses(report, smoothing=0.9, width=100, height=100).shape == (1, 100, 100, 3)
