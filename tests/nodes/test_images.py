from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from graphengine.errors import InputError
from graphengine.types import Image, Mask
from graphengine_nodes import images as nodes
from tests.nodes.running import Run


def noise(count: int = 1) -> Image:
    return Image(torch.rand(count, 6, 8, 3, generator=torch.Generator().manual_seed(0)))


def test_saving_writes_each_picture_and_passes_them_on(tmp_path: Path) -> None:
    run, batch = Run(tmp_path), noise(2)

    assert nodes.save_image(run.context, batch, "trip/day") is batch

    files = sorted((tmp_path / "output" / "trip").iterdir())
    assert len(files) == 2
    for file, image in zip(files, batch, strict=True):
        with Picture.open(file) as saved:
            assert np.array_equal(np.asarray(saved), np.round(image.numpy() * 255).astype(np.uint8))
    assert [shown.path for shown in run.context.shown] == files


def test_prefix_cannot_leave_the_output_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names nothing inside the output folder"):
        nodes.save_image(Run(tmp_path).context, noise(), "../elsewhere")
    assert not list(tmp_path.rglob("*.png"))


def test_previews_are_temporary(tmp_path: Path) -> None:
    run, batch = Run(tmp_path), noise()
    assert nodes.preview_image(run.context, batch) is batch
    assert [shown.temporary for shown in run.context.shown] == [True]
    assert not (tmp_path / "output").exists()


def test_pictures_are_resized_laid_and_arranged() -> None:
    assert nodes.image_scale(noise(), "area", 4, 0).shape == (1, 3, 4, 3)
    assert nodes.image_scale(noise(), width=6, height=6, crop="center").shape == (1, 6, 6, 3)
    sheet = nodes.image_grid(noise(3), 3, 2)
    assert sheet.shape == (1, 6, 28, 3)
    assert nodes.image_grid(noise(2), 2, 2, "one\ntwo").shape[1] > 6


def test_inpainting_keeps_unmasked_pixels_bit_for_bit() -> None:
    original, repainted = noise(), Image(1 - noise())
    mask = torch.zeros(1, 6, 8)
    mask[:, 2:4, 2:4] = 1
    result = nodes.image_composite_masked(original, repainted, mask=Mask(mask))
    assert torch.equal(result[mask == 0], original[mask == 0])
    assert torch.equal(result[mask == 1], repainted[mask == 1])
    assert torch.equal(nodes.image_composite_masked(original, repainted, resize_source=True), repainted)
    assert torch.equal(nodes.image_composite_masked(original, repainted, 8, 0), original)


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (nodes.save_image, "images filename_prefix format quality"),
        (nodes.preview_image, "images"),
        (nodes.image_scale, "image upscale_method width height crop"),
        (nodes.image_composite_masked, "destination source x y resize_source mask"),
        (nodes.image_grid, "images columns gap labels"),
    ],
    ids=lambda value: value.definition.id if hasattr(value, "definition") else "",
)
def test_inputs_have_their_public_names_and_order(function: object, inputs: str) -> None:
    definition = function.definition  # type: ignore[attr-defined]  # nodes of several signatures
    assert [each.name for each in definition.inputs] == inputs.split()


def test_batching_resizes_what_follows_to_the_first() -> None:
    larger = Image(torch.rand(2, 12, 16, 3))
    batch = nodes.image_batch(noise(1), larger)
    assert batch.shape == (3, 6, 8, 3)
    assert torch.equal(batch[:1], noise(1))


@pytest.mark.parametrize("prefix", ["../elsewhere", "/etc/picture", "trip/"])
def test_prefix_outside_the_output_folder_is_refused_before_the_run(prefix: str) -> None:
    (check,) = nodes.save_image.checks
    with pytest.raises(InputError, match="leads out of the output folder"):
        check(prefix)
    check("trip/day")
