from __future__ import annotations

import math

import pytest
import torch

from graphengine.diffusion import masks
from graphengine.diffusion.geometry import FORMS, Shape
from graphengine.diffusion.options import MaskOperation
from graphengine.errors import InputError
from graphengine.types import Image, Mask


def mask_of(*rows: str) -> Mask:
    """Draw a mask in text: '#' is 1, '.' is 0."""
    return Mask(torch.tensor([[[float(cell == "#") for cell in row] for row in rows]]))


def rows_of(mask: Mask) -> list[str]:
    return ["".join("#" if cell else "." for cell in row) for row in mask[0].tolist()]


@pytest.mark.parametrize(
    ("shape", "geometry", "area", "centre"),
    [
        ("rectangle", "10,5,20,8", 160.0, (20.0, 9.0)),
        ("rectangle", "10.25,5.5,20.5,8.25", 169.125, (20.5, 9.625)),
        ("rectangle", "25%, 50%, 50%, 25%", 32 * 12, (32.0, 30.0)),
        ("ellipse", "10,4,40,30", math.pi * 20 * 15, (30.0, 19.0)),
        ("ellipse", "30.3,20.7,5,4", math.pi * 2.5 * 2, (32.8, 22.7)),
        ("polygon", "10,10 50,10 10,40", 600.0, (70 / 3, 20.0)),
        ("polygon", "32,2 60,24 32,46 4,24", 28 * 44, (32.0, 24.0)),
    ],
)
def test_shapes_have_their_area_and_centre(
    shape: Shape, geometry: str, area: float, centre: tuple[float, float]
) -> None:
    mask = masks.draw(shape, geometry, 64, 48)[0]

    assert mask.shape == (48, 64)
    assert mask.min() >= 0
    assert mask.max() <= 1
    assert mask.sum().item() == pytest.approx(area, rel=2e-3)
    x = (mask.sum(0) * (torch.arange(64) + 0.5)).sum() / mask.sum()
    y = (mask.sum(1) * (torch.arange(48) + 0.5)).sum() / mask.sum()
    assert (x.item(), y.item()) == pytest.approx(centre, abs=0.02)


@pytest.mark.parametrize("geometry", ["3.3,2.7 55.1,9.9 30.2,44.4", "10.1,5.1 60.7,0.3 63.9,40.9 0.7,47.3"])
def test_inside_and_outside_are_exactly_one_and_zero(geometry: str) -> None:
    mask = masks.draw("polygon", geometry, 64, 48)
    assert ((mask > 0) & (mask < 1e-6)).sum() == 0
    assert ((mask < 1) & (mask > 1 - 1e-6)).sum() == 0
    assert (mask == 1).sum() > 500
    assert (mask == 0).sum() > 50


def test_edges_are_smooth() -> None:
    mask = masks.draw("rectangle", "1.5,1,2,1.25", 5, 4)[0]
    assert mask.tolist() == [[0, 0, 0, 0, 0], [0, 0.5, 1, 0.5, 0], [0, 0.125, 0.25, 0.125, 0], [0, 0, 0, 0, 0]]
    partly = masks.draw("ellipse", "0,0,16,16", 16, 16)
    assert ((partly > 0) & (partly < 1)).sum() > 20


def test_shapes_over_the_border_are_cut_off() -> None:
    assert masks.draw("rectangle", "-100%,-10,300%,100", 8, 4).min() == 1
    assert masks.draw("rectangle", "20,20,5,5", 8, 4).max() == 0
    half = masks.draw("ellipse", "-50%,0,100%,100%", 64, 64)
    assert half.sum().item() == pytest.approx(math.pi * 32 * 32 / 2, rel=2e-3)


def test_a_polygon_that_crosses_itself_is_filled_even_odd() -> None:
    inner = "8,8 24,8 24,24 8,24 8,8"
    mask = masks.draw("polygon", f"0,0 32,0 32,32 0,32 0,0 {inner}", 32, 32)[0]
    assert mask[16, 16] == 0
    assert mask[4, 16] == 1
    assert mask.sum().item() == pytest.approx(32 * 32 - 16 * 16, rel=1e-3)


def test_gradient_rises_between_its_points_and_is_flat_beyond() -> None:
    row = masks.draw("gradient", "2,0 6,0", 8, 2)[0, 1]
    assert row.tolist() == [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]
    diagonal = masks.draw("gradient", "0,0 100%,100%", 8, 8)[0]
    assert torch.equal(diagonal, diagonal.T)
    assert diagonal[0, 7].item() == pytest.approx(0.5)


def test_feather_fades_over_its_width_and_keeps_the_area() -> None:
    mask = masks.draw("rectangle", "32,32,64,64", 128, 128, feather=16)[0]
    across = mask[64]
    assert across[32:].max() > 0.999
    assert across[31].item() == pytest.approx(0.5, abs=0.06)
    assert across[24].item() < 0.05  # half the width outside: 2 deviations, 2.3 %
    assert across[40].item() > 0.95
    assert mask.sum().item() == pytest.approx(64 * 64, rel=1e-4)
    whole = masks.draw("rectangle", "0,0,100%,100%", 16, 16, feather=8)
    torch.testing.assert_close(whole, torch.ones_like(whole))


@pytest.mark.parametrize(
    ("shape", "geometry", "message"),
    [
        ("rectangle", "1,2,3", "'1,2,3' has 3 numbers"),
        ("rectangle", "", "has 0 numbers"),
        ("ellipse", "1,2,three,4", "'three' is not a number"),
        ("ellipse", "1,2,nan,4", "'nan' is not a place"),
        ("ellipse", "1,2,inf%,4", "'inf%' is not a place"),
        ("rectangle", "1,2,0,4", "must be above 0"),
        ("rectangle", "1,2,3,-4", "must be above 0"),
        ("polygon", "1,2 3,4", "has 4 numbers"),
        ("polygon", "1,2 3,4 5,6 7", "has 7 numbers"),
        ("gradient", "1,2 1,2", "starts where it ends"),
        ("gradient", "1,2 3,4 5,6", "has 6 numbers"),
        ("rectangle", "1;2;3;4", "'1;2;3;4' is not a number"),
    ],
)
def test_a_geometry_that_cannot_be_read_is_quoted_with_its_form(shape: Shape, geometry: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        masks.draw(shape, geometry, 8, 8)
    assert caught.value.input == "geometry"
    assert message in caught.value.message
    assert FORMS[shape] in caught.value.remedy


def test_growing_keeps_corners_or_tapers_them() -> None:
    dot = mask_of(".....", ".....", "..#..", ".....", ".....")
    assert rows_of(masks.grow(dot, 1)) == [".....", "..#..", ".###.", "..#..", "....."]
    assert rows_of(masks.grow(dot, 2)) == ["..#..", ".###.", "#####", ".###.", "..#.."]
    assert rows_of(masks.grow(dot, 1, tapered_corners=False)) == [".....", ".###.", ".###.", ".###.", "....."]
    assert masks.grow(dot, 10_000).min() == 1
    assert masks.grow(dot, 0) is dot


def test_negative_growth_narrows_but_not_from_the_border() -> None:
    block = mask_of("###..", "###..", "###..", ".....")
    assert rows_of(masks.grow(block, -1)) == ["##...", "##...", ".....", "....."]
    ring = masks.invert(mask_of(".....", ".....", "..#..", ".....", "....."))
    assert rows_of(masks.grow(ring, -1)) == ["#####", "##.##", "#...#", "##.##", "#####"]
    assert rows_of(masks.grow(ring, -1, tapered_corners=False)) == ["#####", "#...#", "#...#", "#...#", "#####"]


def test_growing_keeps_soft_values() -> None:
    soft = Mask(torch.tensor([[[0.0, 0.25, 0.75, 0.0]]]))
    assert masks.grow(soft, 1).tolist() == [[[0.25, 0.75, 0.75, 0.75]]]
    assert masks.grow(soft, -1).tolist() == [[[0.0, 0.0, 0.0, 0.0]]]


def test_feathered_edges_rise_linearly_from_each_border() -> None:
    full = Mask(torch.ones(1, 4, 6))
    assert masks.feather_edges(full, left=4, top=0, right=0, bottom=0)[0, 0].tolist() == [0.25, 0.5, 0.75, 1, 1, 1]
    assert masks.feather_edges(full, left=0, top=0, right=2, bottom=0)[0, 0].tolist() == [1, 1, 1, 1, 1, 0.5]
    assert masks.feather_edges(full, left=0, top=2, right=0, bottom=4)[0, :, 0].tolist() == [0.5, 0.75, 0.5, 0.25]
    assert masks.feather_edges(full, left=100, top=0, right=0, bottom=0)[0, 0, -1] == 1


def test_threshold_selects_what_is_above() -> None:
    assert masks.threshold(Mask(torch.tensor([[[0.0, 0.5, 0.51, 1.0]]])), 0.5).tolist() == [[[0, 0, 1, 1]]]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("multiply", [0, 0, 0.25, 0.75]),
        ("add", [0, 1, 0.75, 1]),
        ("subtract", [0, 0, 0, 0.25]),
        ("and", [0, 0, 0, 1]),
        ("or", [0, 1, 1, 1]),
        ("xor", [0, 1, 1, 0]),
    ],
)
def test_masks_combine(operation: MaskOperation, expected: list[float]) -> None:
    first, second = Mask(torch.tensor([[[0, 0, 0.25, 1]]])), Mask(torch.tensor([[[0, 1, 0.5, 0.75]]]))
    result = masks.composite(first, second, x=0, y=0, operation=operation)
    # 0.25 counts as not selected; 0.25 * 0.5 is 0.125
    assert result.tolist() == [[[0.125 if operation == "multiply" and i == 2 else e for i, e in enumerate(expected)]]]


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (1, 1, ["....", ".##.", ".##."]),
        (3, 2, ["....", "....", "...#"]),
        (-1, -1, ["#...", "....", "...."]),
        (4, 0, ["....", "....", "...."]),
        (-2, 0, ["....", "....", "...."]),
        (0, 99, ["....", "....", "...."]),
    ],
)
def test_the_second_mask_lies_at_its_place_and_is_cut_off(x: int, y: int, expected: list[str]) -> None:
    blank, block = mask_of("....", "....", "...."), mask_of("##", "##")
    assert rows_of(masks.composite(blank, block, x=x, y=y, operation="add")) == expected
    assert blank.max() == 0


def test_single_masks_repeat_over_a_batch() -> None:
    two, one = Mask(torch.zeros(2, 2, 2)), Mask(torch.ones(1, 1, 1))
    assert masks.composite(two, one, x=0, y=0, operation="add").sum() == 2
    assert masks.composite(one, two, x=0, y=0, operation="multiply").shape == (2, 1, 1)
    with pytest.raises(InputError, match="a batch of 3 beside a batch of 2") as caught:
        masks.composite(two, Mask(torch.ones(3, 2, 2)), x=0, y=0, operation="add")
    assert caught.value.input == "source"


def test_masks_and_pictures_convert() -> None:
    image = Image(torch.rand(2, 3, 4, 3, generator=torch.Generator().manual_seed(0)))
    for index, channel in enumerate(("red", "green", "blue")):
        assert torch.equal(masks.from_image(image, channel), image[..., index])  # type: ignore[arg-type]  # the three names
    mask = masks.from_image(image, "green")
    assert masks.to_image(mask).shape == (2, 3, 4, 3)
    assert torch.equal(masks.from_image(masks.to_image(mask), "blue"), mask)
