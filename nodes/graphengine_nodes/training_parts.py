"""Parts of a recipe that most trainings leave out; each plugs into TrainRecipe."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from graphengine import InputError, Widget, node
from graphengine.training_types import AdapterMethod, LoraRecipe
from graphengine_nodes.inputs import RareShare

_BLOCK = r"[\w.]+\s*=\s*\d{1,4}"
Rank = Annotated[int, Field(ge=1, le=4096)]


@node("LoraRecipe", category="training/recipes", outputs="lora")
def lora_recipe(
    method: AdapterMethod = "lora",
    rank: Rank = 16,
    alpha: Annotated[float, Field(gt=0, le=65_536)] = 16.0,
    targets: str = "attention",
    dropout: RareShare = 0.0,
    block_ranks: Annotated[
        str,
        Field(pattern=rf"^\s*({_BLOCK}(\s*[,\n]\s*{_BLOCK})*)?\s*$"),
        Widget("textarea", advanced=True),
    ] = "",
) -> LoraRecipe:
    """Choose which small changes to train instead of all of a model's weights: a LoRA, or one of its kin.

    Args:
        method: lora is two thin matrices beside a layer. dora also trains the lengths of its rows, loha and lokr say
            more with as few numbers; these three take longer a step.
        rank: Size of the change: 4 to 16 for a style or a thing, 32 to 128 for much that is new.
        alpha: The change counts alpha / rank times, so that another rank needs no other learning rate.
        targets: Layers to change, separated by commas: attention, cross_attention, feed_forward, projections, resnets,
            resampling; or what their names end with, such as attn2.to_k.
        dropout: Share of a layer's inputs that the change doesn't see at a step, against learning by heart.
        block_ranks: Other ranks for blocks, such as mid_block=4, up_blocks.1=32; 0 leaves a block out.
    """
    chosen = tuple(target for part in targets.split(",") if (target := part.strip()))
    if not chosen:
        raise InputError("targets", "none is named.", "Write attention, or other kinds of layers.")
    return LoraRecipe(
        method=method, rank=rank, alpha=alpha, dropout=dropout, targets=chosen, block_ranks=_ranks(block_ranks)
    )


@lora_recipe.check
def _ranks_once(block_ranks: Any) -> None:  # Any: a literal
    blocks = [block for block, _ in _ranks(block_ranks)]
    if len(set(blocks)) < len(blocks):
        twice = next(block for block in blocks if blocks.count(block) > 1)
        raise InputError("block_ranks", f"{twice!r} is there twice.", "Give each block one rank.")


def _ranks(text: str) -> tuple[tuple[str, int], ...]:
    pairs = (part.split("=") for part in text.replace("\n", ",").split(",") if part.strip())
    return tuple((block.strip(), int(rank)) for block, rank in pairs)
