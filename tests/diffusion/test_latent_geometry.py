from __future__ import annotations

import pytest
import torch

from graphengine.diffusion import latent_geometry
from graphengine.diffusion.options import Axis
from graphengine.errors import InputError
from graphengine.types import Latent, Mask


def numbered(rows: int = 2, columns: int = 3, *, count: int = 1, first: int = 0) -> Latent:
    """A latent of one channel with a number in each cell, and a mask in which each cell's 8×8 pixels hold it too."""
    cells = torch.arange(first, first + count * rows * columns, dtype=torch.float32).reshape(count, 1, rows, columns)
    return Latent(cells, Mask(cells[:, 0].repeat_interleave(8, 1).repeat_interleave(8, 2)))


def cells(latent: Latent) -> list[list[list[float]]]:
    """Give the cells' numbers; the mask has to hold the same ones."""
    assert latent.noise_mask is not None
    assert torch.equal(latent.noise_mask[:, ::8, ::8], latent.samples[:, 0])
    assert torch.equal(latent.noise_mask[:, 7::8, 7::8], latent.samples[:, 0])
    rows: list[list[list[float]]] = latent.samples[:, 0].tolist()
    return rows


def test_a_crop_takes_its_mask_along() -> None:
    assert cells(latent_geometry.crop(numbered(), x=8, y=8, width=16, height=8)) == [[[4, 5]]]


def test_a_mask_of_another_size_is_cropped_at_the_same_place() -> None:
    """The right half is selected, in a mask with one pixel a cell."""
    latent = Latent(torch.zeros(1, 4, 2, 4), Mask(torch.tensor([[[0.0, 0, 1, 1], [0, 0, 1, 1]]])))
    right = latent_geometry.crop(latent, x=24, y=0, width=8, height=16)
    assert right.noise_mask is not None
    assert torch.equal(right.noise_mask, torch.ones(1, 16, 8))


@pytest.mark.parametrize(
    ("place", "name"),
    [({"x": 4}, "x"), ({"height": 12}, "height"), ({"x": 16}, "width"), ({"y": -8}, "height"), ({"width": 0}, "width")],
    ids=str,
)
def test_a_crop_off_the_grid_or_over_the_border_is_refused(place: dict[str, int], name: str) -> None:
    with pytest.raises(InputError) as caught:
        latent_geometry.crop(numbered(), **{"x": 0, "y": 0, "width": 16, "height": 8} | place)
    assert caught.value.input == name


def test_flips_and_quarter_turns() -> None:
    """
    0 1 2    clockwise   3 0
    3 4 5                4 1
                         5 2
    """
    assert cells(latent_geometry.flip(numbered(), "x-axis: vertically")) == [[[3, 4, 5], [0, 1, 2]]]
    assert cells(latent_geometry.flip(numbered(), "y-axis: horizontally")) == [[[2, 1, 0], [5, 4, 3]]]
    assert cells(latent_geometry.rotate(numbered(), "90 degrees")) == [[[3, 0], [4, 1], [5, 2]]]
    assert cells(latent_geometry.rotate(numbered(), "180 degrees")) == [[[5, 4, 3], [2, 1, 0]]]
    assert cells(latent_geometry.rotate(numbered(), "270 degrees")) == [[[2, 5], [1, 4], [0, 3]]]


def test_a_composite_is_cut_off_at_the_border_and_repeats_a_single_source() -> None:
    below, above = Latent(torch.zeros(2, 1, 2, 3)), Latent(torch.ones(1, 1, 2, 2))
    laid = latent_geometry.composite(below, above, x=16, y=-8)
    assert laid.samples[:, 0].tolist() == [[[0, 0, 1], [0, 0, 0]]] * 2
    assert torch.equal(latent_geometry.composite(below, above, x=24, y=0).samples, below.samples)
    assert below.samples.sum() == 0


def test_what_does_not_fit_is_named_as_its_node_names_it() -> None:
    below, above = Latent(torch.zeros(2, 1, 2, 3)), Latent(torch.ones(3, 1, 2, 2))
    with pytest.raises(InputError, match="a batch of 3 beside a batch of 2") as caught:
        latent_geometry.composite(below, above, x=0, y=0)
    assert caught.value.input == "samples_from"
    with pytest.raises(InputError, match="a batch of 3 beside a batch of 2") as caught:
        latent_geometry.composite_masked(below, above, x=0, y=0)
    assert caught.value.input == "source"


def test_feathering_fades_only_the_edges_inside_the_destination() -> None:
    """A source of five cells at the left border fades at its right edge alone; rows reach from border to border."""
    below, above = Latent(torch.zeros(1, 1, 2, 8)), Latent(torch.ones(1, 1, 2, 5))
    laid = latent_geometry.composite(below, above, x=0, y=0, feather=32)
    assert laid.samples[0, 0].tolist() == [[1, 1, 0.75, 0.5, 0.25, 0, 0, 0]] * 2
    inside = latent_geometry.composite(below, above, x=16, y=0, feather=16)
    assert inside.samples[0, 0, 0].tolist() == [0, 0, 0.5, 1, 1, 1, 0.5, 0]


def test_a_masked_composite_keeps_what_the_mask_leaves_bit_for_bit() -> None:
    below, above = (Latent(torch.rand(1, 4, 2, 2, generator=torch.Generator().manual_seed(seed))) for seed in (0, 1))
    mask = Mask(torch.tensor([[[0.0, 1.0], [0.0, 0.25]]]))
    laid = latent_geometry.composite_masked(below, above, x=0, y=0, mask=mask).samples
    assert torch.equal(laid[..., 0], below.samples[..., 0])
    assert torch.equal(laid[..., 0, 1], above.samples[..., 0, 1])
    mixed = below.samples[..., 1, 1] * 0.75 + above.samples[..., 1, 1] * 0.25
    assert torch.allclose(laid[..., 1, 1], mixed)
    resized = latent_geometry.composite_masked(below, Latent(torch.ones(1, 4, 8, 8)), x=0, y=0, resize_source=True)
    assert torch.allclose(resized.samples, torch.ones(1, 4, 2, 2))
    with pytest.raises(InputError, match="16 channels on latents of 4"):
        latent_geometry.composite_masked(below, Latent(torch.zeros(1, 16, 2, 2)), x=0, y=0)


@pytest.mark.parametrize("axis", ["x", "-x", "y", "-y", "t", "-t"])
def test_what_was_joined_can_be_cut_apart_again(axis: Axis) -> None:
    first, second = numbered(2, 2), numbered(2, 2, first=4)
    both = latent_geometry.joined(first, second, axis)
    amount = 1 if axis.endswith("t") else 2
    halves = [latent_geometry.cut(both, axis, index, amount) for index in (0, amount)]
    expected = [second, first] if axis.startswith("-") else [first, second]
    assert [cells(half) for half in halves] == [cells(each) for each in expected]


def test_joining_counts_a_latent_without_mask_as_selected() -> None:
    plain, masked = Latent(torch.zeros(2, 1, 1, 1)), Latent(torch.zeros(1, 1, 1, 1), Mask(torch.zeros(1, 8, 8)))
    both = latent_geometry.joined(plain, masked, "t")
    assert both.noise_mask is not None
    assert both.noise_mask.mean((1, 2)).tolist() == [1, 1, 0]


def test_joining_refuses_other_sizes_and_other_batches() -> None:
    with pytest.raises(InputError, match="along x") as caught:
        latent_geometry.joined(numbered(2, 2), numbered(3, 2), "x")
    assert caught.value.input == "samples2"
    with pytest.raises(InputError, match="a batch of 3 beside a batch of 2"):
        latent_geometry.joined(numbered(count=2), numbered(count=3), "y")
    assert latent_geometry.joined(numbered(count=2), numbered(), "y").samples.shape == (2, 1, 4, 3)


def test_a_batch_takes_latents_of_another_size_in_the_middle() -> None:
    wide = Latent(torch.tensor([[[[5.0, 1, 2, 5], [5, 3, 4, 5]]]]))
    batch = latent_geometry.batch(Latent(torch.zeros(1, 1, 2, 2)), wide)
    assert batch.samples[1, 0].tolist() == [[1, 2], [3, 4]]


def test_items_take_their_own_masks_along() -> None:
    latent = numbered(1, 1, count=3)
    assert cells(latent_geometry.from_batch(latent, 1, 2)) == [[[1]], [[2]]]
    assert cells(latent_geometry.repeat(latent, 2)) == [[[0]], [[1]], [[2]]] * 2
    groups = latent_geometry.rebatch([latent, numbered(1, 1, first=3)], 2)
    assert [cells(group) for group in groups] == [[[[0]], [[1]]], [[[2]], [[3]]]]


def test_a_mask_for_all_stays_one_for_all() -> None:
    latent = Latent(torch.zeros(3, 1, 1, 1), Mask(torch.ones(1, 8, 8)))
    for changed in (latent_geometry.from_batch(latent, 0, 2), latent_geometry.repeat(latent, 2)):
        assert changed.noise_mask is latent.noise_mask
