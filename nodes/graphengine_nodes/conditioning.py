"""Say what the picture should show."""

from __future__ import annotations

from graphengine import Context, node
from graphengine.types import Clip, Conditioning
from graphengine_nodes.inputs import Text


@node("CLIPEncode", category="conditioning", device="gpu")
def clip_encode(ctx: Context, text: Text = "", *, clip: Clip) -> Conditioning:
    """Turn a prompt into conditioning, which the sampler follows.

    Args:
        text: What you want to see, or for the negative prompt what you don't. May be empty.
        clip: From LoadCheckpoint.
    """
    from graphengine.diffusion import conditioning

    cut = conditioning.cut_off(clip, text)
    if cut is not None:
        limit = conditioning.token_limit(clip) - 2
        ctx.warn(f"The prompt is longer than the {limit} tokens that this model reads; left out: {cut!r}")
    with ctx.loaded(clip) as device:
        return conditioning.encode(clip, text, device=device)
