"""What is told of a dataset before training."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image as Picture

from graphengine.diffusion.dataset_report import report_on
from graphengine.diffusion.lookalikes import alike
from graphengine.diffusion.picture_dataset import bucketed
from graphengine.diffusion.picture_shapes import Buckets
from tests.diffusion.picture_files import flat, folder_dataset, save
from tests.diffusion.tiny_training import tiny_clip


def scene(folder: Path) -> None:
    noise = np.random.default_rng(3)
    for name in ("a", "b"):
        coarse = Picture.fromarray(noise.integers(0, 255, (6, 6, 3), dtype=np.uint8))
        coarse.resize((120, 80), Picture.Resampling.BICUBIC).save(folder / f"{name}.png")
    shutil.copy(folder / "a.png", folder / "a copy.png")
    with Picture.open(folder / "b.png") as picture:
        picture.resize((60, 40)).save(folder / "b small.jpg", quality=60)
    save(folder / "dark.png", flat(20, 20, 0))
    save(folder / "light.png", flat(20, 20, 250))
    (folder / "a.txt").write_text("a red square and a very long row of words that go on and on")
    (folder / "b.txt").write_text("a red disc")


def test_duplicates_lookalikes_sizes_and_captions_are_told(tmp_path: Path) -> None:
    scene(tmp_path)
    found = report_on(folder_dataset(tmp_path, size=64), tiny_clip())
    names = folder_dataset(tmp_path).source.names

    assert [[names[index] for index in group] for group in found.duplicates] == [["a copy.png", "a.png"]]
    assert [[names[index] for index in group] for group in found.alike] == [["b small.jpg", "b.png"]]
    assert found.unreadable == []
    for part in (
        "6 pictures, 6 examples an epoch.",
        "From 20 x 20 (dark.png) to 120 x 80 (a copy.png).",
        "Trained at 64 x 64 (6).",
        "3 pictures enlarged.",
        "2 pictures have captions, 2 different.",
        "Without one: a copy.png, b small.jpg, dark.png, light.png.",
        "1 captions are cut at 8 tokens: a.png (",
        "0 files can't be read.",
        "2 files have the same content:\n  a copy.png, a.png",
    ):
        assert part in found.text
    assert found.sheet.shape[0] == 1
    assert found.sheet.shape[2] == 2 * 96 + 2  # the two pairs


def test_looks_that_differ_in_few_bits_are_alike_and_bands_miss_none() -> None:
    """Compared with all pairs of looks, random ones and neighbours of theirs."""
    random = np.random.default_rng(0)
    looks = {number: (int(bits), -1) for number, bits in enumerate(random.integers(0, 2**63, 300))}
    for number in range(100):  # each with 0 to 9 bits turned over
        turned = sum(1 << int(bit) for bit in random.choice(64, number % 10, replace=False))
        looks[300 + number] = (looks[number][0] ^ turned, -1)
    looks |= {400: (0, 3), 401: (0, 3), 402: (0, 4)}  # plain pictures, by their brightness

    groups = alike(looks)
    near = [[number, 300 + number] for number in range(100) if number % 10 <= 6]
    assert groups == sorted([*near, [400, 401]])


def test_what_can_not_be_decoded_is_told(tmp_path: Path) -> None:
    scene(tmp_path)
    dataset = folder_dataset(tmp_path)
    (tmp_path / "b.png").unlink()
    found = report_on(dataset)
    assert [dataset.source.names[index] for index in found.unreadable] == ["b.png"]
    assert "1 files can't be read:\n  b.png" in found.text


def test_buckets_and_pictures_left_out_are_told(tmp_path: Path) -> None:
    scene(tmp_path)
    dataset, _report = bucketed(folder_dataset(tmp_path), Buckets(64 * 64, 32, 128, 8, small="skip"))
    text = report_on(dataset).text
    assert "4 pictures enlarged" not in text
    assert ", 3 left out." in text
    (tmp_path / "a.txt").unlink()
    (tmp_path / "b.txt").unlink()
    assert "No picture has a caption." in report_on(folder_dataset(tmp_path)).text
