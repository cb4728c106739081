"""Small pictures of what a node is working on."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from graphengine.errors import GraphEngineError

if TYPE_CHECKING:
    from graphengine.types import Image

__all__ = ["preview_jpeg"]

_LONGEST_SIDE = 512
_QUALITY = 80


def preview_jpeg(image: Image) -> bytes:
    """Make a JPEG of a picture, at most 512 pixels wide and high.

    Args:
        image: ``[H, W, 3]`` or ``[B, H, W, 3]`` in 0…1, of which the first is taken.

    Raises:
        GraphEngineError: for anything else.
    """
    from PIL import Image as pillow

    shape = tuple(image.shape)
    if len(shape) not in (3, 4) or shape[-1] != 3 or 0 in shape:
        raise GraphEngineError(f"a preview is a picture [H, W, 3], not a tensor {list(shape)}.")
    picture = (image[0] if len(shape) == 4 else image).detach().float().nan_to_num().clamp(0, 1)
    small = pillow.fromarray((picture * 255).round().byte().cpu().numpy())
    small.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    file = BytesIO()
    small.save(file, format="JPEG", quality=_QUALITY)
    return file.getvalue()
