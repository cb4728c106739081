"""Kinds of inputs that several nodes share."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated

from pydantic import Field

from graphengine import InputError, Widget

Seed = Annotated[int, Field(ge=0, le=2**64 - 1), Widget("seed")]
Side = Annotated[int, Field(ge=1, le=16384)]
SideOrZero = Annotated[int, Field(ge=0, le=16384)]
Offset = Annotated[int, Field(ge=-16384, le=16384)]
Steps = Annotated[int, Field(ge=1, le=10000)]
Share = Annotated[float, Field(ge=0, le=1), Widget("slider", step=0.01)]
RareShare = Annotated[float, Field(ge=0, le=1), Widget("slider", step=0.01, advanced=True)]
Text = Annotated[str, Widget("textarea")]
Index = Annotated[int, Field(ge=-4096, le=4095)]
Length = Annotated[int, Field(ge=1, le=16384)]
Amount = Annotated[int, Field(ge=1, le=4096)]
ScaleBy = Annotated[float, Field(ge=0.01, le=8), Widget("number", step=0.05)]
FileNamePrefix = Annotated[str, Field(min_length=1, max_length=200)]


def check_prefix(filename_prefix: str) -> None:
    """Refuse a name that leads out of the output folder."""
    parts = PurePath(filename_prefix).parts
    if ".." in parts or PurePath(filename_prefix).is_absolute() or filename_prefix.endswith(("/", "\\")):
        raise InputError(
            "filename_prefix", f"{filename_prefix!r} leads out of the output folder.", "Give a name such as 'trip/day'."
        )
