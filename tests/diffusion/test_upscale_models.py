"""Upscaling models of all known spellings; numbers were compared once with another program's networks (1e-7)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from graphengine.diffusion import upscale_models
from graphengine.diffusion.tiling import Tiles
from graphengine.diffusion.upscale_networks import CompactNet, RRDBNet
from graphengine.errors import Cancelled, ModelFileError
from graphengine.types import Image, UpscaleModel


def drawn(count: int = 1, height: int = 10, width: int = 14) -> Image:
    return Image(torch.rand(count, height, width, 3, generator=torch.Generator().manual_seed(0)))


def network(doublings: int = 2, shrink: int = 1) -> RRDBNet:
    """A small one whose answers lie about middle grey."""
    torch.manual_seed(1)
    made = RRDBNet(features=8, growth=4, blocks=2, doublings=doublings, shrink=shrink)
    torch.nn.init.constant_(made.conv_last.bias, 0.5)  # type: ignore[arg-type]  # there is one
    return made.eval().requires_grad_(False)


def basicsr(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        re.sub(r"^ups\.(\d)", lambda found: f"conv_up{int(found[1]) + 1}", name): each for name, each in weights.items()
    }


def older(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    changes = [
        ("conv_body", "trunk_conv"), ("conv_hr", "HRconv"), ("conv_up", "upconv"), ("rdb", "RDB"),
        (r"^body\.(\d)", r"RRDB_trunk.\1"),
    ]  # fmt: skip
    renamed = basicsr(weights)
    for pattern, replacement in changes:
        renamed = {re.sub(pattern, replacement, name): each for name, each in renamed.items()}
    return renamed


def oldest(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    ups = sum(name.startswith("ups.") for name in weights) // 2
    last = [3 * ups + 2, 3 * ups + 4]
    named = {
        "conv_first.": "model.0.",
        "conv_body.": "model.1.sub.2.",
        "conv_hr.": f"model.{last[0]}.",
        "conv_last.": f"model.{last[1]}.",
    }
    renamed = {}
    for name, each in weights.items():
        for before, after in named.items():
            name = name.replace(before, after)
        name = re.sub(r"^ups\.(\d)", lambda found: f"model.{3 * int(found[1]) + 3}", name)
        name = re.sub(r"^body\.(\d)\.rdb(\d)\.conv(\d)", r"model.1.sub.\1.RDB\2.conv\3.0", name)
        renamed[name] = each
    return renamed


@pytest.mark.parametrize("spelling", [basicsr, older, oldest])
@pytest.mark.parametrize("doublings", [0, 1, 2, 3])
def test_a_file_is_opened_whatever_its_spelling(tmp_path: Path, spelling: type, doublings: int) -> None:
    original = network(doublings)
    weights = spelling(dict(original.state_dict()))
    assert not any(name.startswith("ups") for name in weights)
    save_file({name: each.half() for name, each in weights.items()}, tmp_path / "model.safetensors")
    model = upscale_models.load(tmp_path / "model.safetensors")
    assert (model.scale, model.source) == (2**doublings, "model.safetensors")
    expected = original.half().float()(drawn().permute(0, 3, 1, 2)).clamp(0, 1).permute(0, 2, 3, 1)
    assert torch.allclose(upscale_models.upscale(model, drawn()), expected, atol=1e-6)


@pytest.mark.parametrize(("shrink", "scale"), [(2, 2), (4, 1)])
def test_models_that_shrink_first_take_sides_of_any_length(tmp_path: Path, shrink: int, scale: int) -> None:
    save_file(basicsr(dict(network(2, shrink).state_dict())), tmp_path / "model.safetensors")
    model = upscale_models.load(tmp_path / "model.safetensors")
    assert model.scale == scale
    assert upscale_models.upscale(model, drawn(2, 9, 13)).shape == (2, 9 * scale, 13 * scale, 3)


def test_a_network_without_weights_of_its_own_only_repeats_pixels(tmp_path: Path) -> None:
    torch.manual_seed(1)
    compact = CompactNet(features=8, layers=3, scale=4)
    last = compact.body[-1]
    for weight in last.parameters():
        torch.nn.init.zeros_(weight)
    save_file(dict(compact.state_dict()), tmp_path / "small.safetensors")
    model = upscale_models.load(tmp_path / "small.safetensors")
    assert model.scale == 4
    enlarged = upscale_models.upscale(model, drawn())
    assert torch.equal(enlarged, drawn().repeat_interleave(4, 1).repeat_interleave(4, 2))


def test_tiles_differ_only_where_a_tile_ends() -> None:
    model = UpscaleModel(network(1), 2)
    image = drawn(1, 48, 64)
    whole = upscale_models.upscale(model, image, tiles=Tiles(64, 0))
    tiled = upscale_models.upscale(model, image, tiles=Tiles(32, 16))
    assert 0 < (whole - tiled).abs().mean() < 2e-3
    assert torch.allclose(whole[:, :16, :16], tiled[:, :16, :16], atol=2e-3)


def test_a_stop_takes_effect_before_the_next_tile() -> None:
    def stop() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        upscale_models.upscale(UpscaleModel(network(1), 2), drawn(), before_tile=stop)


def test_other_files_are_refused_by_what_is_known(tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    for weights in (
        {"layers.0.weight": torch.zeros(4)},
        {"body.0.weight": torch.zeros(4), "body.1.weight": torch.zeros(4)},
    ):
        save_file(weights, path)
        with pytest.raises(ModelFileError, match=r"unknown kind\n  Known are ESRGAN"):
            upscale_models.load(path)
    half = dict(network().state_dict())
    del half["conv_hr.weight"]
    save_file(half, path)
    with pytest.raises(ModelFileError, match=r"missing.*\n.*conv_hr.weight"):
        upscale_models.load(path)
    with pytest.raises(ModelFileError, match="pickle"):
        upscale_models.load(tmp_path / "model.pth")


def test_dense_blocks_read_all_that_came_before() -> None:
    """The published formula, written out for one block: x + 0.2 conv5(all), in a residual of 0.2 around three."""
    block = network().body[0]
    x = torch.rand(1, 8, 5, 5)

    def dense(inner: torch.nn.Module, x: Tensor) -> Tensor:
        gathered = x
        for number in range(1, 5):
            layer = inner.get_submodule(f"conv{number}")
            gathered = torch.cat([gathered, F.leaky_relu(layer(gathered), 0.2)], 1)
        result: Tensor = x + 0.2 * inner.get_submodule("conv5")(gathered)
        return result

    expected = x
    for number in range(1, 4):
        expected = dense(block.get_submodule(f"rdb{number}"), expected)
    assert torch.allclose(block(x), x + 0.2 * expected, atol=1e-6)
