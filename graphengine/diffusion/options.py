"""Choices that nodes offer, here without torch so that nodes can be defined without it."""

from __future__ import annotations

from typing import Literal

Resampling = Literal["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]
"""How a picture or latent is resized; Lanczos is the sharpest, nearest-exact keeps single values."""

Crop = Literal["disabled", "center"]
"""What happens to other proportions: stretched, or the longer side cut."""

MaskOperation = Literal["multiply", "add", "subtract", "and", "or", "xor"]
Channel = Literal["red", "green", "blue"]
