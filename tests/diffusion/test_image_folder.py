"""A folder of pictures as a dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from graphengine.diffusion.image_folder import ImageFolder
from graphengine.errors import InputError


def save(path: Path, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], exif: Picture.Exif | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(pixels).save(path, exif=exif or Picture.Exif())


def halves(height: int, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Red on the left, blue on the right."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 2] = 255
    return pixels


def picture(folder: ImageFolder, index: int = 0) -> torch.Tensor:
    images = folder.examples([index], ["images"]).images
    assert images is not None
    return images[0]


def test_pictures_come_in_the_order_of_their_names_with_captions(tmp_path: Path) -> None:
    save(tmp_path / "b.png", halves(4, 4))
    save(tmp_path / "a" / "z.JPG", halves(4, 4))
    (tmp_path / "b.txt").write_text("two\n halves ", encoding="utf-8-sig")
    (tmp_path / "notes.md").write_text("not a picture")
    folder = ImageFolder(tmp_path, size=4)

    assert folder.length == 2
    assert folder.fields == ["images", "captions"]
    assert folder.examples([0, 1, 0], ["captions"]).captions == ["", "two halves", ""]


def test_cover_cuts_the_sides_and_contain_shows_all(tmp_path: Path) -> None:
    """A wide picture, its outer quarters green."""
    pixels = halves(8, 16)
    pixels[:, :4] = pixels[:, 12:] = (0, 255, 0)
    save(tmp_path / "wide.png", pixels)

    cover = picture(ImageFolder(tmp_path, size=8))
    assert cover.shape == (3, 8, 8)
    torch.testing.assert_close(cover, torch.from_numpy(halves(8, 8)).permute(2, 0, 1) / 127.5 - 1)

    contain = picture(ImageFolder(tmp_path, size=8, fit="contain"))
    assert torch.all(contain[:, :2] == 1)
    assert torch.all(contain[:, 6:] == 1)
    assert contain[:, 2:6, 0].mean(1).tolist() == [-1, 1, -1]  # the green quarter is there


def test_exif_rotation_and_transparency_are_honoured(tmp_path: Path) -> None:
    exif = Picture.Exif()
    exif[0x0112] = 3  # upside down: red is on the right when shown
    save(tmp_path / "a.png", halves(8, 8), exif=exif)
    clear = np.zeros((8, 8, 4), dtype=np.uint8)
    save(tmp_path / "b.png", clear)
    folder = ImageFolder(tmp_path, size=8)

    assert picture(folder, 0)[0, 0].tolist() == [-1] * 4 + [1] * 4
    assert torch.all(picture(folder, 1) == 1)


def test_the_digest_follows_content_captions_and_settings(tmp_path: Path) -> None:
    save(tmp_path / "a.png", halves(4, 4))
    digests = [ImageFolder(tmp_path, size=4).digest, ImageFolder(tmp_path, size=4).digest]
    assert digests[0] == digests[1]
    digests.append(ImageFolder(tmp_path, size=8).digest)
    (tmp_path / "a.txt").write_text("hello")
    digests.append(ImageFolder(tmp_path, size=4).digest)
    save(tmp_path / "a.png", halves(6, 4))
    digests.append(ImageFolder(tmp_path, size=4).digest)
    assert len(set(digests)) == 4


def test_bad_folders_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        ImageFolder(tmp_path / "missing", size=4)
    with pytest.raises(InputError, match="holds no pictures"):
        ImageFolder(tmp_path, size=4)

    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"sub/broken\.png can't be read"):
        ImageFolder(tmp_path, size=4).examples([0], ["images"])

    (tmp_path / "sub" / "broken.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match=r"broken\.txt can't be read"):
        ImageFolder(tmp_path, size=4)


def test_a_truncated_picture_is_named(tmp_path: Path) -> None:
    save(tmp_path / "cut.jpg", halves(64, 64))
    content = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"cut\.jpg can't be read"):
        ImageFolder(tmp_path, size=8).examples([0], ["images"])


def test_one_grey_picture_is_a_dataset(tmp_path: Path) -> None:
    Picture.new("L", (3, 3), 255).save(tmp_path / "a.png")
    folder = ImageFolder(tmp_path, size=4)
    assert folder.fields == ["images"]
    images = folder.examples([0] * 5, ["images"]).images
    assert images is not None
    assert images.shape == (5, 3, 4, 4)
    assert torch.all(images == 1)
