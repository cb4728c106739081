"""Files to send."""

from __future__ import annotations

from pathlib import Path

from PIL import Image as pillow


def picture_bytes(folder: Path, kind: str = "PNG", size: tuple[int, int] = (40, 30), **options: object) -> bytes:
    """Noise, so that a picture has many bytes to damage."""
    path = folder / f"made.{kind}"
    pillow.effect_noise(size, 80).convert("RGB").save(path, kind, **options)
    content = path.read_bytes()
    path.unlink()
    return content
