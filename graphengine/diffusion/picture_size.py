"""How large pictures may be that are loaded; here without torch, for the server that takes them in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["MAX_PIXELS", "ONE_PICTURE_FORMATS", "frames_of"]

MAX_PIXELS = 89_478_485
"""Over all frames: 1 GiB as floats. It is Pillow's own limit against decompression bombs."""

ONE_PICTURE_FORMATS = ("MPO",)
"""A phone's photo; its further pictures are previews and depth maps."""


def frames_of(picture: Picture) -> int:
    """Count the frames that are loaded of a picture, as its headers have them."""
    return 1 if picture.format in ONE_PICTURE_FORMATS else getattr(picture, "n_frames", 1)
