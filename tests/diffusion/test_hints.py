"""Hints follow their pictures, whatever a dataset does to those."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from graphengine.diffusion import image_folder
from graphengine.diffusion.augmentation import Augmentation
from graphengine.diffusion.cached_latents import CachedLatents
from graphengine.diffusion.dataset_edges import EdgedDataset, edged
from graphengine.diffusion.edge_hints import EdgeHints
from graphengine.diffusion.edges import canny
from graphengine.diffusion.hugging_face_datasets import Columns, row_pictures
from graphengine.diffusion.joined_datasets import joined, regularised, split
from graphengine.diffusion.picture_dataset import PictureDataset, augmented, bucketed, list_dataset, resized
from graphengine.diffusion.picture_shapes import Buckets
from graphengine.diffusion.tensor_store import TensorStore
from graphengine.errors import InputError
from graphengine.training_types import Dataset, ExampleField
from graphengine.types import Image
from tests.diffusion.picture_files import Pixels, flat, save
from tests.diffusion.test_hugging_face_datasets import ListedRows, png
from tests.diffusion.tiny_training import Blocks, tiny_vae

BOTH: tuple[ExampleField, ...] = ("images", "hints")
SIZES = ((24, 16), (16, 24), (20, 20))


def noise(height: int, width: int, seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def pictures_with_hints(folder: Path, size: int = 8) -> PictureDataset:
    """Pictures whose hints are the same pictures, so that whatever follows is seen."""
    for number, (height, width) in enumerate(SIZES):
        save(folder / f"{number}.png", noise(height, width, number))
        save(folder / "hints" / f"{number}.bmp", noise(height, width, number))
        (folder / f"{number}.txt").write_text("red")
    source, _ = image_folder.image_folder(folder, hints=folder / "hints")
    return image_folder.of_one_size(source, size)


def pair(dataset: Dataset, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Give a picture and its hint, both in 0…1."""
    examples = dataset.examples([number], BOTH)
    assert examples.images is not None
    assert examples.hints is not None
    return (examples.images[0] + 1) / 2, examples.hints[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda dataset: dataset,
        lambda dataset: resized(dataset, 16, 8, "stretch"),
        lambda dataset: resized(dataset, 8, 8, "cover"),
        lambda dataset: bucketed(dataset, Buckets(16 * 16, 8, 32, 8))[0],
        lambda dataset: augmented(dataset, Augmentation(flip=0.5, random_crop=True, zoom=0.5)),
        lambda dataset: split(dataset, 0.3, 0)[1],
        lambda dataset: joined((dataset, 1), (dataset, 2)),
        lambda dataset: regularised(dataset, dataset, 0.5),
    ],
    ids=["as they are", "stretched", "covered", "buckets", "augmented", "split", "joined", "regularised"],
)
def test_hints_go_where_their_pictures_go(change: object, tmp_path: Path) -> None:
    assert callable(change)
    dataset: Dataset = change(pictures_with_hints(tmp_path))
    assert "hints" in dataset.fields
    for number in range(9 if isinstance(dataset, PictureDataset) and dataset.varies else dataset.length or 0):
        picture, hint = pair(dataset, number)
        torch.testing.assert_close(picture, hint, atol=1e-5, rtol=0)


def test_colours_change_but_hints_do_not(tmp_path: Path) -> None:
    plain = pictures_with_hints(tmp_path)
    coloured = augmented(plain, Augmentation(brightness=0.9, hue=0.4))
    for number in range(3):
        assert torch.equal(pair(plain, number)[1], pair(coloured, number)[1])
        assert not torch.equal(pair(plain, number)[0], pair(coloured, number)[0])
    edges = [pair(edged(list_dataset([steps()]), EdgeHints()), 0)[1]]
    edges += [pair(augmented(edged(list_dataset([steps()]), EdgeHints()), Augmentation(brightness=0.9)), 0)[1]]
    assert torch.equal(*edges)
    assert edges[0].any()


def steps() -> Image:
    """A dark square in a bright one, ``[1, 16, 16, 3]``."""
    picture = torch.full((1, 16, 16, 3), 0.9)
    picture[:, 4:12, 4:12] = 0.1
    return Image(picture)


def test_padded_hints_lie_on_black(tmp_path: Path) -> None:
    dataset = resized(pictures_with_hints(tmp_path), 8, 8, "pad")
    picture, hint = pair(dataset, 0)
    examples = dataset.examples([0], ["mask"])
    assert examples.mask is not None
    within = examples.mask[0].expand(3, 8, 8) == 1
    assert 0 < within.sum() < 3 * 8 * 8
    assert (picture[~within] == 1).all()
    assert (hint[~within] == 0).all()
    torch.testing.assert_close(picture[within], hint[within], atol=1e-5, rtol=0)


def test_cached_latents_keep_hints_beside_flipped_pictures(tmp_path: Path) -> None:
    flipping = augmented(pictures_with_hints(tmp_path), Augmentation(flip=0.5))
    cached = CachedLatents(flipping, tiny_vae(), TensorStore(tmp_path / "kept", 10**7))
    for number in range(9):
        assert torch.equal(pair(cached, number)[1], pair(flipping, number)[1])
        assert cached.examples([number], ["latents"]).latents is not None


def test_edges_are_what_the_canny_node_finds() -> None:
    pictures = list_dataset([steps()])
    picture, hint = pair(edged(pictures, EdgeHints(0.3, 0.6)), 0)
    expected = canny(Image(picture.permute(1, 2, 0)[None]), low=0.3, high=0.6)[0].permute(2, 0, 1)
    assert torch.equal(hint, expected)
    drawn = edged(Blocks(length=None, channels=1), EdgeHints(0.3, 0.6))
    assert isinstance(drawn, EdgedDataset)
    grey, hints = pair(drawn, 5)
    assert grey.shape[0] == 1
    assert torch.equal(
        hints, canny(Image(grey.permute(1, 2, 0).expand(8, 8, 3)[None]), low=0.3, high=0.6)[0].permute(2, 0, 1)
    )
    assert drawn.examples([5], ["hints"]).images is None


def test_hints_count_in_the_digest_and_their_absence_changes_none(tmp_path: Path) -> None:
    with_hints = pictures_with_hints(tmp_path)
    without, _ = image_folder.image_folder(tmp_path)
    plain = list_dataset([steps()])
    assert with_hints.digest != image_folder.of_one_size(without, 8).digest
    digests = {plain.digest, edged(plain, EdgeHints()).digest, edged(plain, EdgeHints(0.1)).digest}
    digests |= {edged(Blocks(), EdgeHints()).digest, edged(Blocks(), EdgeHints(0.1)).digest}
    assert len(digests) == 5
    before = with_hints.digest
    save(tmp_path / "hints" / "1.bmp", noise(*SIZES[1], seed=9))
    assert pictures_again(tmp_path).digest != before
    assert "edges" not in plain.settings.identity


def pictures_again(folder: Path) -> PictureDataset:
    source, _ = image_folder.image_folder(folder, hints=folder / "hints")
    return image_folder.of_one_size(source, 8)


def test_all_hints_that_do_not_fit_are_named_at_once(tmp_path: Path) -> None:
    for name in "abcd":
        save(tmp_path / f"{name}.png", flat(16, 16, 90))
    save(tmp_path / "hints" / "a.png", flat(8, 8, 90))
    save(tmp_path / "hints" / "b.png", flat(16, 8, 90))
    (tmp_path / "hints" / "c.png").write_bytes(b"nothing")
    with pytest.raises(InputError) as refused:
        image_folder.image_folder(tmp_path, hints=tmp_path / "hints")
    assert str(refused.value) == (
        "input 'hints': there are no hints for d.png; hints can't be read for c.png (it is no picture); hints have "
        "other proportions than b.png (it is 16 x 16, its hint 8 x 16).\n"
        "  Put one into hints for each picture, with its name and proportions."
    )


def test_a_table_names_hints(tmp_path: Path) -> None:
    for name in ("a", "b", "edges/a", "edges/b"):
        save(tmp_path / f"{name}.png", flat(8, 8, 60 if "edges" in name else 120))
    rows = ["file_name,text,conditioning_image", "a.png,red,edges/a.png", "b.png,blue,edges/b.png"]
    (tmp_path / "rows.csv").write_text("\n".join(rows))
    source, _ = image_folder.image_table(tmp_path / "rows.csv", hint_column="conditioning_image")
    _, hint = pair(image_folder.of_one_size(source, 8), 1)
    assert set((hint * 255).round().flatten().tolist()) == {60}
    assert not image_folder.image_table(tmp_path / "rows.csv")[0].has_hints

    (tmp_path / "rows.csv").write_text("\n".join([*rows[:2], "b.png,blue,../b.png"]))
    with pytest.raises(InputError, match=r"'hint_column': there are no hints for b.png"):
        image_folder.image_table(tmp_path / "rows.csv", hint_column="conditioning_image")
    with pytest.raises(InputError, match=r"no column 'edge'.\n  Choose one of file_name, text, conditioning_image"):
        image_folder.image_table(tmp_path / "rows.csv", hint_column="edge")


def test_rows_of_a_dataset_have_hints() -> None:
    cells = [{"image": {"bytes": png(30)}, "edges": {"bytes": png(grey, width)}} for grey, width in ((60, 8), (70, 12))]
    source, _ = row_pictures(ListedRows(cells[:1]), Columns("image", hint="edges"))
    _, hint = pair(image_folder.of_one_size(source, 8), 0)
    assert set((hint * 255).round().flatten().tolist()) == {60}
    with pytest.raises(InputError, match=r"row 1 .it is 8 x 8, its hint 12 x 8"):
        row_pictures(ListedRows(cells), Columns("image", hint="edges"))


def test_hints_that_nodes_made_belong_to_their_pictures() -> None:
    grey = Image(steps()[..., :1])
    _, hint = pair(list_dataset([steps()], hints=[grey]), 0)
    assert hint.shape == (3, 16, 16)
    with pytest.raises(InputError, match=r"picture 0: it is 16 x 16, its hint 8 x 16, picture 0: its hint has 4 chan"):
        list_dataset([steps()], hints=[Image(torch.zeros(1, 16, 8, 4))])
    with pytest.raises(InputError, match="'hints': 2 for 1 pictures"):
        list_dataset([steps()], hints=[grey, grey])


def test_edges_need_pictures_without_hints() -> None:
    with pytest.raises(InputError, match="it has hints already"):
        edged(edged(Blocks(), EdgeHints()), EdgeHints())
    with pytest.raises(InputError, match="no images to find edges in"):
        edged(replace(Blocks(), fields=("captions", "latents")), EdgeHints())
    with pytest.raises(InputError, match="its images have 4 channels"):
        edged(Blocks(channels=4), EdgeHints()).examples([0], ["hints"])
    without = joined((edged(Blocks(), EdgeHints()), 1), (Blocks(), 1))
    assert "hints" not in without.fields
