"""Choices that nodes offer, here without torch so that nodes can be defined without it."""

from __future__ import annotations

from typing import Literal

Resampling = Literal["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]
"""How a picture or latent is resized; Lanczos is the sharpest, nearest-exact keeps single values."""

Crop = Literal["disabled", "center"]
"""What happens to other proportions: stretched, or the longer side cut."""

MaskOperation = Literal["multiply", "add", "subtract", "and", "or", "xor"]
Channel = Literal["red", "green", "blue"]
ChannelOrAlpha = Literal["alpha", "red", "green", "blue"]

Flip = Literal["x-axis: vertically", "y-axis: horizontally"]
"""Which axis a picture is mirrored at: upside down, or left to right."""

Rotation = Literal["none", "90 degrees", "180 degrees", "270 degrees"]
"""Clockwise."""

LatentKind = Literal["auto", "sd", "sdxl", "sd3", "flux"]
"""Whose latents an autoencoder makes: Stable Diffusion 1 and 2, XL, 3, or Flux."""

ClipKind = Literal["auto", "sd1", "sd2", "sdxl", "sdxl_refiner", "sd3"]
"""Whose text encoders these are."""

PredictionChoice = Literal["unchanged", "epsilon", "v_prediction", "sample", "flow"]
"""What a model's raw output is taken to mean; see ``Prediction``."""

PictureCombination = Literal["concat", "average"]
"""What a model attends to of several pictures: all of them, or their mean."""

PictureAspect = Literal["all", "style", "composition", "style and composition"]
"""What a model takes from a picture that it attends to."""

Axis = Literal["x", "-x", "y", "-y", "t", "-t"]
"""Across, down, or along the batch; with a minus sign in the other order."""


PromptWeighting = Literal["interpolate", "restore_mean"]
"""How weights in a prompt act: away from the empty prompt, or scaled and brought back to the old mean."""


def turns(rotation: Rotation) -> int:
    """Give how many quarters clockwise a rotation is."""
    return ("none", "90 degrees", "180 degrees", "270 degrees").index(rotation)


Side = Literal["right", "down", "left", "up"]
"""On which side of a picture another is put."""

SpacingColor = Literal["white", "black", "red", "green", "blue"]

BlendMode = Literal[
    "normal",
    "multiply",
    "screen",
    "overlay",
    "darken",
    "lighten",
    "color_dodge",
    "color_burn",
    "hard_light",
    "soft_light",
    "difference",
    "exclusion",
    "add",
    "subtract",
]
"""How a picture laid on another changes it; all but the last two as in the W3C's Compositing and Blending Level 1."""
