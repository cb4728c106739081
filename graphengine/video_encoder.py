"""Where the program is that writes MP4."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

__all__ = ["find_encoder"]


def find_encoder() -> str | None:
    """Find an ffmpeg: on the PATH, or the one that the package imageio-ffmpeg brings; None if there is none."""
    found = shutil.which("ffmpeg")
    if found is not None or find_spec("imageio_ffmpeg") is None:
        return found
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:  # the package without a binary for this platform
        return None
