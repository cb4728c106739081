"""Names of a UNet's layers in the files of the original Stable Diffusion programs, beside diffusers' own.

There the levels aren't nested: each ResNet, with the attention after it, is a block of its own, and so is each change
of size on the way down; on the way up it ends the block before.

    diffusers, n layers a level                original
    down_blocks.B.resnets.L                    input_blocks.(1 + B (n + 1) + L).0
    down_blocks.B.attentions.L                 input_blocks.(1 + B (n + 1) + L).1
    down_blocks.B.downsamplers.0.conv          input_blocks.(1 + B (n + 1) + n).0.op
    mid_block.resnets.0, attentions.0, …       middle_block.0, middle_block.1, middle_block.2
    up_blocks.B.resnets.L                      output_blocks.(B (n + 1) + L).0
    up_blocks.B.attentions.L                   output_blocks.(B (n + 1) + L).1
    up_blocks.B.upsamplers.0.conv              output_blocks.(B (n + 1) + n).(1, after an attention 2).conv
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any

_ALONE = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_IN_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_PLACE = re.compile(
    r"(down_blocks|mid_block|up_blocks)(?:\.(\d+))?\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)"
)


def original_unet_names(network: Any) -> dict[str, str]:  # Any: a diffusers UNet2DConditionModel, untyped
    """Give the original name of each layer of a UNet, by the name that diffusers has for it.

    Layers that the original programs don't know are left out.
    """
    layers = network.config.layers_per_block
    if not isinstance(layers, int):
        return {}  # the original programs have one number for all levels
    names = [name for name, module in network.named_modules() if any(True for _ in module.parameters(recurse=False))]
    attending = {level for level, block in enumerate(getattr(network, "up_blocks", ())) if hasattr(block, "attentions")}
    found = ((name, _original(name, layers, attending)) for name in names)
    return {name: original for name, original in found if original is not None}


def _original(name: str, layers: int, attending: Container[int]) -> str | None:
    if name in _ALONE:
        return _ALONE[name]
    match = _PLACE.match(name)
    if match is None:
        return None
    side, level, kind, number = match[1], int(match[2] or 0), match[3], int(match[4])
    rest = name[match.end() :].removeprefix(".")
    if kind == "resnets":
        rest = _IN_RESNET.get(rest, "")
        if not rest:
            return None
    if side == "mid_block":
        return f"middle_block.{number * 2 + (kind == 'attentions')}.{rest}"
    first = level * (layers + 1)
    if side == "down_blocks":
        if kind == "downsamplers":
            return f"input_blocks.{1 + first + layers}.0.op"
        return f"input_blocks.{1 + first + number}.{int(kind == 'attentions')}.{rest}"
    if kind == "upsamplers":
        return f"output_blocks.{first + layers}.{2 if level in attending else 1}.conv"
    return f"output_blocks.{first + number}.{int(kind == 'attentions')}.{rest}"
