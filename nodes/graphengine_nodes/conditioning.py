"""Say what the picture should show, and where and when each prompt counts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from graphengine import Context, InputError, Widget, node
from graphengine.diffusion.options import PromptWeighting
from graphengine.diffusion.prompt_files import versions_of_learned_words, versions_of_wildcards
from graphengine.types import Area, Clip, Conditioning, Mask, PictureSize
from graphengine_nodes.inputs import Seed, Share, Side, Text

Strength = Annotated[float, Field(ge=0, le=10), Widget("number", step=0.01)]
Pixels = Annotated[int, Field(ge=0, le=16384)]
Weighting = Annotated[PromptWeighting, Widget("choice", advanced=True)]


@node(
    "CLIPEncode",
    category="conditioning",
    device="gpu",
    fingerprint=lambda files, text=None: versions_of_learned_words(files, [text]),
)
def clip_encode(ctx: Context, text: Text = "", weighting: Weighting = "interpolate", *, clip: Clip) -> Conditioning:
    r"""Turn a prompt into conditioning, which the sampler follows.

    A prompt may be of any length. (red star) counts 1.1 times, (red star:1.3) 1.3 times, [red star] 1/1.1 times;
    [star:heart:0.5] is a star for the first half of the steps and then a heart, [star::8] and [:heart:8] a star until
    and a heart from step 8 on; BREAK begins a new chunk of tokens; embedding:name is a word learned by textual
    inversion. \( and \) are plain brackets, as are those without a partner.

    Args:
        text: What you want to see, or for the negative prompt what you don't. May be empty.
        weighting: How weights act. "interpolate" moves words away from the empty prompt; "restore_mean" scales them, as
            older programs do: for prompts written there.
        clip: From LoadCheckpoint.
    """
    return _encoded(ctx, clip, text, weighting)


@node(
    "CLIPEncodeSDXL",
    category="conditioning",
    device="gpu",
    fingerprint=lambda files, text_g=None, text_l=None: versions_of_learned_words(files, [text_g, text_l]),
)
def clip_encode_sdxl(
    ctx: Context,
    width: Side = 1024,
    height: Side = 1024,
    crop_w: Pixels = 0,
    crop_h: Pixels = 0,
    target_width: Side = 1024,
    target_height: Side = 1024,
    text_g: Text = "",
    text_l: Text = "",
    weighting: Weighting = "interpolate",
    *,
    clip: Clip,
) -> Conditioning:
    """Turn a prompt into conditioning for SDXL, and say what size of picture it should look like.

    Args:
        width: Of the picture that it should look like, before it was cut, in pixels; small ones are
            blurred.
        height: Its height, in pixels.
        crop_w: Pixels cut off at its left; 0 keeps what matters in the middle.
        crop_h: Pixels cut off at its top.
        target_width: Of the picture that you make, in pixels.
        target_height: Its height, in pixels.
        text_g: The prompt for the larger text encoder; CLIPEncode says how to write it.
        text_l: The prompt for the smaller one, usually the same.
        clip: From LoadCheckpoint, of SDXL.
        weighting: How weights act; see CLIPEncode.
    """
    if len(clip.encoders) != 2:
        count = len(clip.encoders)
        raise InputError("clip", f"it has {count} text encoders, SDXL's has 2.", "Use CLIPEncode, or an SDXL model.")
    size = PictureSize(
        width=width, height=height, crop_x=crop_w, crop_y=crop_h, target_width=target_width, target_height=target_height
    )
    return _with_size(_encoded(ctx, clip, (text_l, text_g), weighting), size)


@node(
    "CLIPEncodeSDXLRefiner",
    category="conditioning",
    device="gpu",
    fingerprint=lambda files, text=None: versions_of_learned_words(files, [text]),
)
def clip_encode_sdxl_refiner(
    ctx: Context,
    ascore: Annotated[float, Field(ge=0, le=10), Widget("slider", step=0.1)] = 6.0,
    width: Side = 1024,
    height: Side = 1024,
    text: Text = "",
    weighting: Weighting = "interpolate",
    *,
    clip: Clip,
) -> Conditioning:
    """Turn a prompt into conditioning for SDXL's refiner, and say how beautiful the picture should be.

    Args:
        ascore: How beautiful, from 0 to 10: 6 for the positive prompt and 2.5 for the negative one is usual.
        width: Of the picture that it should look like, in pixels.
        height: Its height, in pixels.
        text: The prompt; CLIPEncode says how to write it.
        weighting: How weights act; see CLIPEncode.
        clip: From LoadCheckpoint, of the refiner.
    """
    size = PictureSize(width=width, height=height, aesthetic_score=ascore)
    return _with_size(_encoded(ctx, clip, text, weighting), size)


@node("CLIPSetLastLayer", category="conditioning", aliases=("ClipSkip",))
def clip_set_last_layer(clip: Clip, stop_at_clip_layer: Annotated[int, Field(ge=-32, le=-1)] = -1) -> Clip:
    """Read prompts after an earlier layer of the text encoder, as some models were trained ("CLIP skip").

    Args:
        clip: From LoadCheckpoint.
        stop_at_clip_layer: -1 is the last layer, -2 the one before it (elsewhere "CLIP skip 2"). SDXL's own is -2.
    """
    from graphengine.diffusion.text_encoding import set_last_layer

    return set_last_layer(clip, stop_at_clip_layer)


@node("ConditioningCombine", category="conditioning")
def conditioning_combine(conditioning_1: Conditioning, conditioning_2: Conditioning) -> Conditioning:
    """Follow both prompts: the model is asked about each, and its answers are averaged. Each takes time of its own.

    Args:
        conditioning_1: One prompt, perhaps for an area.
        conditioning_2: The other prompt, of the same model.
    """
    from graphengine.diffusion import conditioning_parts

    return conditioning_parts.combine(conditioning_1, conditioning_2)


@node("ConditioningConcat", category="conditioning")
def conditioning_concat(conditioning_to: Conditioning, conditioning_from: Conditioning) -> Conditioning:
    """Read one prompt after the other, as one longer prompt.

    Args:
        conditioning_to: What comes first; its area, mask and times stay.
        conditioning_from: What follows; a single prompt.
    """
    from graphengine.diffusion import conditioning_parts

    return conditioning_parts.concat(conditioning_to, conditioning_from)


@node("ConditioningAverage", category="conditioning")
def conditioning_average(
    conditioning_to: Conditioning, conditioning_from: Conditioning, conditioning_to_strength: Share = 1.0
) -> Conditioning:
    """Mix two prompts into one between them.

    Args:
        conditioning_to: Its area, mask and times stay.
        conditioning_from: A single prompt.
        conditioning_to_strength: Share of conditioning_to; the rest is conditioning_from's.
    """
    from graphengine.diffusion import conditioning_parts

    return conditioning_parts.average(conditioning_to, conditioning_from, conditioning_to_strength)


@node("ConditioningZeroOut", category="conditioning")
def conditioning_zero_out(conditioning: Conditioning) -> Conditioning:
    """Say nothing: all zeros in place of a prompt. SDXL and SD 3 take it as the best negative prompt.

    Args:
        conditioning: Any prompt for the model; only its size matters.
    """
    from graphengine.diffusion import conditioning_parts

    return conditioning_parts.zero_out(conditioning)


@node("ConditioningSetArea", category="conditioning")
def conditioning_set_area(
    conditioning: Conditioning,
    width: Side = 64,
    height: Side = 64,
    x: Pixels = 0,
    y: Pixels = 0,
    strength: Strength = 1.0,
) -> Conditioning:
    """Follow a prompt in a rectangle only: the model sees nothing else there. Combine it with one for the whole.

    Args:
        conditioning: The prompt, from CLIPEncode.
        width: Of the rectangle, in pixels.
        height: Of the rectangle, in pixels.
        x: Of its left edge.
        y: Of its top edge.
        strength: How much it counts beside others.
    """
    from graphengine.diffusion import conditioning_parts

    return conditioning_parts.set_area(conditioning, Area(x, y, width, height), strength)


@node("ConditioningSetAreaPercentage", category="conditioning")
def conditioning_set_area_percentage(
    conditioning: Conditioning,
    width: Annotated[Share, Field(gt=0)] = 1.0,
    height: Annotated[Share, Field(gt=0)] = 1.0,
    x: Share = 0.0,
    y: Share = 0.0,
    strength: Strength = 1.0,
) -> Conditioning:
    """Follow a prompt in a rectangle only, given in shares of the picture, so that it fits any size.

    Args:
        conditioning: The prompt, from CLIPEncode.
        width: Of the rectangle; 1 is the picture's width.
        height: Of the rectangle; 1 is the picture's height.
        x: Of its left edge.
        y: Of its top edge.
        strength: How much it counts beside others.
    """
    from graphengine.diffusion import conditioning_parts

    return conditioning_parts.set_area(conditioning, Area(x, y, width, height, "share"), strength)


@node("ConditioningSetMask", category="conditioning")
def conditioning_set_mask(
    conditioning: Conditioning,
    mask: Mask,
    strength: Strength = 1.0,
    set_cond_area: Literal["default", "mask bounds"] = "default",
) -> Conditioning:
    """Follow a prompt where a mask selects.

    Args:
        conditioning: The prompt, from CLIPEncode.
        mask: Where; of any size, it is stretched to the picture.
        strength: How much it counts beside others.
        set_cond_area: What the model sees: the whole picture by default, or only the rectangle around the mask.
    """
    from graphengine.diffusion import conditioning_parts

    return conditioning_parts.set_mask(conditioning, mask, strength, crop=set_cond_area == "mask bounds")


@node("ConditioningSetTimestepRange", category="conditioning")
def conditioning_set_timestep_range(conditioning: Conditioning, start: Share = 0.0, end: Share = 1.0) -> Conditioning:
    """Follow a prompt for a part of the way from noise to picture only. Combine it with others for the rest.

    Args:
        conditioning: The prompt. A negative one may leave some of the way out: there is no guidance then.
        start: Where it begins; 0 is pure noise.
        end: Where it ends; 1 is the finished picture.
    """
    from graphengine.diffusion import conditioning_parts

    return conditioning_parts.set_timesteps(conditioning, start, end)


@conditioning_set_timestep_range.check
def _(start: float, end: float) -> None:
    if start >= end:
        raise InputError("end", f"from {start:g} to {end:g} there is nothing.", "Choose an end after the start.")


@node(
    "Wildcards",
    category="conditioning",
    outputs="text",
    aliases=("dynamic prompts",),
    fingerprint=lambda files, text=None: versions_of_wildcards(files, text),
)
def wildcards(ctx: Context, text: Text = "", seed: Seed = 0) -> str:
    r"""Draw one of several choices in a prompt.

    {red|green} is one of the two, {3::red|green} red three times as often, __colours__ a line of the file colours.txt
    in the wildcards folder. Choices may hold choices. \{ and \} are plain braces.

    Args:
        text: A prompt with choices.
        seed: The same seed draws the same choices.
    """
    from graphengine.diffusion.wildcards import expand, lines_in

    return expand(text, seed, lines_in(ctx.settings))


def _encoded(ctx: Context, clip: Clip, text: str | tuple[str, str], weighting: PromptWeighting) -> Conditioning:
    from graphengine.diffusion import conditioning
    from graphengine.diffusion.textual_inversion import learned_words

    find_learned = learned_words(ctx.settings, clip)
    with ctx.loaded(clip) as device:
        return conditioning.encode(clip, text, device=device, weighting=weighting, find_learned=find_learned)


def _with_size(conditioning: Conditioning, size: PictureSize) -> Conditioning:
    from graphengine.diffusion import conditioning_parts

    return conditioning_parts.set_size(conditioning, size)
