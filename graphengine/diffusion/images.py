"""Read pictures from files; resize, combine and arrange them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont, ImageOps, ImageSequence
from torch import Tensor

from graphengine.diffusion.batches import common_batch
from graphengine.diffusion.masks import overlap
from graphengine.diffusion.options import Crop, Resampling
from graphengine.diffusion.picture_size import MAX_PIXELS, ONE_PICTURE_FORMATS, frames_of
from graphengine.diffusion.resampling import resize as resize_planes
from graphengine.diffusion.resampling import resolve_size
from graphengine.errors import InputError
from graphengine.types import Image, Mask

LABEL_SIZE = 12
_LINE = LABEL_SIZE + 4
_MARGIN = 8

# Pillow raises any of these for damaged files.
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Picture.DecompressionBombError)


def load(path: Path) -> tuple[Image, Mask]:
    """Read a picture file, turned as its EXIF says; of an animation every frame, as a batch.

    Grey, palette and CMYK pictures become RGB (without colour management); 16-bit grey keeps its precision.

    Returns:
        The picture [B, H, W, 3], and a mask [B, H, W] of what is transparent in it: 1 - alpha, zeros without alpha.

    Raises:
        InputError: naming the file, if it can't be read, is cut off, empty or too large.
    """
    frames: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    try:
        with warnings.catch_warnings(action="ignore"), Picture.open(path) as picture:  # of odd metadata, and of size
            _check_size(path, picture)
            frames.extend(_read_frame(path, frame) for frame in _frames(picture))
    except _UNREADABLE as error:
        raise InputError(
            "image", f"{path.name} can't be read as a picture: {error}.", "Open and save it in another program."
        ) from error
    sizes = sorted({f"{colours.shape[1]}x{colours.shape[0]}" for colours, _alpha in frames})
    if len(sizes) > 1:
        raise InputError(
            "image", f"{path.name} holds pictures of several sizes: {', '.join(sizes)}.", "Save each as its own file."
        )
    colours = torch.from_numpy(np.stack([colours for colours, _alpha in frames]))
    alpha = torch.from_numpy(np.stack([alpha for _colours, alpha in frames]))
    return Image(colours), Mask(1.0 - alpha)


def to_bytes(image: Image) -> NDArray[np.uint8]:
    """Round a picture to bytes [B, H, W, 3]; values outside 0…1 are clamped."""
    rounded: NDArray[np.uint8] = (image.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return rounded


def resize(image: Image, width: int, height: int, *, method: Resampling, crop: Crop = "disabled") -> Image:
    """Resize a picture.

    Args:
        width: In pixels; 0 follows the height in proportion.
        height: In pixels; 0 follows the width in proportion.
        crop: ``center`` cuts the longer side to the new proportions first; ``disabled`` stretches.
    """
    width, height = resolve_size(width, height, old_width=image.shape[2], old_height=image.shape[1])
    planes = resize_planes(image.permute(0, 3, 1, 2), width, height, method=method, crop=crop)  # [B, 3, H, W]
    return Image(planes.permute(0, 2, 3, 1).clamp(0, 1).contiguous())


def composite(
    destination: Image, source: Image, *, x: int, y: int, resize_source: bool = False, mask: Mask | None = None
) -> Image:
    """Lay a picture on another; what reaches over the border is cut off.

    Where the mask is 0 the result is the destination and where it is 1 the source, bit for bit.

    Args:
        x: Where the source's left edge lies on the destination, in pixels; may be negative.
        y: Where its top edge lies.
        resize_source: Stretch the source to the destination's size first.
        mask: How much of the source shows, resized to the source if its size differs; None shows all of it.

    Raises:
        InputError: if batches of different sizes meet.
    """
    height, width = destination.shape[1:3]
    if resize_source:
        source = resize(source, width, height, method="bilinear")
    parts: dict[str, Tensor] = {"destination": destination, "source": source}
    count = common_batch(parts if mask is None else parts | {"mask": mask})
    there, here = overlap((height, width), source.shape[1:3], x, y)
    result = destination.repeat(count // destination.shape[0], 1, 1, 1)
    below, above = result[(slice(None), *there)], source[(slice(None), *here)]
    if mask is None:
        result[(slice(None), *there)] = above
        return Image(result)
    share = _fit(mask, source)[(slice(None), *here)][..., None]  # [B or 1, H, W, 1]
    result[(slice(None), *there)] = below * (1 - share) + above * share
    return Image(result)


def grid(images: Image, *, columns: int = 0, gap: int = 0, labels: Sequence[str] = ()) -> Image:
    """Arrange a batch in rows on a white sheet, from left to right.

    Args:
        columns: Pictures in a row; 0 makes the sheet about square.
        gap: Pixels between pictures.
        labels: A text under each picture, wrapped to its width; or none.

    Returns:
        One picture, [1, H, W, 3].

    Raises:
        InputError: if there are labels, but not one for each picture.
    """
    count, height, width = images.shape[:3]
    if labels and len(labels) != count:
        raise InputError("labels", f"{len(labels)} labels for {count} pictures.", "Write one line for each picture.")
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    rows = math.ceil(count / columns)
    texts = [_wrapped(label, width) for label in labels]
    space = _LINE * max((len(lines) for lines in texts), default=0)
    sheet = torch.ones(rows * (height + space + gap) - gap, columns * (width + gap) - gap, 3)
    for index, image in enumerate(images):
        top, left = index // columns * (height + space + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
        if space:
            sheet[top + height : top + height + space, left : left + width] = _label(texts[index], width, space)
    return Image(sheet[None])


def table(images: Image, *, column_heads: Sequence[str], row_heads: Sequence[str] = (), gap: int = 0) -> Image:
    """Arrange a batch in rows on a white sheet, with a text above each column, and one before each row or none.

    Args:
        gap: Pixels between pictures.

    Returns:
        One picture, [1, H, W, 3].

    Raises:
        InputError: if there is not a picture for each row and column.
    """
    count, height, width = images.shape[:3]
    rows, columns = max(len(row_heads), 1), len(column_heads)
    if count != rows * columns:
        raise InputError("images", f"{count} pictures for {rows} rows of {columns}.", "Give one for each.")
    side = min(_widest(row_heads), max(width, _widest(word for head in row_heads for word in head.split())))
    left = side + _MARGIN if side else 0
    above, beside = (
        [_wrapped(head, room) for head in heads] for heads, room in ((column_heads, width), (row_heads, side))
    )
    top = _LINE * max(map(len, above))
    step = max([height, *(_LINE * len(lines) for lines in beside)]) + gap
    sheet = torch.ones(top + rows * step - gap, left + columns * (width + gap) - gap, 3)
    for column, lines in enumerate(above):
        start = left + column * (width + gap)
        sheet[:top, start : start + width] = _label(lines, width, top)
    for row, lines in enumerate(beside):
        tall = _LINE * len(lines)
        start = top + row * step + max(height - tall, 0) // 2
        sheet[start : start + tall, :side] = _label(lines, side, tall)
    for index, image in enumerate(images):
        start_y, start_x = top + index // columns * step, left + index % columns * (width + gap)
        sheet[start_y : start_y + height, start_x : start_x + width] = image
    return Image(sheet[None])


def _check_size(path: Path, picture: Picture.Image) -> None:
    """Refuse by the header, before any pixel is decoded."""
    width, height = picture.size
    frames = frames_of(picture)
    if not width or not height:
        raise InputError("image", f"{path.name} is empty: {width}x{height} pixels.", "Choose another file.")
    if width * height * frames > MAX_PIXELS:
        what = f"{width}x{height} pixels" + (f" in {frames} frames" if frames > 1 else "")
        raise InputError(
            "image", f"{path.name} is too large: {what}.", f"Make it smaller than {MAX_PIXELS:,} pixels in all."
        )


def _frames(picture: Picture.Image) -> Iterator[Picture.Image]:
    if picture.format in ONE_PICTURE_FORMATS:
        return iter([picture])
    return iter(ImageSequence.Iterator(picture))


def _read_frame(path: Path, frame: Picture.Image) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give colours [H, W, 3] and alpha [H, W], both in 0…1."""
    frame = ImageOps.exif_transpose(frame)
    if frame.mode.startswith(("I", "F")):
        grey = _read_deep(path, frame)
        return np.repeat(grey[..., None], 3, axis=2), np.ones_like(grey)
    if frame.has_transparency_data:
        values = np.asarray(frame.convert("RGBA"), dtype=np.float32) / np.float32(255)
        return values[..., :3], values[..., 3]
    values = np.asarray(frame.convert("RGB"), dtype=np.float32) / np.float32(255)
    return values, np.ones(values.shape[:2], dtype=np.float32)


def _read_deep(path: Path, frame: Picture.Image) -> NDArray[np.float32]:
    """Read grey with more than 8 bits; Pillow's own conversion clips it at 255."""
    values = np.asarray(frame, dtype=np.float32) / np.float32(1 if frame.mode == "F" else 65535)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise InputError(
            "image", f"{path.name} has values outside black…white.", "Save it as a 16-bit or 8-bit picture."
        )
    return values


def _fit(mask: Mask, source: Image) -> Tensor:
    height, width = source.shape[1:3]
    return resize_planes(mask[:, None], width, height, method="bilinear")[:, 0].clamp(0, 1)


def _wrapped(text: str, width: int) -> list[str]:
    """Break a text into lines that fit the width; a word that is wider itself is cut when it is drawn."""
    font = ImageFont.load_default(LABEL_SIZE)
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _widest(texts: Iterable[str]) -> int:
    font = ImageFont.load_default(LABEL_SIZE)
    return math.ceil(max((font.getlength(text) for text in texts), default=0))


def _label(lines: Sequence[str], width: int, height: int) -> Tensor:
    strip = Picture.new("L", (width, height), 255)
    font, draw = ImageFont.load_default(LABEL_SIZE), ImageDraw.Draw(strip)
    for row, line in enumerate(lines):
        draw.text((width / 2, (row + 0.5) * _LINE), line, fill=0, font=font, anchor="mm")
    return torch.from_numpy(np.asarray(strip, dtype=np.float32) / 255)[..., None]  # [H, W, 1]
