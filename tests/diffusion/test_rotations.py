"""Adapters that rotate weights: OFT and BOFT, as LyCORIS and kohya's scripts save them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from graphengine.diffusion import lora_files
from graphengine.diffusion.adapters import with_model_lora
from graphengine.diffusion.lora_updates import Rotation
from tests.diffusion.tiny_checkpoint import tiny_model
from tests.diffusion.tiny_lora import Roles, in_tensors, kohya, random, written


def cayley(block: Tensor, scale: float = 1.0) -> Tensor:
    skewed = (block - block.T).double() * scale
    one = torch.eye(len(block)).double()
    turned: Tensor = (one + skewed) @ torch.linalg.inv(one - skewed)
    return turned.float()


def turned(rotation: Rotation, weight: Tensor, strength: float = 1.0) -> Tensor:
    result = weight.clone()
    rotation.add_to(result, strength)
    return result


def test_blocks_of_neighbouring_rows_are_rotated() -> None:
    torch.manual_seed(0)
    blocks, weight, rescale = random(3, 4, 4), torch.randn(12, 5, 3, 3), torch.rand(12, 1, 1, 1)
    whole = torch.block_diag(*(cayley(each) for each in blocks))  # type: ignore[no-untyped-call]  # torch has no types
    expected = torch.einsum("nm,n...->m...", whole, weight)
    assert torch.allclose(turned(Rotation(blocks), weight), expected, atol=1e-5)
    assert torch.allclose(turned(Rotation(blocks, rescale), weight), rescale * expected, atol=1e-5)
    assert torch.equal(turned(Rotation(blocks, rescale), weight, 0.0), weight)
    half = turned(Rotation(blocks), weight, 0.5)
    assert torch.allclose(half, (weight + expected) / 2, atol=1e-5)


def test_rotations_are_held_below_their_limit() -> None:
    torch.manual_seed(0)
    blocks, weight = random(3, 4, 4), torch.randn(12, 5)
    norm = float(torch.linalg.vector_norm(blocks - blocks.mT))
    limited = torch.block_diag(*(cayley(each, 0.5 / norm) for each in blocks))  # type: ignore[no-untyped-call]  # as above
    assert torch.allclose(turned(Rotation(blocks, limit=0.5), weight), limited.T @ weight, atol=1e-5)
    assert torch.equal(turned(Rotation(blocks, limit=2 * norm), weight), turned(Rotation(blocks), weight))


def test_a_butterfly_rotates_rows_ever_further_apart() -> None:
    """Stage 0 rotates rows 0-3, 4-7 …; stage 1 rows 0, 1, 4, 5 after bringing each beside the one 4 further on."""
    torch.manual_seed(0)
    blocks, weight = random(2, 4, 4, 4), torch.randn(16, 5)
    expected = weight
    for stage, group in enumerate(blocks):
        half = 2 * 2**stage
        places = [
            first + within + half * side
            for first in range(0, 16, 2 * half)
            for within in range(half)
            for side in (0, 1)
        ]
        moved = torch.zeros(16, 16)
        moved[range(16), places] = 1
        whole = torch.block_diag(*(cayley(each) for each in group))  # type: ignore[no-untyped-call]  # torch has no types
        expected = moved.T @ whole @ moved @ expected
    rotated = turned(Rotation(blocks), weight)
    assert torch.allclose(rotated, expected, atol=1e-5)
    assert torch.allclose(rotated.T @ rotated, weight.T @ weight, atol=1e-4)


def rotations(weight: Tensor) -> Roles:
    return {"oft_blocks": random(len(weight) // 4, 4, 4), "alpha": torch.tensor(0.01)}


def test_files_of_kohyas_scripts_are_applied_to_their_layers(tmp_path: Path) -> None:
    model = tiny_model()
    tensors = in_tensors(model.network, kohya("oft_unet"), rotations)
    file = lora_files.read(written(tmp_path / "oft.safetensors", tensors))
    changed, notices = with_model_lora(model, file, strength=1, source="oft")
    layer = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
    blocks = tensors[f"oft_unet_{layer.replace('.', '_')}.oft_blocks"]
    before = model.network.get_submodule(layer).weight
    after = changed.network.get_submodule(layer).weight
    assert isinstance(before, Tensor)
    assert isinstance(after, Tensor)
    assert notices == []
    assert torch.allclose(after, turned(Rotation(blocks, limit=0.01 * len(before)), before), atol=1e-6)
    assert not torch.allclose(after, before, atol=1e-3)


@pytest.mark.parametrize("shape", [(2, 4, 4, 4, 4), (4, 3, 4)], ids=str)
def test_blocks_of_odd_shapes_fit_nothing(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="blocks of"):
        _ = Rotation(torch.zeros(shape)).size
