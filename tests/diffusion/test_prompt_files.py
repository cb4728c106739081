from __future__ import annotations

import os
from pathlib import Path

import pytest

from graphengine.config import Settings
from graphengine.core.registry import Registry
from graphengine.diffusion.prompt_files import versions_of_learned_words, versions_of_wildcards
from graphengine.engine import Engine
from graphengine_nodes import pack
from tests.drawn import drawn


def test_a_prompt_tells_the_versions_of_its_learned_words(tmp_path: Path) -> None:
    folder = tmp_path / "embeddings"
    folder.mkdir()
    (folder / "mine.safetensors").write_bytes(b"1")
    files = Settings(data=tmp_path, output=tmp_path, roots=(tmp_path,))
    text = "a (embedding:mine:1.2) [b:[embedding:other.safetensors:0.3]:0.5] BREAK"
    first = versions_of_learned_words(files, ["", text])
    assert list(first) == ["mine"]
    (folder / "mine.safetensors").write_bytes(b"22")
    (folder / "other.safetensors").write_bytes(b"3")
    second = versions_of_learned_words(files, [text])
    assert list(second) == ["mine", "other.safetensors"]
    assert second["mine"] != first["mine"]
    assert versions_of_learned_words(files, ["a mine", r"embedding\:mine"]) == {}


def test_a_text_with_wildcards_tells_the_versions_of_all(tmp_path: Path) -> None:
    folder = tmp_path / "wildcards"
    folder.mkdir()
    (folder / "colours.txt").write_text("red", encoding="utf-8")
    files = Settings(data=tmp_path, output=tmp_path, roots=(tmp_path,))
    assert list(versions_of_wildcards(files, "a __colours__ star")) == ["colours.txt"]
    assert versions_of_wildcards(files, "a {red|blue} star") == {}


@pytest.mark.parametrize("is_linked", [False, True], ids=["written", "over a link"])
def test_a_changed_wildcard_file_is_read_again(tmp_path: Path, is_linked: bool) -> None:
    """
    pick ──text──▶ draw       names no file itself
    """
    (tmp_path / "wildcards").mkdir()
    text = "a __colours__ star"
    nodes = {
        "pick": ("Wildcards", {"text": "a _{_colours_}_ star"}),
        "draw": ("Wildcards", {"text": "@pick.text" if is_linked else text}),
    }
    workflow = drawn(nodes, outputs={"text": {"from": "draw.text"}})
    settings = Settings(data=tmp_path / "data", output=tmp_path / "out", roots=(tmp_path,))
    engine = Engine(Registry([pack]), settings)
    for colour in ("red", "green"):
        (tmp_path / "wildcards" / "colours.txt").write_text(colour, encoding="utf-8")
        assert engine.run(workflow).outputs["text"] == f"a {colour} star"


def test_a_learned_word_that_changed_is_noticed_whatever_a_linked_prompt_names(tmp_path: Path) -> None:
    (tmp_path / "embeddings").mkdir()
    settings = Settings(data=tmp_path, output=tmp_path, roots=(tmp_path, *Settings(tmp_path, tmp_path).roots))
    nodes = {
        "load": ("LoadCheckpoint", {}),
        "draw": ("Wildcards", {"text": "a (embedding:mine:1.2)"}),
        "prompt": ("CLIPEncode", {"text": "@draw.text", "clip": "@load.clip"}),
    }
    engine, keys = Engine(Registry([pack]), settings), set()
    for content in (b"1", b"22", b"22"):
        (tmp_path / "embeddings" / "mine.safetensors").write_bytes(content)
        os.utime(tmp_path / "embeddings" / "mine.safetensors", ns=(len(content), len(content)))
        keys.add(engine.plan(drawn(nodes), targets=["prompt"]).steps[-1].key)
    assert None not in keys
    assert len(keys) == 2
