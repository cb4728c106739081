"""Small picture files for the tests of datasets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Picture

from graphengine.diffusion import image_folder
from graphengine.diffusion.picture_dataset import PictureDataset
from graphengine.diffusion.picture_shapes import Fit

Pixels = NDArray[np.uint8]


def save(path: Path, pixels: Pixels, exif: Picture.Exif | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(pixels).save(path, exif=exif or Picture.Exif())


def halves(height: int, width: int) -> Pixels:
    """Red on the left, blue on the right."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 2] = 255
    return pixels


def flat(height: int, width: int, grey: int) -> Pixels:
    return np.full((height, width, 3), grey, dtype=np.uint8)


def folder_dataset(folder: Path, size: int = 8, fit: Fit = "cover") -> PictureDataset:
    source, _notices = image_folder.image_folder(folder)
    return image_folder.of_one_size(source, size, fit)


def picture(dataset: PictureDataset, number: int = 0) -> torch.Tensor:
    images = dataset.examples([number], ["images"]).images
    assert images is not None
    return images[0]
