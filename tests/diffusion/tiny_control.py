"""Control networks too small to be good, in the layouts of real ones, for tests."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import ControlNetModel, ControlNetUnionModel, T2IAdapter, UNet2DConditionModel
from torch import Tensor, nn

from graphengine.diffusion.original_names import unet_places
from graphengine.types import Model
from tests.diffusion.tiny_checkpoint import tiny_model

CHANNELS = (32, 64)
LIKE_SD: dict[str, Any] = {
    "block_out_channels": CHANNELS,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "cross_attention_dim": 16,
    "attention_head_dim": (1, 1),
    "transformer_layers_per_block": (1, 1),
}
LIKE_SDXL: dict[str, Any] = LIKE_SD | {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "transformer_layers_per_block": (1, 2),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 6 * 256 + 16,
}
HINT: dict[str, Any] = {"conditioning_embedding_out_channels": (4, 8, 8, 16)}


def steered_model(config: dict[str, Any] = LIKE_SD) -> Model:
    """Make a model of the control networks' sizes; a cell is 8 pixels."""
    torch.manual_seed(0)
    up = tuple(kind.replace("Down", "Up") for kind in reversed(config["down_block_types"]))
    network = UNet2DConditionModel(sample_size=4, up_block_types=up, **config).eval().requires_grad_(False)
    tiny = tiny_model()
    return Model(network, "epsilon", tiny.scheduler_config, 4, 8, "steered")


def controlnet(config: dict[str, Any] = LIKE_SD, seed: int = 1) -> ControlNetModel:
    torch.manual_seed(seed)
    return stirred(ControlNetModel(**config, **HINT))


def union(kinds: int = 6) -> ControlNetUnionModel:
    torch.manual_seed(1)
    small = {"num_control_type": kinds, "num_trans_channel": 32, "num_proj_channel": 32}
    return stirred(ControlNetUnionModel(**LIKE_SDXL, **HINT, **small))


def t2i_adapter(channels: tuple[int, ...] = CHANNELS) -> T2IAdapter:
    torch.manual_seed(1)
    return stirred(T2IAdapter(in_channels=3, channels=list(channels), num_res_blocks=2, downscale_factor=8))


def stirred(network: Any) -> Any:  # Any: a diffusers network
    """Give layers that begin as zero some values, so that they steer."""
    for name, parameter in network.named_parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=1.0 if "cond_embedding" in name else 0.1)
    return network.eval().requires_grad_(False)


def in_original_names(network: Any) -> dict[str, Tensor]:  # Any: as above
    """Give a ControlNet's weights as the first program's files name them."""
    weights = network.state_dict()
    places = unet_places(weights, {"up_block_types": (), **network.config}, prefix="")
    return {_in_controlnet(place.name): weights[name] for name, place in places.items()}


def _in_controlnet(name: str) -> str:
    """Rename what only ControlNets have."""
    hint, middle, down = "controlnet_cond_embedding.", "controlnet_mid_block.", "controlnet_down_blocks."
    if name.startswith(middle):
        return f"middle_block_out.0.{name.removeprefix(middle)}"
    if name.startswith(down):
        number, kind = name.removeprefix(down).split(".")
        return f"zero_convs.{number}.0.{kind}"
    if name.startswith(hint):
        *layer, kind = name.removeprefix(hint).split(".")
        place = {"conv_in": 0, "conv_out": 14}.get(layer[0])
        return f"input_hint_block.{2 * int(layer[-1]) + 2 if place is None else place}.{kind}"
    return name
