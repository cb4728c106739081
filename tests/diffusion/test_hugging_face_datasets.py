"""Rows of pictures, as Hugging Face's datasets have them."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from graphengine.diffusion.hugging_face_datasets import Columns, open_rows, parquet_files, row_pictures
from graphengine.diffusion.image_folder import of_one_size
from graphengine.errors import InputError


class ListedRows(list[dict[str, Any]]):  # Any: a cell
    """Rows in memory."""

    @property
    def column_names(self) -> list[str]:
        return list(self[0])


def png(grey: int, width: int = 8) -> bytes:
    file = io.BytesIO()
    Picture.fromarray(np.full((8, width, 3), grey, dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_rows_become_pictures_with_captions_or_labels(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(png(60, width=12))
    rows = ListedRows(
        [
            {"image": {"bytes": png(30), "path": None}, "text": [" a\nfirst ", "other"], "label": 1},
            {"image": {"bytes": None, "path": str(tmp_path / "b.png")}, "text": None, "label": 0},
        ]
    )
    source, notices = row_pictures(rows, Columns("image", "text"))
    assert source.captions == ["a first", ""]
    assert source.sizes.tolist() == [[8, 8], [12, 8]]
    assert notices == []
    images = of_one_size(source, 8).examples([1, 0], ["images"]).images
    assert images is not None
    assert ((images[:, 0, 0, 0] + 1) * 127.5).round().tolist() == [60, 30]
    assert row_pictures(rows, Columns("image", "label", ("cat", "dog")))[0].captions == ["dog", "cat"]
    assert row_pictures(rows, Columns("image"))[0].captions is None

    other = row_pictures(ListedRows(rows[::-1]), Columns("image"))[0]
    assert of_one_size(source, 8).digest != of_one_size(other, 8).digest
    assert source.content_hash(0) == other.content_hash(1)


def test_rows_without_a_picture_are_named_or_left_out() -> None:
    cells = [{"bytes": png(1)[:40], "path": None}, {"bytes": png(1), "path": None}, None, {"bytes": b"", "path": None}]
    rows = ListedRows([{"image": cell} for cell in cells])
    with pytest.raises(InputError, match=r"can't be read: row 0 .*row 2 .it has no picture.*row 3 .it is empty"):
        row_pictures(rows, Columns("image"))
    source, notices = row_pictures(rows, Columns("image"), unreadable="skip")
    assert source.names == ["row 1"]
    assert notices[0].startswith("Left out: row 0")
    with pytest.raises(InputError, match="it has no rows"):
        row_pictures(ListedRows(), Columns("image"))


def test_a_split_has_its_files(tmp_path: Path) -> None:
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        (tmp_path / f"{name}.parquet").write_bytes(b"")
    assert [Path(path).name[:11] for path in parquet_files(tmp_path, "train")] == ["train-00000", "train-00001"]
    assert [Path(path).name[:4] for path in parquet_files(tmp_path / "test-00000-of-00001.parquet", "all")] == ["test"]
    with pytest.raises(InputError, match=r"no split 'dev'.*\n.*test, train"):
        parquet_files(tmp_path, "dev")
    (tmp_path / "unnamed").mkdir()
    for name in ("0000", "0001"):
        (tmp_path / "unnamed" / f"{name}.parquet").write_bytes(b"")
    assert len(parquet_files(tmp_path / "unnamed", "train")) == 2
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds neither"):
        parquet_files(tmp_path / "empty", "train")


@pytest.mark.skipif(importlib.util.find_spec("datasets") is not None, reason="the package is installed")
def test_without_the_package_one_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs the package 'datasets'"):
        open_rows(tmp_path, split="train", image_column="", caption_column="", cache=tmp_path / "cache")


def test_what_the_package_writes_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    cells = [{"bytes": png(grey), "path": None} for grey in (10, 20)]
    features = datasets.Features({"picture": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    made = datasets.Dataset.from_dict({"picture": cells, "label": [1, 0]}, features=features)
    made.to_parquet(str(tmp_path / "train-00000-of-00001.parquet"))
    datasets.DatasetDict({"train": made}).save_to_disk(str(tmp_path / "saved"))
    for place in (tmp_path / "train-00000-of-00001.parquet", tmp_path / "saved"):
        rows, columns = open_rows(place, split="train", image_column="", caption_column="", cache=tmp_path / "cache")
        assert row_pictures(rows, columns)[0].captions == ["dog", "cat"]
    with pytest.raises(InputError, match="no split 'dev'"):
        open_rows(tmp_path / "saved", split="dev", image_column="", caption_column="", cache=tmp_path / "cache")
