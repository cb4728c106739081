"""Which layers of a network get adapters, and of which rank.

A target is a kind from the table here, or what layers' names end with: ``to_v``, ``attn2.to_k``. A block is what they
begin with: ``mid_block``, ``up_blocks.1``, ``text_encoder.encoder.layers.0``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from graphengine.diffusion.lora_names import Part
from graphengine.errors import InputError
from graphengine.training_types import LoraRecipe

TARGET_KINDS: Mapping[str, tuple[str, ...]] = {
    "attention": (
        "to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out",
        "q_proj", "k_proj", "v_proj", "out_proj",
    ),
    "cross_attention": ("attn2.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0"),
    "feed_forward": ("ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2", "fc1", "fc2"),
    "projections": ("proj_in", "proj_out"),
    "resnets": ("conv1", "conv2", "conv_shortcut", "time_emb_proj"),
    "resampling": ("downsamplers.0.conv", "upsamplers.0.conv"),
    "modulation": ("norm1.linear", "norm1_context.linear", "norm_out.linear"),
}  # fmt: skip
"""The ends of the names of layers of each kind, in diffusers' UNets and transformers and CLIP's text encoders."""


def layer_ranks(networks: Mapping[Part, nn.Module], recipe: LoraRecipe) -> dict[Part, dict[str, int]]:
    """Choose the layers that get adapters.

    Args:
        networks: Those that may get some.

    Returns:
        For each network, the rank by the layer's name.

    Raises:
        InputError: naming all targets and blocks that match nothing, or that none is left.
    """
    layers = {part: _layers(network) for part, network in networks.items()}
    every = [f"{part}.{name}" for part, names in layers.items() for name in names]
    unmatched = [target for target in recipe.targets if not any(_is_target(name, target) for name in every)]
    unmatched += [block for block, _ in recipe.block_ranks if not any(_is_in_block(name, block) for name in every)]
    if unmatched:
        raise InputError(
            "recipe",
            f"its LoRA is for layers that aren't there: {', '.join(map(repr, unmatched))}.",
            f"Choose kinds ({', '.join(TARGET_KINDS)}), or what names of layers end with, as in {_example(every)}; and "
            "blocks by what they begin with.",
        )
    chosen: dict[Part, dict[str, int]] = {}
    for part, names in layers.items():
        ranks = {name: _rank(f"{part}.{name}", recipe) for name in names if _is_chosen(name, recipe.targets)}
        chosen[part] = {name: rank for name, rank in ranks.items() if rank > 0}
    if not any(chosen.values()):
        raise InputError(
            "recipe", "its LoRA leaves no layer to train.", "Give some block a rank of 1 or more, or more targets."
        )
    return chosen


def _layers(network: nn.Module) -> list[str]:
    return [
        name
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)
    ]


def _is_chosen(name: str, targets: Sequence[str]) -> bool:
    return any(_is_target(name, target) for target in targets)


def _is_target(name: str, target: str) -> bool:
    return f".{name}".endswith(tuple(f".{end}" for end in TARGET_KINDS.get(target, (target,))))


def _is_in_block(name: str, block: str) -> bool:
    """Tell whether a layer, named with its network, is in a block, named with or without it."""
    return f"{name}.".startswith(f"{block}.") or f"{name.split('.', 1)[1]}.".startswith(f"{block}.")


def _rank(name: str, recipe: LoraRecipe) -> int:
    fitting = [(len(block), rank) for block, rank in recipe.block_ranks if _is_in_block(name, block)]
    return max(fitting)[1] if fitting else recipe.rank


def _example(names: Sequence[str]) -> str:
    return repr(next((name for name in names if name.endswith("to_q")), names[0] if names else ""))
