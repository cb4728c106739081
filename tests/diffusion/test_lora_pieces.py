"""LoRAs in the names of Stable Diffusion 3's first program, whose layers diffusers has in pieces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import SD3Transformer2DModel
from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers
from torch import Tensor

from graphengine.diffusion import lora_files
from graphengine.diffusion.adapters import with_model_lora
from graphengine.diffusion.lora_pieces import Piece, piece_of
from graphengine.diffusion.lora_updates import Decomposed, Difference, Kronecker, LowRank, Rotation, Update
from graphengine.errors import InputError
from graphengine.types import Model
from tests.diffusion.tiny_flow import tiny_flow_model
from tests.diffusion.tiny_lora import Roles, lora, random, written

WIDTH, BLOCKS = 16, 2


def flow_model() -> Model:
    model = tiny_flow_model()
    torch.manual_seed(0)
    config: Any = model.network.config  # Any: diffusers' configurations are untyped
    arguments = {name: value for name, value in config.items() if not name.startswith("_")}
    network: Any = SD3Transformer2DModel(**arguments | {"dual_attention_layers": (0,)})  # Any: diffusers is untyped
    return Model(network.eval().requires_grad_(False), "flow", model.scheduler_config, 4, 2, "tiny")


def original_layers() -> dict[str, Tensor]:
    """Give random weights of all layers by their original names; biases are theirs too."""
    layers = {
        "x_embedder.proj": random(WIDTH, 4, 2, 2), "context_embedder": random(16, 64),
        "t_embedder.mlp.0": random(WIDTH, 256), "t_embedder.mlp.2": random(WIDTH, WIDTH),
        "y_embedder.mlp.0": random(WIDTH, 48), "y_embedder.mlp.2": random(WIDTH, WIDTH),
        "final_layer.linear": random(16, WIDTH), "final_layer.adaLN_modulation.1": random(2 * WIDTH, WIDTH),
    }  # fmt: skip
    for number in range(BLOCKS):
        for kind in ("x_block", "context_block"):
            block = f"joint_blocks.{number}.{kind}."
            is_last = kind == "context_block" and number == BLOCKS - 1
            parts = 9 if (kind, number) == ("x_block", 0) else 2 if is_last else 6
            layers |= {
                f"{block}attn.qkv": random(3 * WIDTH, WIDTH),
                f"{block}adaLN_modulation.1": random(parts * WIDTH, WIDTH),
            }
            if not is_last:
                layers |= {
                    f"{block}attn.proj": random(WIDTH, WIDTH), f"{block}mlp.fc1": random(4 * WIDTH, WIDTH),
                    f"{block}mlp.fc2": random(WIDTH, 4 * WIDTH),
                }  # fmt: skip
    second = "joint_blocks.0.x_block.attn2."
    return layers | {f"{second}qkv": random(3 * WIDTH, WIDTH), f"{second}proj": random(WIDTH, WIDTH)}


def in_diffusers(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    biases = {name: torch.zeros(len(weight)) for name, weight in weights.items()}
    checkpoint = {f"{name}.weight": weight for name, weight in weights.items()}
    checkpoint |= {f"{name}.bias": bias for name, bias in biases.items()} | {"pos_embed": torch.zeros(1)}
    converted: dict[str, Tensor] = convert_sd3_transformer_checkpoint_to_diffusers(checkpoint)
    return {name: each for name, each in converted.items() if name.endswith(".weight")}


def test_layers_are_divided_as_diffusers_divides_them(tmp_path: Path) -> None:
    """Converting changed weights comes to the same as changing converted ones."""
    torch.manual_seed(1)
    model, weights = flow_model(), original_layers()
    model.network.load_state_dict(in_diffusers(weights), strict=False)
    assert in_diffusers(weights).keys() == {
        name for name, _ in model.network.named_parameters() if name.endswith(".weight")
    }
    roles = {name: lora(weight) for name, weight in weights.items()}
    tensors = {
        f"lora_unet_{name.replace('.', '_')}.{role}": each for name in roles for role, each in roles[name].items()
    }
    file = lora_files.read(written(tmp_path / "a.safetensors", tensors))

    changed, notices = with_model_lora(model, file, strength=0.5, source="a")

    merged = in_diffusers({name: weight + 0.5 * product(roles[name], weight) for name, weight in weights.items()})
    state = changed.network.state_dict()
    assert notices == []
    assert all(torch.allclose(state[name], each, atol=1e-5) for name, each in merged.items())


def product(roles: Roles, weight: Tensor) -> Tensor:
    up, down = roles["lora_up.weight"].flatten(1), roles["lora_down.weight"].flatten(1)
    return (up @ down).view(weight.shape)


ROWS: dict[str, Callable[[], Update]] = {
    "LoRA": lambda: LowRank(random(6, 2), random(2, 5), None, 0.5),
    "LoKr": lambda: Kronecker((random(3, 5),), (random(2, 1),)),
    "difference": lambda: Difference(random(6, 5)),
    "DoRA": lambda: Decomposed(LowRank(random(6, 2), random(2, 5)), torch.rand(6)),
}


@pytest.mark.parametrize("kind", ROWS)
def test_pieces_of_a_change_are_its_rows(kind: str) -> None:
    torch.manual_seed(0)
    change, weight = ROWS[kind](), torch.randn(6, 5)
    whole = weight.clone()
    change.add_to(whole, 0.7)
    exchanged = weight.view(2, 3, 5).flip(0).reshape(6, 5).clone()
    piece = piece_of(change, Piece("x", (1, 0), 2))
    assert piece.size == (6, 5)
    piece.add_to(exchanged, 0.7)
    assert torch.allclose(exchanged.view(2, 3, 5).flip(0).reshape(6, 5), whole, atol=1e-6)
    third = weight[2:4].clone()
    piece_of(change, Piece("x", (1,), 3)).add_to(third, 0.7)
    assert torch.allclose(third, whole[2:4], atol=1e-6)


def test_what_depends_on_all_rows_is_not_divided(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="depends on all rows"):
        piece_of(Rotation(torch.zeros(3, 2, 2)), Piece("x", (1,), 3))
    with pytest.raises(ValueError, match="5 rows in 3 parts"):
        piece_of(LowRank(random(5, 2), random(2, 5)), Piece("x", (1,), 3))
    name = "lora_unet_joint_blocks_0_x_block_attn_qkv.oft_blocks"
    file = lora_files.read(written(tmp_path / "oft.safetensors", {name: random(12, 4, 4)}))
    with pytest.raises(InputError, match="'oft' can't be applied to this model: it depends on all rows"):
        with_model_lora(flow_model(), file, strength=1, source="oft")
