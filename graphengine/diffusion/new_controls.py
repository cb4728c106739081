"""New ControlNets: a copy of a UNet's way down that reads a picture besides, and says nothing before it is trained.

Source: Zhang et al. 2023, arXiv:2302.05543.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from diffusers import ControlNetModel, UNet2DConditionModel
from torch import nn

from graphengine.diffusion.step_random import seeded_globally
from graphengine.errors import InputError
from graphengine.types import ControlNet, Model

HintStart = Literal["zero", "random"]
"""How what is read of the hint begins: at zero as published, or at random, which short trainings learn from sooner."""

PUBLISHED_WIDTHS = (16, 32, 96, 256)


def new_control_net(
    model: Model, *, seed: int, hint_widths: Sequence[int] = PUBLISHED_WIDTHS, hint_start: HintStart = "zero"
) -> ControlNet:
    """Make a ControlNet for a model's family, in float32 on the CPU.

    Args:
        seed: Decides the weights of the layers that read the hint; all others are copied or zero.
        hint_widths: Channels of those layers, fine to coarse; each but the last halves the hint's sides.

    Raises:
        InputError: if the model has no such UNet, or the hint wouldn't come to the latents' size.
    """
    network: Any = model.network  # Any: diffusers' networks are untyped
    if not isinstance(network, UNet2DConditionModel):
        raise InputError(
            "model",
            f"its network is a {type(network).__name__}, which can't be steered.",
            "Choose a Stable Diffusion 1, 2 or XL, or one made by NewUNet.",
        )
    factor = 2 ** (len(hint_widths) - 1)
    if factor != model.latent_factor:
        raise InputError(
            "hint_widths",
            f"{len(hint_widths)} numbers make {factor} x {factor} pixels one cell; the model's cells have "
            f"{model.latent_factor} x {model.latent_factor}.",
            f"Write {model.latent_factor.bit_length()} numbers.",
        )
    with seeded_globally(seed):
        copied: Any = ControlNetModel.from_unet(network, conditioning_embedding_out_channels=tuple(hint_widths))
        # from_unet leaves the pooling's heads out, so the copy has as many as a new UNet would.
        heads = {"addition_embed_type_num_heads": network.config.addition_embed_type_num_heads}
        config = {name: value for name, value in copied.config.items() if not name.startswith("_")}
        made: Any = ControlNetModel(**{**config, **heads})  # from_config would put the default back
        made.load_state_dict(copied.state_dict())
        if hint_start == "random":
            _wake(made.controlnet_cond_embedding)
    return ControlNet(made.float().eval().requires_grad_(False), source="NewControlNet")


def _wake(reader: nn.Module) -> None:
    """Begin the layers that read the hint so that none of its strength is lost on the way.

    As torch begins them, each layer passes on about a third: next to nothing of the hint arrives, and gradients are as
    weak. With the embedded model, 200 steps then taught nothing of edges; begun like this, 40 steps did.
    Source: He et al. 2015, arXiv:1502.01852.
    """
    for layer in reader.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
