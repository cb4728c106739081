"""Small changes to pictures that give each epoch new ones: flips, crops, and colours a little off."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from PIL import ImageEnhance

from graphengine.diffusion.numbered_random import numbered_uniform

__all__ = ["Augmentation", "Draws", "draw"]


@dataclass(frozen=True)
class Augmentation:
    """How much pictures change from epoch to epoch.

    Attributes:
        flip: Share of pictures shown as in a mirror.
        random_crop: Whether what is cut off is chosen anew, instead of cutting both sides alike.
        zoom: Pictures are made larger by up to this share before they are cut.
        brightness: By what share it goes up or down, at most; so for the next two.
        contrast: As brightness.
        saturation: As brightness.
        hue: How far colours turn in the colour circle, at most; 0.5 is as far as they can.
    """

    flip: float = 0.0
    random_crop: bool = False
    zoom: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    @property
    def varies(self) -> bool:
        """Whether pictures differ between epochs at all."""
        return any(asdict(self).values())

    @property
    def only_flips(self) -> bool:
        """Whether there are but two variations of a picture."""
        return not any(value for name, value in asdict(self).items() if name != "flip")


@dataclass(frozen=True)
class Draws:
    """What was drawn for one variation of a picture.

    Attributes:
        is_flipped: Whether it is shown as in a mirror.
        zoom: How much larger it is made, ≥ 1.
        at: Where the crop lies, across and down, 0…1.
        factors: Of brightness, contrast and saturation.
        hue: How far colours turn, -0.5…0.5.
    """

    is_flipped: bool
    zoom: float
    at: tuple[float, float]
    factors: tuple[float, float, float]
    hue: float

    def coloured(self, picture: Picture.Image) -> Picture.Image:
        """Change a picture's colours."""
        kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        for kind, factor in zip(kinds, self.factors, strict=True):
            picture = picture if factor == 1 else kind(picture).enhance(factor)
        return picture if self.hue == 0 else _turned(picture, self.hue)


def draw(chosen: Augmentation, number: int) -> Draws:
    """Draw what happens to the example with this number; the number alone decides it."""
    numbers: NDArray[np.float64] = numbered_uniform(0, [number], 8)[0]
    flip, zoom, across, down, *colours = numbers.tolist()
    amounts = (chosen.brightness, chosen.contrast, chosen.saturation)
    factors = [1 + amount * (2 * drawn - 1) for amount, drawn in zip(amounts, colours, strict=False)]
    return Draws(
        is_flipped=flip < chosen.flip,
        zoom=1 + zoom * chosen.zoom,
        at=(across, down) if chosen.random_crop else (0.5, 0.5),
        factors=(factors[0], factors[1], factors[2]),
        hue=chosen.hue * (2 * colours[3] - 1),
    )


def _turned(picture: Picture.Image, hue: float) -> Picture.Image:
    turn = round(hue * 256)
    circle, saturation, brightness = picture.convert("HSV").split()
    turned = circle.point([(value + turn) % 256 for value in range(256)])
    return Picture.merge("HSV", (turned, saturation, brightness)).convert("RGB")
