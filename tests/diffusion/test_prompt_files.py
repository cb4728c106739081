from __future__ import annotations

import json
from pathlib import Path

from graphengine import run
from graphengine.config import Settings
from graphengine.core.registry import Registry
from graphengine.diffusion.prompt_files import versions_of_learned_words, versions_of_wildcards
from graphengine.engine import Engine
from graphengine_nodes import pack


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


def test_a_changed_wildcard_file_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "wildcards").mkdir()
    nodes = {"draw": {"type": "Wildcards", "inputs": {"text": "a __colours__ star"}}}
    workflow = tmp_path / "w.json"
    workflow.write_text(
        json.dumps({"format": "graphengine", "version": 1, "nodes": nodes, "outputs": {"text": {"from": "draw.text"}}})
    )
    settings = Settings(data=tmp_path / "data", output=tmp_path / "out", roots=(tmp_path,))
    engine = Engine(Registry([pack]), settings)
    for colour in ("red", "green"):
        (tmp_path / "wildcards" / "colours.txt").write_text(colour, encoding="utf-8")
        assert run(workflow, engine=engine).text == f"a {colour} star"
