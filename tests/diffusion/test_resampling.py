from __future__ import annotations

from typing import get_args

import pytest
import torch

from graphengine.diffusion.options import Resampling
from graphengine.diffusion.resampling import crop_to_proportions, resize, resolve_size

METHODS = get_args(Resampling)


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("width", "height"), [(3, 2), (11, 9), (1, 1), (6, 4)], ids=str)
def test_every_method_keeps_a_flat_plane_and_gives_the_size(method: Resampling, width: int, height: int) -> None:
    resized = resize(torch.full((2, 3, 4, 6), 0.25), width, height, method=method)
    assert resized.shape == (2, 3, height, width)
    assert resized.dtype == torch.float32
    torch.testing.assert_close(resized, torch.full((2, 3, height, width), 0.25), atol=1e-6, rtol=0)


@pytest.mark.parametrize("method", [method for method in METHODS if method != "nearest-exact"])
def test_shrinking_averages_what_is_skipped(method: Resampling) -> None:
    """A chequerboard of 0 and 1 is grey from afar; taking single pixels would give black or white."""
    board = ((torch.arange(32)[:, None] + torch.arange(32)) % 2).float()[None, None]
    resized = resize(board, 4, 4, method=method)
    assert (resized - 0.5).abs().max() < 0.02


def test_nearest_exact_takes_the_middle_cell() -> None:
    assert resize(torch.arange(9.0).reshape(1, 1, 1, 9), 3, 1, method="nearest-exact").flatten().tolist() == [1, 4, 7]


def test_area_is_the_mean_of_each_block() -> None:
    planes = noise(1, 2, 4, 6)
    expected = planes.reshape(1, 2, 2, 2, 3, 2).mean(dim=(3, 5))
    torch.testing.assert_close(resize(planes, 3, 2, method="area"), expected)


def test_same_size_gives_the_input_itself() -> None:
    planes = noise(1, 1, 4, 4)
    assert resize(planes, 4, 4, method="lanczos") is planes


@pytest.mark.parametrize(
    ("width", "height", "kept"),
    [(10, 10, (slice(0, 4), slice(1, 5))), (12, 2, (slice(1, 2), slice(0, 6))), (6, 4, (slice(0, 4), slice(0, 6)))],
    ids=["square", "wide", "same"],
)
def test_cropping_keeps_the_middle(width: int, height: int, kept: tuple[slice, slice]) -> None:
    planes = noise(1, 1, 4, 6)
    assert torch.equal(crop_to_proportions(planes, width, height), planes[(..., *kept)])


@pytest.mark.parametrize(
    ("asked", "given"), [((0, 0), (6, 4)), ((3, 0), (3, 2)), ((0, 8), (12, 8)), ((5, 5), (5, 5)), ((1, 0), (1, 1))]
)
def test_a_side_of_zero_follows_the_other(asked: tuple[int, int], given: tuple[int, int]) -> None:
    assert resolve_size(*asked, old_width=6, old_height=4) == given
