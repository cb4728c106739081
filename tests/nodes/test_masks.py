from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image as Picture

from graphengine.errors import InputError
from graphengine.types import Image, Mask
from graphengine_nodes import masks as nodes


def test_the_default_mask_is_the_middle() -> None:
    mask = nodes.draw_mask()
    assert mask.shape == (1, 128, 128)
    assert mask.sum() == 64 * 64
    assert mask[0, 32:96, 32:96].min() == 1


def test_geometry_is_checked_before_anything_runs() -> None:
    (check,) = nodes.draw_mask.checks
    check(shape="polygon", geometry="0,0 50%,0 0,50%", width=64, height=64)
    with pytest.raises(InputError, match="'0,0 1,1' has 4 numbers") as caught:
        check(shape="polygon", geometry="0,0 1,1", width=64, height=64)
    assert caught.value.input == "geometry"


def test_masks_are_changed_and_combined() -> None:
    left = nodes.draw_mask("rectangle", "0,0,2,4", 4, 4)
    right = nodes.invert_mask(left)
    assert torch.equal(left + right, torch.ones(1, 4, 4))
    assert torch.equal(nodes.mask_composite(left, right, operation="or"), Mask(torch.ones(1, 4, 4)))
    assert nodes.mask_composite(left, right, 1, 0, "multiply")[0, 0].tolist() == [1, 0, 0, 0]
    assert nodes.mask_composite(left, right, 0, 1, "multiply")[0, :, 0].tolist() == [1, 0, 0, 0]
    assert nodes.grow_mask(left, 1).sum() == 12
    assert nodes.grow_mask(left, -1, False).sum() == 4
    assert nodes.feather_mask(left, left=2)[0, 0].tolist() == [0.5, 1, 0, 0]
    assert nodes.feather_mask(left, 0, 2)[0, :, 0].tolist() == [0.5, 1, 1, 1]
    assert nodes.feather_mask(right, 0, 0, 2)[0, 0].tolist() == [0, 0, 1, 0.5]
    assert nodes.feather_mask(left, 0, 0, 0, 2)[0, :, 0].tolist() == [1, 1, 1, 0.5]


def test_masks_and_pictures_convert() -> None:
    image = Image(torch.tensor([[[[0.1, 0.5, 0.9]]]]))
    assert nodes.image_to_mask(image, "green").tolist() == [[[0.5]]]
    assert nodes.threshold_mask(nodes.image_to_mask(image, "blue"), 0.8).item() == 1
    assert nodes.threshold_mask(nodes.image_to_mask(image), 0.8).item() == 0
    assert nodes.mask_to_image(nodes.image_to_mask(image, "green")).tolist() == [[[[0.5, 0.5, 0.5]]]]


def test_masks_are_made_cropped_and_read_from_colours() -> None:
    assert nodes.solid_mask(0.25, 3, 2).tolist() == [[[0.25] * 3] * 2]
    left = nodes.draw_mask("rectangle", "0,0,2,4", 4, 4)
    assert nodes.crop_mask(left, 1, 0, 2, 3).tolist() == [[[1, 0]] * 3]
    with pytest.raises(InputError, match="over the border"):
        nodes.crop_mask(left, 1, 0, 4, 4)
    image = Image(torch.tensor([[[[1.0, 0.502, 0.0], [1.0, 0.52, 0.0], [0.0, 0.502, 1.0]]]]))
    assert nodes.image_color_to_mask(image, 0xFF8000).tolist() == [[[1, 0, 0]]]
    assert nodes.image_color_to_mask(image, 0xFF8000, 0.03).tolist() == [[[1, 1, 0]]]


def test_a_picture_file_is_a_mask_by_its_alpha_or_a_colour(tmp_path: Path) -> None:
    file = tmp_path / "shape.png"
    picture = Picture.new("RGBA", (2, 1), (51, 102, 255, 255))
    picture.putpixel((1, 0), (0, 0, 0, 0))
    picture.save(file)
    assert nodes.load_image_mask(file).tolist() == [[[0, 1]]]
    assert nodes.load_image_mask(file, "green").tolist() == [[[pytest.approx(0.4), 0]]]


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (nodes.draw_mask, "shape geometry width height feather"),
        (nodes.invert_mask, "mask"),
        (nodes.grow_mask, "mask expand tapered_corners"),
        (nodes.feather_mask, "mask left top right bottom"),
        (nodes.threshold_mask, "mask value"),
        (nodes.mask_composite, "destination source x y operation"),
        (nodes.image_to_mask, "image channel"),
        (nodes.mask_to_image, "mask"),
        (nodes.solid_mask, "value width height"),
        (nodes.crop_mask, "mask x y width height"),
        (nodes.image_color_to_mask, "image color tolerance"),
        (nodes.load_image_mask, "image channel"),
    ],
    ids=lambda value: value.definition.id if hasattr(value, "definition") else "",
)
def test_inputs_have_their_public_names_and_order(function: object, inputs: str) -> None:
    definition = function.definition  # type: ignore[attr-defined]  # nodes of several signatures
    assert [each.name for each in definition.inputs] == inputs.split()
