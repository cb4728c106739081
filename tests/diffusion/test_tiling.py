from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from graphengine.diffusion.tiling import in_tiles


def drawn(height: int, width: int) -> Tensor:
    return torch.rand(1, 2, height, width, generator=torch.Generator().manual_seed(0))


def squared(planes: Tensor) -> Tensor:
    return planes**2


def enlarged(planes: Tensor) -> Tensor:
    return planes.repeat_interleave(8, 2).repeat_interleave(8, 3)


def shrunk(planes: Tensor) -> Tensor:
    return F.avg_pool2d(planes, 4)


@pytest.mark.parametrize("change", [squared, enlarged, shrunk], ids=["same size", "larger", "smaller"])
@pytest.mark.parametrize(("height", "width"), [(20, 52), (16, 16), (12, 40), (36, 36)])
@pytest.mark.parametrize("overlap", [0, 4, 12])
def test_what_each_cell_decides_by_itself_is_the_same_in_tiles(
    change: Callable[[Tensor], Tensor], height: int, width: int, overlap: int
) -> None:
    planes = drawn(height, width)
    assert torch.allclose(in_tiles(planes, change, tile=16, overlap=overlap), change(planes), atol=1e-6)


def test_no_tile_is_larger_than_asked_for_and_every_cell_is_in_one() -> None:
    sizes: list[tuple[int, ...]] = []

    def watched(planes: Tensor) -> Tensor:
        sizes.append(tuple(planes.shape[-2:]))
        return planes

    in_tiles(drawn(20, 52), watched, tile=16, overlap=4)
    assert set(sizes) == {(16, 16)}
    assert len(sizes) == 2 * 4


def test_a_single_tile_is_the_function_itself_bit_for_bit() -> None:
    planes = drawn(10, 10)
    assert torch.equal(in_tiles(planes, torch.sin, tile=10, overlap=4), torch.sin(planes))


def test_far_from_seams_a_convolution_sees_the_same() -> None:
    """Tiles of 16 that share 8 begin at 0, 8, 16 …; the kernel sees 2 cells around, with zeros beyond a tile's edge."""
    planes, kernel = drawn(16, 40), torch.rand(2, 2, 5, 5, generator=torch.Generator().manual_seed(1)) / 25

    def convolved(part: Tensor) -> Tensor:
        return F.conv2d(part, kernel, padding=2)

    whole, tiled = convolved(planes), in_tiles(planes, convolved, tile=16, overlap=8)
    edges = torch.zeros(40, dtype=torch.bool)
    for seam in (8, 16, 24, 32):
        edges[seam - 2 : seam + 2] = True
    assert torch.allclose(whole[..., ~edges], tiled[..., ~edges], atol=1e-6)
    assert (whole - tiled).abs().max() < 0.2 * whole.abs().max()


def test_tiles_that_differ_fade_into_each_other() -> None:
    """Each tile answers with its own level; between them the answer rises evenly, over the overlap alone."""
    levels = iter([0.0, 1.0])

    def level(part: Tensor) -> Tensor:
        return torch.full_like(part, next(levels))

    row = in_tiles(torch.zeros(1, 1, 1, 12), level, tile=8, overlap=4)[0, 0, 0]
    assert row.tolist() == pytest.approx([0] * 4 + [0.125, 0.375, 0.625, 0.875] + [1] * 4)
