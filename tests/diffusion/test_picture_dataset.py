"""Pictures as examples: sizes, buckets, small random changes."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from graphengine.diffusion import image_folder
from graphengine.diffusion.augmentation import Augmentation
from graphengine.diffusion.batch_order import make_order
from graphengine.diffusion.dataset_pictures import dataset_sheet, shown_examples
from graphengine.diffusion.picture_dataset import PictureDataset, Settings, augmented, bucketed, list_dataset, resized
from graphengine.diffusion.picture_shapes import Buckets, kept_share, scaled_size
from graphengine.diffusion.picture_sources import FilePictures
from graphengine.errors import InputError
from graphengine.types import Image, Mask
from tests.diffusion.picture_files import flat, folder_dataset, halves, picture, save
from tests.diffusion.tiny_training import ONLY_CAPTIONS, Blocks

SD = Buckets(area=512 * 512, min_side=256, max_side=1024, step=64)


def named(count: int) -> list[str]:
    return [f"{number}.png" for number in range(count)]


def test_buckets_are_steps_apart_no_larger_than_the_area_and_on_both_sides_of_the_square() -> None:
    sizes = SD.sizes()
    assert (512, 512) in sizes
    assert (1024, 256) in sizes
    assert all(width % 64 == height % 64 == 0 for width, height in sizes)
    assert all(256 <= side <= 1024 for size in sizes for side in size)
    assert all(width * height <= 512 * 512 for width, height in sizes)
    assert {(height, width) for width, height in sizes} == set(sizes)
    with pytest.raises(InputError, match="no size of at most"):
        Buckets(area=64 * 64, min_side=256, max_side=512).sizes()


def test_each_picture_goes_where_least_is_cut_off() -> None:
    sizes = np.random.default_rng(0).integers(600, 3000, (200, 2)).astype(np.int32)
    shapes = SD.sort(sizes, named(200)).shapes
    kept = kept_share(sizes, shapes)
    for width, height in SD.sizes():
        other = kept_share(sizes, np.tile(np.array([width, height], dtype=np.int32), (200, 1)))
        assert (kept >= other - 1e-9).all()


def test_too_long_pictures_are_left_out_and_named() -> None:
    sizes = np.array([[1000, 1000], [4000, 500], [900, 600]], dtype=np.int32)
    buckets = Buckets(512 * 512, 256, 1024, 64, max_crop=0.2)
    found = buckets.sort(sizes, named(3))

    assert found.shapes[:, 0].tolist() == [512, 0, 640]
    report = buckets.report(sizes, named(3), found)
    assert "2 pictures in 2 of" in report
    assert "Left out, losing more than 20% of their area: 1.png." in report


def test_small_pictures_are_enlarged_kept_or_left_out_as_chosen() -> None:
    sizes = np.array([[300, 400], [1000, 1000]], dtype=np.int32)

    def shapes(**chosen: object) -> list[list[int]]:
        rows: list[list[int]] = Buckets(512 * 512, max_side=1024, **chosen).sort(sizes, named(2)).shapes.tolist()  # type: ignore[arg-type]  # of several kinds
        return rows

    assert shapes(min_side=256, small="enlarge") == [[448, 576], [512, 512]]
    assert shapes(min_side=256, small="keep") == [[256, 384], [512, 512]]
    assert shapes(min_side=256, small="skip") == [[0, 0], [512, 512]]
    with pytest.raises(InputError, match=r"0\.png \(300 x 400\)"):
        shapes(min_side=320, small="keep")
    with pytest.raises(InputError, match="no picture fits"):
        Buckets(512 * 512, 256, 1024, 64, small="skip").sort(sizes[:1], named(1))


def test_a_batch_has_one_size_and_each_picture_comes_once_an_epoch(tmp_path: Path) -> None:
    sizes = [(20, 20), (21, 19), (40, 18), (44, 20), (18, 41), (60, 61), (33, 30), (30, 33)]
    for number, (width, height) in enumerate(sizes):
        save(tmp_path / f"{number}.png", flat(height, width, 30 * number))
    dataset, report = bucketed(folder_dataset(tmp_path), Buckets(256, 8, 32, 8))
    assert "8 pictures in" in report

    order = make_order(dataset, 2, seed=4)
    steps = sum(-(-len(group) * 2 // 2) for group in dataset.groups)  # two epochs
    seen: Counter[int] = Counter()
    for step in range(steps):
        numbers = order.indices(step)
        images = dataset.examples(numbers, ["images"]).images  # stacking fails where sizes differ
        assert images is not None
        assert images.shape[2] * images.shape[3] <= 256
        told = ((images[:, 0, 0, 0] + 1) * 127.5 / 30).round().int().tolist()
        assert told == list(numbers)
        seen.update(numbers)
    assert seen == dict.fromkeys(range(8), 2)


def test_augmentation_is_new_in_each_epoch_and_decided_by_the_number(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (12, 20, 3), dtype=np.uint8)
    save(tmp_path / "a.png", noise)
    save(tmp_path / "b.png", noise)
    everything = Augmentation(0.5, random_crop=True, zoom=0.3, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1)
    dataset, again = (augmented(folder_dataset(tmp_path), everything) for _ in range(2))

    assert dataset.varies
    variations = [picture(dataset, number) for number in (0, 1, 2, 4, 2**40)]
    assert len({each.numpy().tobytes() for each in variations}) == 5
    assert torch.equal(picture(again, 2**40), variations[4])
    assert all(each.shape == (3, 8, 8) and each.abs().max() <= 1 for each in variations)


def test_flips_are_as_often_as_asked_and_move_the_mask_too(tmp_path: Path) -> None:
    clear = np.zeros((8, 8, 4), dtype=np.uint8)
    clear[:, :4] = (255, 0, 0, 255)
    save(tmp_path / "a.png", clear)
    source, _notices = image_folder.image_folder(tmp_path, alpha_masks=True)
    dataset = augmented(image_folder.of_one_size(source, 8), Augmentation(flip=0.25))
    examples = dataset.examples(range(400), ["images", "mask"])
    assert examples.images is not None
    assert examples.mask is not None

    flipped = examples.mask[:, 0, 0, 0] == 0
    assert 60 <= int(flipped.sum()) <= 140
    assert torch.equal(examples.images[:, 1, 0, 0] == 1, flipped)  # white on the left, where the red went right


def test_crops_are_undistorted_windows_and_sizes_tell_where(tmp_path: Path) -> None:
    """Columns of a 2:1 picture have the column's number as their brightness."""
    pixels = np.repeat(np.repeat(np.arange(32, dtype=np.uint8)[None, :, None] * 8, 16, axis=0), 3, axis=2)
    save(tmp_path / "wide.png", pixels)
    dataset = augmented(folder_dataset(tmp_path, size=16), Augmentation(random_crop=True))
    examples = dataset.examples(range(30), ["images", "sizes"])
    assert examples.images is not None
    assert examples.sizes is not None

    first = ((examples.images[:, 0, 0, 0] + 1) * 127.5 / 8).round().int()
    assert examples.sizes[:, 3].tolist() == first.tolist()
    assert len(set(first.tolist())) > 5
    assert first.max() <= 16
    assert {tuple(row) for row in examples.sizes[:, [0, 1, 2, 4, 5]].tolist()} == {(16, 32, 0, 16, 16)}


def test_colours_change_only_as_asked() -> None:
    red = Image(torch.zeros(1, 8, 8, 3))
    red[..., 0] = 0.6
    dataset = augmented(list_dataset([red]), Augmentation(brightness=0.5))
    seen = torch.stack([picture(dataset, number)[:, 0, 0] for number in range(50)])
    assert torch.all(seen[:, 1:] == -1)
    brightness = (seen[:, 0] + 1) / 2
    assert 0.28 <= brightness.min() < 0.4
    assert 0.8 < brightness.max() <= 0.92

    turned = augmented(list_dataset([red]), Augmentation(hue=0.5))
    assert len({tuple(picture(turned, number)[:, 0, 0].tolist()) for number in range(20)}) > 10


@pytest.mark.parametrize(
    ("fit", "expected"), [("cover", (32, 16)), ("contain", (16, 8)), ("pad", (16, 8)), ("stretch", (16, 16))]
)
def test_how_large_a_picture_gets_before_it_is_cut(fit: str, expected: tuple[int, int]) -> None:
    assert scaled_size((64, 32), (16, 16), fit) == expected  # type: ignore[arg-type]  # one of the fits


def test_pictures_of_nodes_are_a_dataset() -> None:
    pictures = [Image(torch.rand(2, 8, 8, 3)), Image(torch.rand(1, 8, 16, 3))]
    masks = [Mask(torch.zeros(2, 8, 8)), Mask(torch.ones(1, 8, 16))]
    dataset = list_dataset(pictures, ["a", "b", "c"], masks)
    assert dataset.groups == [[0, 1], [2]]
    told = dataset.examples([1, 0], ["images", "captions", "mask"])
    assert told.captions == ["b", "a"]
    assert told.images is not None
    torch.testing.assert_close((told.images[0].permute(1, 2, 0) + 1) / 2, pictures[0][1], atol=1 / 255, rtol=0)
    assert told.mask is not None
    assert told.mask.max() == 0

    shown = shown_examples(dataset, first=0, count=10)
    assert [tuple(each.shape) for each in shown.pictures] == [(1, 8, 8, 3), (1, 8, 8, 3), (1, 8, 16, 3)]
    assert shown.captions == ["a", "b", "c"]
    assert [each.mean().item() for each in shown.masks] == [0, 0, 1]
    assert shown.hints == []
    assert dataset_sheet(shown.pictures).shape == (1, 2 * 8 + 2, 2 * 16 + 2, 3)

    with pytest.raises(InputError, match="1 for 3 pictures"):
        list_dataset(pictures, ["a"])
    with pytest.raises(InputError, match="there are none"):
        list_dataset([])


def test_shown_pictures_are_those_asked_for() -> None:
    shown = shown_examples(Blocks(), first=6, count=5)
    assert len(shown.pictures) == 2
    assert shown.captions == ["a red disc", "a blue disc"]
    with pytest.raises(InputError, match="8 is past the last example, 7"):
        shown_examples(Blocks(), first=8, count=1)
    with pytest.raises(InputError, match="has no images"):
        shown_examples(Blocks(fields=ONLY_CAPTIONS), first=0, count=1)


def test_drawn_pictures_have_no_files_to_resize() -> None:
    with pytest.raises(InputError, match="this dataset makes its own"):
        resized(Blocks(), 8, 8, "cover")


def test_a_large_folder_is_not_in_memory(tmp_path: Path) -> None:
    """All of 3,000 names stand for one file of a megapixel: 9 GB decoded, of which the dataset keeps what it showed."""
    Picture.new("RGB", (1000, 1000)).save(tmp_path / "a.png")
    count = 3000
    sizes = np.full((count, 2), 1000, dtype=np.int32)
    tracemalloc.start()
    try:
        source = FilePictures([str(tmp_path / "a.png")] * count, named(count), sizes)
        dataset = PictureDataset(source, np.full((count, 2), 64, dtype=np.int32), Settings())
        order = make_order(dataset, 2, seed=0)
        dataset.examples(order.indices(0), ["images"])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20
    assert len(dataset._scaled) == 2


def test_kept_pictures_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        save(tmp_path / f"{number}.png", halves(8, 8))
    monkeypatch.setattr("graphengine.diffusion.picture_dataset._CACHE_BYTES", 2 * 8 * 8 * 3)
    dataset = folder_dataset(tmp_path)
    first = dataset.examples(range(4), ["images"]).images
    assert len(dataset._scaled) == 2
    again = dataset.examples(range(4), ["images"]).images
    assert first is not None
    assert again is not None
    assert torch.equal(first, again)
