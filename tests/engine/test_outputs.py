"""What is saved: whole files or none, never over another's, with the workflow inside."""

from __future__ import annotations

import errno
import os
import re
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from PIL import Image as pillow

from graphengine.core.workflow import parse_workflow
from graphengine.engine.assets import AssetStore
from graphengine.engine.cache import Shown
from graphengine.engine.outputs import OutputFolder
from graphengine.engine.picture_files import read_embedded_workflow
from graphengine.errors import FileFormatError, GraphEngineError, InputError
from graphengine.types import Image, PictureFormat
from tests.drawn import drawn


def outputs(folder: Path, workflow: str = "", shown: list[Shown] | None = None) -> OutputFolder:
    """The output folder of a run; assets are kept elsewhere, so that tests can list what is in this one."""
    assets = AssetStore(folder.parent / f"{folder.name} assets", 10_000_000)
    show = shown.append if shown is not None else lambda each: None
    return OutputFolder(folder / "output", folder / "temporary", workflow, show, assets)


def picture(value: float = 0.5, count: int = 1) -> Image:
    return Image(torch.full((count, 4, 6, 3), value))


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# Names


def test_pictures_are_numbered_onwards(tmp_path: Path) -> None:
    out = outputs(tmp_path)
    out.write_images(picture(count=2), "cat")
    paths = out.write_images(picture(), "cat")
    out.write_images(picture(), "cat_1")
    assert [path.name for path in paths] == ["cat_00003.png"]
    assert files(tmp_path) == [f"output/{name}.png" for name in ("cat_00001", "cat_00002", "cat_00003", "cat_1_00001")]


def test_numbers_go_on_after_the_highest_even_with_gaps(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    for name in ("cat_00007.png", "cat_123456.png", "cat_x.png", "dog_00200.png", "cat_00300.jpg"):
        (tmp_path / "output" / name).touch()
    (path,) = outputs(tmp_path).write_images(picture(), "cat")
    assert path.name == "cat_123457.png"


@pytest.mark.parametrize("prefix", ["portraits/anna", "c(a)t [1]", "灯台 é", "a.b", ".hidden", "x" * 200])
def test_a_prefix_may_hold_folders_and_unusual_characters(tmp_path: Path, prefix: str) -> None:
    out = outputs(tmp_path)
    for number in (1, 2):
        (path,) = out.write_images(picture(), prefix)
        assert path == tmp_path / "output" / f"{prefix}_{number:05d}.png"


@pytest.mark.parametrize("prefix", ["", ".", "..", "../x", "/etc/x", "a/../../x", "a/", "a\\", "a\0b", "\ud800"])
def test_a_prefix_that_leaves_the_folder_is_refused(tmp_path: Path, prefix: str) -> None:
    out = outputs(tmp_path)
    for write in (
        lambda: out.write_images(picture(), prefix),
        lambda: out.write_text("x", prefix),
        lambda: out.folder(prefix),
    ):
        with pytest.raises(InputError, match="names nothing inside the output folder"):
            write()
    assert files(tmp_path) == []


def test_links_out_of_the_folder_are_refused_and_a_linked_folder_is_none(tmp_path: Path) -> None:
    real, elsewhere = tmp_path / "real", tmp_path / "elsewhere"
    for folder in (real, elsewhere):
        folder.mkdir()
    (tmp_path / "output").symlink_to(real)
    (real / "away").symlink_to(elsewhere)
    out = outputs(tmp_path)
    for prefix in (".", "away/x"):
        with pytest.raises(InputError):
            out.write_images(picture(), prefix)
    out.write_images(picture(), "inside")
    assert files(real) == ["inside_00001.png"]
    assert files(elsewhere) == []


def test_runs_side_by_side_never_take_each_others_numbers(tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=lambda: [outputs(tmp_path).write_images(picture(), "cat") for _ in range(20)])
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert files(tmp_path) == [f"output/cat_{number:05d}.png" for number in range(1, 61)]


def test_files_have_the_rights_that_the_user_gives_new_files(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        (path,) = outputs(tmp_path).write_images(picture(), "cat")
        text = outputs(tmp_path).write_text("x", "a.txt")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert [each.stat().st_mode & 0o777 for each in (path, text)] == [0o640, 0o640]


def test_previews_go_to_their_own_folder(tmp_path: Path) -> None:
    shown: list[Shown] = []
    (path,) = outputs(tmp_path, shown=shown).write_images(picture(), "cat", temporary=True)
    assert [(each.path, each.temporary) for each in shown] == [(path, True)]
    assert files(tmp_path) == ["temporary/cat_00001.png"]


# Contents


def test_floats_become_bytes_by_rounding(tmp_path: Path) -> None:
    values = [0.0, 0.49 / 255, 0.51 / 255, 1.49 / 255, 1.51 / 255, 254.4 / 255, 254.6 / 255, 1.0, 1.7, -0.3]
    row = torch.tensor(values).view(1, 1, -1, 1).expand(1, 1, -1, 3)
    (path,) = outputs(tmp_path).write_images(Image(row), "row")
    with pillow.open(path) as opened:
        assert [opened.getpixel((x, 0)) for x in range(len(values))] == [
            (byte,) * 3 for byte in (0, 0, 1, 1, 2, 254, 255, 255, 255, 0)
        ]


def test_every_byte_survives_being_a_float(tmp_path: Path) -> None:
    levels = (torch.arange(256, dtype=torch.float32) / 255).view(1, 1, 256, 1).expand(1, 1, 256, 3)
    (path,) = outputs(tmp_path).write_images(Image(levels), "levels")
    with pillow.open(path) as opened:
        assert list(opened.convert("L").tobytes()) == list(range(256))


@pytest.mark.parametrize("size", [1, 300_000, 3_000_000], ids=["small", "medium", "above pillow's limit"])
def test_the_workflow_is_found_again_in_the_picture(tmp_path: Path, size: int) -> None:
    workflow = drawn({"a": ("Number", {"value": 2**64 - 1, "note": "灯台 é 🗼" + "x" * size})}, meta={"name": "Σ"})
    (path,) = outputs(tmp_path, workflow.dump()).write_images(picture(), "cat")
    assert parse_workflow(read_embedded_workflow(path)) == workflow


@pytest.mark.parametrize("size", [1, 300_000], ids=["plain", "compressed"])
@pytest.mark.parametrize("picture_format", ["jpeg", "webp"])
def test_the_workflow_is_found_again_in_small_pictures(
    tmp_path: Path, picture_format: PictureFormat, size: int
) -> None:
    workflow = drawn({"a": ("Number", {"value": 2**64 - 1, "note": "灯台 é 🗼" + "x" * size})}, meta={"name": "Σ"})
    out = outputs(tmp_path, workflow.dump())
    (path,) = out.write_images(picture(), "cat", picture_format=picture_format)
    assert path.name == {"jpeg": "cat_00001.jpg", "webp": "cat_00001.webp"}[picture_format]
    assert parse_workflow(read_embedded_workflow(path)) == workflow


def test_a_workflow_too_large_for_a_jpeg_is_refused_not_left_out(tmp_path: Path) -> None:
    letters = "".join(f"{number * 2654435761 % 2**32:08x}" for number in range(30_000))
    out = outputs(tmp_path, drawn({"a": ("Number", {"note": letters})}).dump())
    with pytest.raises(InputError, match="too large to be saved in this kind of picture"):
        out.write_images(picture(), "cat", picture_format="jpeg")
    assert files(tmp_path) == []


def test_a_webp_of_the_best_quality_keeps_every_byte(tmp_path: Path) -> None:
    noise = Image(torch.rand(1, 16, 16, 3, generator=torch.Generator().manual_seed(0)))
    out = outputs(tmp_path)
    (png,) = out.write_images(noise, "noise")
    (webp,) = out.write_images(noise, "best", picture_format="webp", quality=100)
    (small,) = out.write_images(noise, "small", picture_format="webp", quality=30)
    with pillow.open(png) as first, pillow.open(webp) as second, pillow.open(small) as third:
        assert first.tobytes() == second.convert("RGB").tobytes() != third.convert("RGB").tobytes()


def test_each_kind_of_file_is_numbered_by_itself(tmp_path: Path) -> None:
    out = outputs(tmp_path)
    out.write_images(picture(count=2), "cat", picture_format="jpeg")
    path = out.write_file(lambda draft: draft.write_bytes(b"tensors"), "cat", ".safetensors")
    assert files(tmp_path) == ["output/cat_00001.jpg", "output/cat_00001.safetensors", "output/cat_00002.jpg"]
    assert path.read_bytes() == b"tensors"


def test_a_file_that_could_not_be_written_leaves_nothing(tmp_path: Path) -> None:
    def fail(draft: Path) -> None:
        draft.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "no space left")

    with pytest.raises(GraphEngineError, match="the disk is full"):
        outputs(tmp_path).write_file(fail, "cat", ".safetensors")
    assert files(tmp_path) == []


def test_a_picture_without_workflow_says_so(tmp_path: Path) -> None:
    (path,) = outputs(tmp_path).write_images(picture(), "cat")
    with pytest.raises(FileFormatError, match=r"the picture carries no workflow. Give one that graphengine saved."):
        read_embedded_workflow(path)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.95])
def test_half_a_picture_is_refused(tmp_path: Path, keep: float) -> None:
    noise = Image(torch.rand(1, 64, 64, 3))
    (path,) = outputs(tmp_path, drawn({"a": "Number"}).dump()).write_images(noise, "cat")
    content = path.read_bytes()
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content[8 : int(len(content) * keep)])
    with pytest.raises(FileFormatError, match=r"the picture can't be read: .* Give a whole one"):
        read_embedded_workflow(path)


def test_a_text_replaces_the_earlier_one_whole(tmp_path: Path) -> None:
    out = outputs(tmp_path)
    out.write_text("long " * 1000, "notes/a.txt")
    path = out.write_text("灯\n", "notes/a.txt")
    assert path.read_bytes() == "灯\n".encode()
    assert files(tmp_path) == ["output/notes/a.txt"]


def test_a_folder_is_named_and_left_to_its_node(tmp_path: Path) -> None:
    shown: list[Shown] = []
    path = outputs(tmp_path, shown=shown).folder("models/mine")
    assert shown == [Shown(path)]
    assert not path.exists()


# Again, from an earlier run


def shown_by(folder: Path) -> list[Shown]:
    """What a run showed: two pictures, a preview and a text."""
    shown: list[Shown] = []
    out = outputs(folder, shown=shown)
    out.write_images(picture(count=2), "trip/cat")
    out.write_images(picture(), "preview", temporary=True)
    out.write_images(picture(), "small", picture_format="webp")
    out.write_text("long", "notes.txt")
    return shown


ALL = [
    "output/notes.txt",
    "output/small_00001.webp",
    "output/trip/cat_00001.png",
    "output/trip/cat_00002.png",
    "temporary/preview_00001.png",
]


def test_what_is_still_there_stays_as_it_is(tmp_path: Path) -> None:
    shown = shown_by(tmp_path)
    assert outputs(tmp_path).publish(shown) == tuple(shown)
    assert files(tmp_path) == ALL


def test_what_was_deleted_is_written_again(tmp_path: Path) -> None:
    shown = shown_by(tmp_path)
    contents = [each.path.read_bytes() for each in shown]
    for each in shown:
        each.path.unlink()
    again = outputs(tmp_path).publish(shown)
    assert again is not None
    assert [each.path.read_bytes() for each in again] == contents
    assert [each.path for each in again] == [each.path for each in shown]
    assert files(tmp_path) == ALL
    assert outputs(tmp_path).publish(again) == again


def test_a_picture_is_written_beside_the_one_that_took_its_name(tmp_path: Path) -> None:
    first, second, preview, _small, text = shown = shown_by(tmp_path)
    first.path.write_bytes(second.path.read_bytes() + b"somebody's own")
    text.path.write_text("somebody's own")
    outputs(tmp_path).write_images(picture(0.1), "trip/cat")
    again = outputs(tmp_path).publish([second, preview])
    assert again == (second, preview)
    assert outputs(tmp_path).publish(shown) is None  # edited in place, in the store as well: its node has to run


def test_another_output_folder_gets_its_own(tmp_path: Path) -> None:
    shown = shown_by(tmp_path)
    other = tmp_path / "other"
    assets = AssetStore(tmp_path.parent / f"{tmp_path.name} assets", 10_000_000)
    folder = OutputFolder(other / "output", other / "temporary", "", lambda each: None, assets)
    again = folder.publish(shown)
    assert again is not None
    assert files(other) == ALL
    assert folder.publish(again) == again
    for before, after in zip(shown, again, strict=True):
        after.path.write_bytes(b"scribble")
        assert before.asset is not None
        assert before.asset.is_at(before.path)


def test_nothing_is_written_unless_all_can_be(tmp_path: Path) -> None:
    shown = shown_by(tmp_path)
    for each in shown[:2]:
        each.path.unlink()
    (tmp_path / "output" / "notes.txt").write_text("else")
    before = files(tmp_path)
    assert outputs(tmp_path).publish(shown) is None
    assert files(tmp_path) == before


def test_a_picture_with_its_workflow_is_never_shown_by_a_run_that_embeds_none(tmp_path: Path) -> None:
    shown: list[Shown] = []
    workflow = drawn({"a": "Number"}).dump()
    outputs(tmp_path, workflow, shown).write_images(picture(), "cat")
    assert outputs(tmp_path).publish(shown) is None
    assert outputs(tmp_path, workflow).publish(shown) == tuple(shown)
    outputs(tmp_path, "", shown).write_images(picture(), "cat")
    assert outputs(tmp_path, workflow).publish(shown[1:]) is None


def test_a_folder_has_to_be_there_still(tmp_path: Path) -> None:
    shown: list[Shown] = []
    path = outputs(tmp_path, shown=shown).folder("models/mine")
    assert outputs(tmp_path).publish(shown) is None
    path.mkdir(parents=True)
    assert outputs(tmp_path).publish(shown) == tuple(shown)


def test_a_text_that_was_written_twice_is_the_last_one(tmp_path: Path) -> None:
    shown: list[Shown] = []
    out = outputs(tmp_path, shown=shown)
    for text in ("first", "last"):
        path = out.write_text(text, "a.txt")
    assert outputs(tmp_path).publish(shown) == (shown[1],)
    path.unlink()
    assert outputs(tmp_path).publish(shown) is not None
    assert path.read_text() == "last"


# Disks


@contextmanager
def files_up_to_5000_bytes() -> Iterator[None]:
    """Let the kernel refuse larger files, as a disk does that fills up half-way.

    Never around pytest's own writing: its report may be going to a file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_ends_too_early_is_taken_away(tmp_path: Path) -> None:
    out, noise = outputs(tmp_path), Image(torch.rand(1, 128, 128, 3))
    out.write_images(picture(), "small")
    for name, write in (
        ("cat", lambda: out.write_images(noise, "cat")),
        ("a.txt", lambda: out.write_text("x" * 9000, "a.txt")),
    ):
        with files_up_to_5000_bytes(), pytest.raises(GraphEngineError) as caught:
            write()
        assert str(caught.value) == f"can't write {name} in {tmp_path / 'output'}: File too large."
    assert files(tmp_path) == ["output/small_00001.png"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_is_called_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The draft is a link to /dev/full, so the kernel itself answers ENOSPC."""
    touch = Path.touch

    def link_to_full(path: Path, mode: int = 0o666, exist_ok: bool = True) -> None:
        if path.suffix == ".part":
            path.symlink_to("/dev/full")
        else:
            touch(path, mode, exist_ok)

    monkeypatch.setattr(Path, "touch", link_to_full)
    for write in (
        lambda: outputs(tmp_path).write_images(Image(torch.rand(1, 64, 64, 3)), "cat"),
        lambda: outputs(tmp_path).write_text("x" * 10_000, "cat"),
    ):
        with pytest.raises(GraphEngineError) as caught:
            write()
        assert str(caught.value) == f"the disk is full: cat was not saved in {tmp_path / 'output'}. Free some space."
        assert isinstance(caught.value.__cause__, OSError)
    assert os.listdir(tmp_path / "output") == []


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "output").write_text("not a folder")
    with pytest.raises(GraphEngineError, match=re.escape(f"can't write cat in {tmp_path / 'output'}: ")):
        outputs(tmp_path).write_images(picture(), "cat")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unwritable to root")
def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir(mode=0o500)
    with pytest.raises(GraphEngineError, match="Permission denied"):
        outputs(tmp_path).write_images(picture(), "cat")


def test_a_disk_without_hard_links_numbers_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)  # as on FAT
    out = outputs(tmp_path)
    for _ in range(2):
        out.write_images(picture(), "cat")
    assert files(tmp_path) == ["output/cat_00001.png", "output/cat_00002.png"]
    assert all(path.stat().st_size > 50 for path in (tmp_path / "output").iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="the names of open files are read from /proc")
def test_what_is_saved_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}")))
    kept = outputs(tmp_path)
    (picture_path,) = kept.write_images(picture(), "cat")
    text_path = kept.write_text("hello", "notes.txt")
    kept.write_images(picture(), "preview", temporary=True)
    draft, folder, text_draft, text_folder = synced
    assert draft.startswith(str(picture_path.parent))
    assert draft.endswith(".part")
    assert folder == str(picture_path.parent)
    assert text_draft.endswith(".part")
    assert text_folder == str(text_path.parent)
