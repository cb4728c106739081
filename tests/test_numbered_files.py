from __future__ import annotations

from pathlib import Path

import pytest

from graphengine.numbered_files import give_number, numbered_files, parse_numbered


@pytest.mark.parametrize("suffix", [".png", ".mp4", ".safetensors"])
def test_numbers_go_on_after_the_highest_of_a_prefix_and_kind(tmp_path: Path, suffix: str) -> None:
    for taken in (f"walk_00007{suffix}", "walk_00009.other", f"run_00012{suffix}"):
        (tmp_path / taken).touch()
    draft = tmp_path / "draft"
    draft.write_text("new")
    path = give_number(draft, tmp_path / "walk", suffix)
    assert (path.name, path.read_text()) == (f"walk_00008{suffix}", "new")
    assert numbered_files(tmp_path, "walk", suffix).keys() == {7, 8}


@pytest.mark.parametrize("name", ["walk_0007.png", "walk_00007", "walk.png", "walk_00007.PNG", "walk_00007.7z"])
def test_other_names_have_no_number(name: str) -> None:
    assert parse_numbered(name) is None
