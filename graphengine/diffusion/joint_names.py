"""The names that the weights of Stable Diffusion 3's transformer have in single-file checkpoints.

    transformer_blocks.2.attn.to_k.weight        joint_blocks.2.x_block.attn.qkv.weight         its second third
    transformer_blocks.2.attn.add_k_proj.weight  joint_blocks.2.context_block.attn.qkv.weight   the prompt's
    norm_out.linear.weight                       final_layer.adaLN_modulation.1.weight          its halves swapped

Where a normalisation only shifts and scales, the original program gives the shift first and diffusers the scale: so it
is after the last block, and for the prompt in it, which goes no further.

Source: github.com/Stability-AI/sd3-ref.
"""

from __future__ import annotations

from collections.abc import Iterable

from graphengine.diffusion.original_names import Place, Places

_OUTSIDE = {
    "pos_embed.pos_embed": "pos_embed",
    "pos_embed.proj": "x_embedder.proj",
    "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
    "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
    "context_embedder": "context_embedder",
    "proj_out": "final_layer.linear",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
}
_PICTURE, _PROMPT = "x_block", "context_block"
_WITHIN = {
    "norm1.linear": (_PICTURE, "adaLN_modulation.1"),
    "norm1_context.linear": (_PROMPT, "adaLN_modulation.1"),
    "attn.to_out.0": (_PICTURE, "attn.proj"),
    "attn.to_add_out": (_PROMPT, "attn.proj"),
    "attn.norm_q": (_PICTURE, "attn.ln_q"),
    "attn.norm_k": (_PICTURE, "attn.ln_k"),
    "attn.norm_added_q": (_PROMPT, "attn.ln_q"),
    "attn.norm_added_k": (_PROMPT, "attn.ln_k"),
    "attn2.to_out.0": (_PICTURE, "attn2.proj"),
    "attn2.norm_q": (_PICTURE, "attn2.ln_q"),
    "attn2.norm_k": (_PICTURE, "attn2.ln_k"),
    "ff.net.0.proj": (_PICTURE, "mlp.fc1"),
    "ff.net.2": (_PICTURE, "mlp.fc2"),
    "ff_context.net.0.proj": (_PROMPT, "mlp.fc1"),
    "ff_context.net.2": (_PROMPT, "mlp.fc2"),
}
_THIRDS = {
    "attn.to_q": (_PICTURE, "attn.qkv", 0),
    "attn.to_k": (_PICTURE, "attn.qkv", 1),
    "attn.to_v": (_PICTURE, "attn.qkv", 2),
    "attn.add_q_proj": (_PROMPT, "attn.qkv", 0),
    "attn.add_k_proj": (_PROMPT, "attn.qkv", 1),
    "attn.add_v_proj": (_PROMPT, "attn.qkv", 2),
    "attn2.to_q": (_PICTURE, "attn2.qkv", 0),
    "attn2.to_k": (_PICTURE, "attn2.qkv", 1),
    "attn2.to_v": (_PICTURE, "attn2.qkv", 2),
}


def joint_places(names: Iterable[str], prefix: str = "model.diffusion_model.") -> Places:
    """Give the places of an ``SD3Transformer2DModel``'s weights."""
    names = list(names)
    numbers = [int(name.split(".")[1]) for name in names if name.startswith("transformer_blocks.")]
    last = max(numbers, default=-1)
    return {name: _place(name, prefix, last) for name in names}


def _place(name: str, prefix: str, last: int) -> Place:
    if not name.startswith("transformer_blocks."):
        stem, kind = (name, "") if name in _OUTSIDE else name.rsplit(".", 1)
        stored = f"{prefix}{_OUTSIDE[stem]}{kind and '.'}{kind}"
        return Place(stored, form="swapped" if stem == "norm_out.linear" else "same")
    _blocks, number, rest = name.split(".", 2)
    layer, kind = rest.rsplit(".", 1)
    if layer in _THIRDS:
        block, inner, third = _THIRDS[layer]
        return Place(f"{prefix}joint_blocks.{number}.{block}.{inner}.{kind}", third=third)
    block, inner = _WITHIN[layer]
    is_swapped = layer == "norm1_context.linear" and int(number) == last
    return Place(f"{prefix}joint_blocks.{number}.{block}.{inner}.{kind}", form="swapped" if is_swapped else "same")
