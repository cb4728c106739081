"""Settings: where files are found, what a user's choices make of the defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphengine.config import Settings, shipped_folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("root/texts/a.txt", "drawings/a.txt", "drawings/inner.json", "elsewhere/b.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_what_a_user_leaves_open_has_a_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings.for_user(data=Path("data"))
    assert settings.output == tmp_path / "output"
    assert settings.device == "cpu"
    assert settings.disk_cache_bytes > 0
    assert settings.roots[:2] == (tmp_path / "data" / "models", tmp_path / "data")
    assert not settings.check_immutable


def test_what_a_user_gives_is_taken(tmp_path: Path) -> None:
    settings = Settings.for_user(
        data=tmp_path, output=tmp_path / "out", device="cuda:1", disk_cache_bytes=0, precision="bfloat16",
        device_bytes=5,
    )  # fmt: skip
    assert (settings.output, settings.device, settings.disk_cache_bytes) == (tmp_path / "out", "cuda:1", 0)
    assert (settings.device_bytes, Settings.for_user(data=tmp_path).device_bytes) == (5, None)
    assert (settings.precision, Settings.for_user(data=tmp_path).precision) == ("bfloat16", "auto")


def test_caches_and_the_users_packs_lie_in_the_data_folder(tmp_path: Path) -> None:
    settings = Settings(tmp_path, tmp_path / "output")
    assert settings.cache_folder == tmp_path / "cache"
    assert settings.assets_folder == tmp_path / "assets"
    assert settings.packs_folder == tmp_path / "packs"


def test_a_file_is_found_in_a_root_before_beside_the_workflow(home: Path) -> None:
    settings = Settings(home, home, roots=(home / "root",), beside=(home / "drawings",))
    assert settings.find_file("texts", "a.txt") == home / "root" / "texts" / "a.txt"
    assert settings.find_file("workflows", "a.txt") == home / "drawings" / "a.txt"


def test_a_workflow_file_is_found_beside_the_given_workflow(home: Path) -> None:
    settings = Settings(home, home, roots=(home / "root",), beside=(home / "drawings",))
    assert settings.find_file("workflows", "inner.json") == home / "drawings" / "inner.json"
    assert settings.find_file("workflows", "other.json") is None


def test_without_a_folder_beside_names_stay_within_the_roots(home: Path) -> None:
    settings = Settings(home, home, roots=(home / "root",))
    for name in ("../../elsewhere/b.txt", str(home / "elsewhere" / "b.txt"), ".", "", "a\0b", "a" * 5000):
        assert settings.find_file("texts", name) is None


def test_the_names_of_a_kind_come_from_all_roots_without_hidden_files(home: Path) -> None:
    (home / "root" / "texts" / ".part").touch()
    (home / "second" / "texts").mkdir(parents=True)
    (home / "second" / "texts" / "c.txt").touch()
    settings = Settings(home, home, roots=(home / "root", home / "second", home / "missing"))
    assert settings.file_names("texts") == ["a.txt", "c.txt"]


@pytest.mark.parametrize("kind", ["unet", "clip", "vae"])
def test_a_checkpoint_may_be_named_for_any_of_its_parts(home: Path, kind: str) -> None:
    settings = Settings.for_user(data=home / "data")
    whole, part = home / "data/models/checkpoints/a.safetensors", home / "data/models" / kind / "b.safetensors"
    for file in (whole, part):
        file.parent.mkdir(parents=True)
        file.touch()
    assert settings.file_names(kind) == ["a.safetensors", "b.safetensors", "embedded"]
    assert settings.find_file(kind, "a.safetensors") == whole
    assert settings.names_in_folders(kind) == ["b.safetensors"]
    assert "b.safetensors" not in settings.file_names("checkpoints")


def test_what_shipped_workflows_use_is_found_last_and_nothing_beside_it(home: Path) -> None:
    settings = Settings(home, home / "output", roots=(home / "root",))
    shipped = settings.find_file("input", "inputs/blue_square.png")
    assert shipped == (shipped_folder() / "inputs" / "blue_square.png").resolve()
    assert settings.find_file("workflows", "text_to_image.json") is not None
    assert settings.find_file("texts", "text_to_image.json") is None
    assert settings.find_file("input", "../README.md") is None
    assert settings.find_file("input", str(shipped_folder().parent / "README.md")) is None
    assert settings.find_file("datasets", "datasets/outlines") == (shipped_folder() / "datasets" / "outlines").resolve()
    assert [settings.find_file(kind, name) for kind, name in (("datasets", "."), ("input", "inputs"))] == [None, None]
    own = home / "root" / "input" / "inputs" / "blue_square.png"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    assert settings.find_file("input", "inputs/blue_square.png") == own
