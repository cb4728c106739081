"""What was shown is kept by content, and never given out changed."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from graphengine.engine.assets import Asset, AssetStore
from graphengine.numbered_files import NO_HARD_LINKS


def written(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def given_out(store: AssetStore, asset: Asset, folder: Path) -> bytes | None:
    if not store.holds(asset):
        return None
    store.copy_to(asset, folder / "out")
    return (folder / "out").read_bytes()


def test_bytes_survive_that_their_file_is_deleted(tmp_path: Path) -> None:
    store = AssetStore(tmp_path / "assets", 1000)
    file = written(tmp_path, "a.png", b"picture")
    asset = store.keep(file, "a", numbered=True)
    file.unlink()
    assert given_out(store, asset, tmp_path) == b"picture"


def test_a_file_that_is_edited_in_place_is_never_given_out(tmp_path: Path) -> None:
    """The store's file is a link to it, so both have changed."""
    store = AssetStore(tmp_path / "assets", 1000)
    file = written(tmp_path, "a.png", b"picture")
    asset = store.keep(file, "a", numbered=True)
    file.write_bytes(b"scribbl")
    assert given_out(store, asset, tmp_path) is None
    assert list((tmp_path / "assets").iterdir()) == []
    again = store.keep(written(tmp_path, "b.png", b"picture"), "a", numbered=True)
    assert given_out(store, again, tmp_path) == b"picture"


def test_what_is_given_out_is_no_link(tmp_path: Path) -> None:
    store = AssetStore(tmp_path / "assets", 1000)
    asset = store.keep(written(tmp_path, "a.png", b"picture"), "a", numbered=True)
    given_out(store, asset, tmp_path)
    (tmp_path / "out").write_bytes(b"scribble")
    assert (tmp_path / "a.png").read_bytes() == b"picture"
    assert store.holds(asset)


def test_keeping_takes_no_space_where_there_are_links(tmp_path: Path) -> None:
    file = written(tmp_path, "a.png", b"picture")
    asset = AssetStore(tmp_path / "assets", 1000).keep(file, "a", numbered=True)
    assert file.samefile(tmp_path / "assets" / asset.digest)


def test_a_disk_without_links_gets_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(NO_HARD_LINKS[0], "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)  # as on FAT
    store = AssetStore(tmp_path / "assets", 1000)
    file = written(tmp_path, "a.png", b"picture")
    asset = store.keep(file, "a", numbered=True)
    file.write_bytes(b"scribbl")
    assert given_out(store, asset, tmp_path) == b"picture"


def test_a_file_at_its_place_is_known_by_time_and_size_or_by_its_bytes(tmp_path: Path) -> None:
    store = AssetStore(tmp_path / "assets", 1000)
    file = written(tmp_path, "a.png", b"picture")
    asset = store.keep(file, "a", numbered=True)
    assert asset.is_at(file)
    os.utime(file, (1, 1))
    assert asset.is_at(file)
    file.write_bytes(b"scribbl")
    assert not asset.is_at(file)
    file.write_bytes(b"longer than before")
    assert not asset.is_at(file)
    file.unlink()
    assert not asset.is_at(file)


def test_the_oldest_give_way(tmp_path: Path) -> None:
    store = AssetStore(tmp_path / "assets", 1000)
    assets = []
    for number in range(10):
        file = written(tmp_path, f"{number}.png", bytes([number]) * 300)
        os.utime(file, (1000 + number,) * 2)
        assets.append(store.keep(file, "a", numbered=True))
    held = [number for number, asset in enumerate(assets) if store.holds(asset)]
    assert held[-1] == 9
    assert held == list(range(held[0], 10))
    assert 1 <= len(held) <= 3


def test_a_file_larger_than_the_budget_is_described_alone(tmp_path: Path) -> None:
    store = AssetStore(tmp_path / "assets", 5)
    file = written(tmp_path, "a.png", b"picture")
    asset = store.keep(file, "a", numbered=True)
    assert asset.is_at(file)
    assert not store.holds(asset)


def test_a_store_that_cannot_be_written_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "assets").write_text("not a folder")
    store = AssetStore(tmp_path / "assets", 1000)
    for number in range(3):
        file = written(tmp_path, f"{number}.png", bytes([number]))
        assert store.keep(file, "a", numbered=True).is_at(file)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "can't be kept in" in caplog.text
