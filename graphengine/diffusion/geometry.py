"""Read where a shape lies from a text.

A geometry is a row of numbers, separated by commas or spaces, alternately across and down:

    rectangle, ellipse   x,y,width,height            the ellipse fills that box
    polygon              x,y x,y x,y …               at least three corners; where it crosses itself, even-odd
    gradient             x,y x,y                     from where the mask is 0 to where it is 1; flat beyond

Each number is in pixels, or a percentage of the mask's width or height: ``25%,25%,50%,50%``. Shapes may reach over the
border. This module loads no torch, so that a workflow's geometries can be checked before anything runs.
"""

from __future__ import annotations

import math
from typing import Literal

from graphengine.errors import InputError

Shape = Literal["rectangle", "ellipse", "polygon", "gradient"]

FORMS = {
    "rectangle": "x,y,width,height",
    "ellipse": "x,y,width,height",
    "polygon": "x,y x,y x,y, with three corners or more",
    "gradient": "x,y x,y, from where the mask is 0 to where it is 1",
}


def parse_geometry(shape: Shape, geometry: str, width: int, height: int) -> list[float]:
    """Read a geometry into pixels.

    Raises:
        InputError: quoting what can't be read and giving the shape's form.
    """
    words = geometry.replace(",", " ").split()
    numbers = [_number(shape, word, height if index % 2 else width) for index, word in enumerate(words)]
    fits = len(numbers) >= 6 and len(numbers) % 2 == 0 if shape == "polygon" else len(numbers) == 4
    if not fits:
        raise _bad_geometry(shape, f"{geometry!r} has {len(numbers)} numbers")
    if shape in ("rectangle", "ellipse") and min(numbers[2:]) <= 0:
        raise _bad_geometry(shape, f"{geometry!r}: width and height must be above 0")
    if shape == "gradient" and numbers[:2] == numbers[2:]:
        raise _bad_geometry(shape, f"{geometry!r} starts where it ends")
    return numbers


def _number(shape: Shape, word: str, whole: int) -> float:
    try:
        value = float(word.removesuffix("%"))
    except ValueError:
        raise _bad_geometry(shape, f"{word!r} is not a number") from None
    if not math.isfinite(value):
        raise _bad_geometry(shape, f"{word!r} is not a place")
    return value * whole / 100 if word.endswith("%") else value


def _bad_geometry(shape: Shape, message: str) -> InputError:
    return InputError("geometry", f"{message}.", f"A {shape} takes {FORMS[shape]}; in pixels, or percent such as 50%.")
