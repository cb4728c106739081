from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

from graphengine.diffusion.original_layers import original_unet_names

SMALL: dict[str, Any] = {"cross_attention_dim": 8, "attention_head_dim": 4, "norm_num_groups": 4}
LIKE_SD1 = SMALL | {"block_out_channels": (8, 16, 16, 16), "layers_per_block": 2}
LIKE_SDXL = SMALL | {
    "block_out_channels": (8, 16, 32),
    "layers_per_block": 2,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 1, 2),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 64,
}


@pytest.mark.parametrize("config", [LIKE_SD1, LIKE_SDXL], ids=["sd1", "sdxl"])
def test_diffusers_converter_reads_every_layer_by_its_original_name(config: dict[str, Any]) -> None:
    network = UNet2DConditionModel(**config)

    original = {
        f"model.diffusion_model.{name}.{kind}": tensor
        for layer, name in original_unet_names(network).items()
        for kind, tensor in network.get_submodule(layer).named_parameters(recurse=False)
    }

    converted, expected = convert_ldm_unet_checkpoint(original, network.config), network.state_dict()
    assert converted.keys() == expected.keys()
    assert all(torch.equal(converted[name], tensor) for name, tensor in expected.items())


def test_levels_of_different_depth_have_no_original_names() -> None:
    network = UNet2DConditionModel(**LIKE_SD1 | {"layers_per_block": (1, 2, 2, 2)})
    assert original_unet_names(network) == {}
