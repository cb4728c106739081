"""Uploads get safe names, and are put in their place whole, and nowhere else."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
import unicodedata
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphengine.errors import GraphEngineError
from graphengine.server.uploads import Upload, UploadRefused, UploadStore, UploadTooLarge, safe_name
from tests.server.upload_files import picture_bytes


def kept(
    store: UploadStore, content: bytes, name: str = "cat.png", owner: str = "anna", *, full: bool = False
) -> Upload:
    with store.begin() as draft:
        if full:
            draft._file.close()
            draft._file = open("/dev/full", "wb")  # noqa: SIM115  the draft closes it
        draft.write(content)
        return store.keep(draft, name, owner)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\anna\\cat.png", "cat.png"),
        ("con.png", "_con.png"),
        ("COM1", "_COM1"),
        ("console.png", "console.png"),
        ("", "file"),
        ("..", "file"),
        ("...hidden", "hidden"),
        ("folder/", "file"),
        ("a\0b\n\x1b[31mc.png", "ab31mc.png"),
        ("invoice\u202egnp.exe", "invoicegnp.exe"),
        ("\ud800x.png", "x.png"),
        ("Ame\u0301lie (1) – final.png", "Amélie (1)  final.png"),
        ("मेरी तस्वीर.png", "मेरी तस्वीर.png"),
        ("写真.jpeg", "写真.jpeg"),
        ('<img src=x onerror="alert(1)">.png', "img srcx onerroralert(1).png"),
        ("x" * 300 + ".png", "x" * 96 + ".png"),
        ("trailing. . ", "trailing"),
    ],
)
def test_names_become_safe(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_the_extension_fits_the_content() -> None:
    names = ["a.html", "a.JPEG", "a", "v1.5", "Mr.Smith", "..", "con", "x" * 300 + ".safetensors", "写" * 300]
    made = [safe_name(name, ".png") for name in names]
    tall = ["x" * 96 + ".png", "写" * 65 + ".png"]
    assert made == ["a.png", "a.png", "a.png", "v1.5.png", "Mr.Smith.png", "file.png", "_con.png", *tall]


@settings(deadline=None, derandomize=True)
@given(st.text(max_size=150), st.sampled_from([None, ".png", ".safetensors"]))
def test_any_name_becomes_safe(name: str, extension: str | None) -> None:
    safe = safe_name(name, extension)
    assert safe
    assert len(safe) <= 100
    assert len(safe.encode()) <= 200
    assert not set(safe) & set('/\\:*?"<>|')
    assert safe[0] not in ". "
    assert safe[-1] not in ". "
    assert all(char.isprintable() for char in safe)
    assert unicodedata.is_normalized("NFC", safe)
    assert safe_name(safe, extension) == safe


def test_a_kept_file_is_in_its_owners_folder(tmp_path: Path) -> None:
    store, content = UploadStore(tmp_path / "uploads"), picture_bytes(tmp_path)
    with store.begin() as draft:
        for start in range(0, len(content), 100):
            draft.write(content[start : start + 100])
        assert (draft.size_bytes, draft.sha256) == (len(content), sha256(content).hexdigest())
        upload = store.keep(draft, "../../../cat.exe", "anna")
    assert files(tmp_path) == {f"uploads/anna/{upload.sha256[:12]}-cat.png"}
    assert store.path(upload, "anna").read_bytes() == content
    assert upload.sha256 == sha256(content).hexdigest()


def test_the_same_content_is_kept_once_for_each_owner(tmp_path: Path) -> None:
    store, content = UploadStore(tmp_path), picture_bytes(tmp_path)
    first = kept(store, content, "cat.png")
    assert kept(store, content, "other.png") == first
    assert kept(store, content, "dog.png", owner="ben").name == "dog.png"
    assert len(files(tmp_path)) == 2


def test_an_edited_file_is_not_taken_for_the_same(tmp_path: Path) -> None:
    store, content = UploadStore(tmp_path), picture_bytes(tmp_path)
    first = kept(store, content)
    store.path(first, "anna").write_bytes(b"edited")
    assert kept(store, content) == first
    assert store.path(first, "anna").read_bytes() == content


def test_a_refused_file_leaves_nothing(tmp_path: Path) -> None:
    store = UploadStore(tmp_path)
    with pytest.raises(UploadRefused, match=r"'cat\.png'"):
        kept(store, b"<svg/>")
    assert files(tmp_path) == set()


@pytest.mark.parametrize("owner", ["", ".", "..", "../ben", "a/b", "/etc", ".drafts", "con", "a\\b", "a\0", "x" * 101])
def test_an_owner_leads_nowhere_else(tmp_path: Path, owner: str) -> None:
    store = UploadStore(tmp_path / "uploads")
    with pytest.raises(UploadRefused, match="can't own files"):
        kept(store, picture_bytes(tmp_path), owner=owner)
    assert files(tmp_path) == set()


def test_a_linked_owner_leads_nowhere_else(tmp_path: Path) -> None:
    store = UploadStore(tmp_path / "uploads")
    (tmp_path / "elsewhere").mkdir()
    store.begin().discard()
    (tmp_path / "uploads" / "anna").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UploadRefused, match="can't own files"):
        kept(store, picture_bytes(tmp_path))
    assert not any((tmp_path / "elsewhere").iterdir())


def test_too_many_bytes_are_refused_as_they_arrive(tmp_path: Path) -> None:
    draft = UploadStore(tmp_path, max_bytes=1000).begin()
    draft.write(bytes(1000))
    with pytest.raises(UploadTooLarge, match="more than 1,000 bytes"):
        draft.write(b"1")
    assert files(tmp_path) == set()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("size", [10, 2**20])  # one is noticed by writing, the other when the buffer is emptied
def test_a_full_disk_leaves_nothing(tmp_path: Path, size: int) -> None:
    store = UploadStore(tmp_path)
    with pytest.raises(GraphEngineError, match="disk is full"):
        kept(store, bytes(size), full=True)
    assert files(tmp_path) == set()


def test_a_disk_that_fills_up_at_the_end_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = UploadStore(tmp_path)
    for step in ("fsync", "replace"):
        content = picture_bytes(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(os, step, fail)
            with pytest.raises(GraphEngineError, match=r"disk is full: 'cat\.png'"):
                kept(store, content)
        assert files(tmp_path) == set()


def test_a_kept_file_can_be_deleted(tmp_path: Path) -> None:
    store = UploadStore(tmp_path)
    first, second = (kept(store, picture_bytes(tmp_path, kind)) for kind in ("PNG", "GIF"))
    store.delete(store.path(first, "anna"))
    store.delete(store.path(second, "anna").relative_to(tmp_path))
    store.delete(store.path(second, "anna"))
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    "path", ["other", "../other", "anna/../../other", "anna/..", "anna", ".drafts/a", "/etc/passwd"]
)
def test_nothing_else_can_be_deleted(tmp_path: Path, path: str) -> None:
    store = UploadStore(tmp_path / "uploads")
    kept(store, picture_bytes(tmp_path))
    for each in ("other", "uploads/other", "uploads/.drafts/a"):
        (tmp_path / each).touch()
    before = files(tmp_path)
    with pytest.raises(UploadRefused, match="is no upload"):
        store.delete(Path(path))
    assert files(tmp_path) == before


def test_only_stale_drafts_are_cleaned_away(tmp_path: Path) -> None:
    store = UploadStore(tmp_path)
    store.clean()
    with store.begin() as old, store.begin() as new:
        kept(store, picture_bytes(tmp_path))
        os.utime(old.path, (time.time() - 90_000,) * 2)
        store.clean()
        assert (old.path.exists(), new.path.exists(), len(files(tmp_path))) == (False, True, 2)


def test_importing_loads_no_heavy_library() -> None:
    code = (
        "import sys, graphengine.server.uploads, graphengine.server.thumbnails;"
        "print({'torch', 'numpy', 'PIL', 'aiohttp'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
