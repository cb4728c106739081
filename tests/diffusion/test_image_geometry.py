from __future__ import annotations

from typing import Literal

import pytest
import torch

from graphengine.diffusion import image_geometry
from graphengine.errors import InputError
from graphengine.types import Image


def rows(*lines: str) -> Image:
    """A grey picture of the digits, in tenths."""
    return Image(
        torch.tensor([[int(digit) / 10 for digit in line] for line in lines])[None, ..., None].repeat(1, 1, 1, 3)
    )


def drawn(image: Image) -> list[str]:
    assert torch.equal(image[..., 0], image[..., 2])
    return ["".join(str(round(float(value) * 10)) for value in line) for line in image[0, ..., 0]]


def test_a_crop_is_the_part_and_never_less() -> None:
    assert drawn(Image(image_geometry.crop(rows("012", "345"), x=1, y=1, width=2, height=1))) == ["45"]
    for place, name in (({"x": 2}, "width"), ({"height": 3}, "height"), ({"y": -1}, "height")):
        with pytest.raises(InputError, match="over the border") as caught:
            image_geometry.crop(rows("012", "345"), **{"x": 0, "y": 0, "width": 2, "height": 2} | place)
        assert caught.value.input == name


def test_flips_and_quarter_turns() -> None:
    picture = rows("012", "345")
    assert drawn(image_geometry.flip(picture, "x-axis: vertically")) == ["345", "012"]
    assert drawn(image_geometry.flip(picture, "y-axis: horizontally")) == ["210", "543"]
    assert drawn(image_geometry.rotate(picture, "90 degrees")) == ["30", "41", "52"]
    assert drawn(image_geometry.rotate(picture, "270 degrees")) == ["25", "14", "03"]
    assert drawn(image_geometry.rotate(picture, "none")) == ["012", "345"]


def test_padding_is_selected_and_fades_into_the_picture_by_the_square() -> None:
    """Widened on the left by two: of the old picture the first pixel is painted wholly, the next by a quarter."""
    image, mask = image_geometry.pad_for_outpainting(rows("1234"), left=2, top=0, right=0, bottom=0, feather=2)
    assert drawn(image) == ["551234"]
    assert mask.tolist() == [[[1, 1, 1, 0.25, 0, 0]]]


def test_padding_without_feathering_is_hard_and_meets_at_corners() -> None:
    _, hard = image_geometry.pad_for_outpainting(rows("12", "34"), left=0, top=1, right=1, bottom=0, feather=0)
    assert hard.tolist() == [[[1, 1, 1], [0, 0, 1], [0, 0, 1]]]
    _, soft = image_geometry.pad_for_outpainting(rows("123", "456"), left=0, top=1, right=1, bottom=0, feather=4)
    assert soft[0, 1:, :3].tolist() == [[1, 1, 1], [0.5625, 0.5625, 1]]
    image, nothing = image_geometry.pad_for_outpainting(rows("12"), left=0, top=0, right=0, bottom=0, feather=9)
    assert drawn(image) == ["12"]
    assert not nothing.any()


def test_sizes_follow_the_factor_and_the_pixels_asked_for() -> None:
    picture = Image(torch.rand(1, 100, 200, 3))
    assert image_geometry.scale_by(picture, 0.333, method="area").shape[1:3] == (33, 67)
    height, width = image_geometry.scale_to_total_pixels(picture, 0.05, method="bilinear").shape[1:3]
    assert width == pytest.approx(2 * height, abs=1)
    assert height * width == pytest.approx(0.05 * 1024**2, rel=0.01)
    with pytest.raises(InputError, match="16384") as caught:
        image_geometry.scale_by(Image(torch.zeros(1, 1, 4000, 3)), 8, method="area")
    assert caught.value.input == "scale_by"


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        ("right", ["1105", "2205", "3300"]),
        ("left", ["5011", "5022", "0033"]),
        ("down", ["11", "22", "33", "00", "50", "50"]),
        ("up", ["50", "50", "00", "11", "22", "33"]),
    ],
)
def test_the_shorter_picture_is_centred(side: Literal["right", "left", "down", "up"], expected: list[str]) -> None:
    """One pixel of black between them; what can't be halved goes to the right and below."""
    both = image_geometry.stitch(
        rows("11", "22", "33"), rows("5", "5"), side, match_size=False, spacing=1, color="black"
    )
    assert drawn(both) == expected


def test_the_second_picture_is_brought_to_the_first_ones_height() -> None:
    both = image_geometry.stitch(Image(torch.zeros(2, 4, 4, 3)), Image(torch.ones(1, 8, 4, 3)), "right")
    assert both.shape == (2, 4, 6, 3)
    assert both[:, :, 4:].min() == 1
    with pytest.raises(InputError, match="a batch of 3 beside a batch of 2"):
        image_geometry.stitch(Image(torch.zeros(2, 4, 4, 3)), Image(torch.ones(3, 4, 4, 3)), "up")
