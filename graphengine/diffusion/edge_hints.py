"""Edges as hints: what the Canny node would find in each picture of a dataset, at the size it is trained at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image as Picture
from torch import Tensor

from graphengine.diffusion.edges import canny
from graphengine.types import Image

__all__ = ["EdgeHints"]


@dataclass(frozen=True)
class EdgeHints:
    """How edges are found; see ``edges.canny``.

    Attributes:
        low: Least strength of an edge that goes on from a strong one.
        high: Least strength of a strong edge, ≥ ``low``.
    """

    low: float = 0.4
    high: float = 0.8

    def of(self, pictures: Tensor) -> Tensor:
        """Give the edges of ``[B, 1 or 3, H, W]`` in 0…1, as ``[B, 3, H, W]`` of 0 and 1."""
        shown = Image(pictures.expand(-1, 3, -1, -1).permute(0, 2, 3, 1))
        return canny(shown, low=self.low, high=self.high).permute(0, 3, 1, 2).contiguous()

    def of_picture(self, picture: Picture.Image) -> Picture.Image:
        """Give the edges of one picture."""
        pixels = torch.from_numpy(np.array(picture, dtype=np.float32)) / 255  # [H, W, 3]
        edges = self.of(pixels.permute(2, 0, 1)[None])[0, 0]
        return Picture.fromarray((edges * 255).byte().numpy()).convert("RGB")
