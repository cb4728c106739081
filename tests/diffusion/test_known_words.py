"""What models' files tell of the words that they understand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from graphengine.diffusion import checkpoints
from graphengine.diffusion.known_words import known_words
from graphengine.diffusion.tokenizer_training import tokenizer_from_captions

EMBEDDED = Path(checkpoints.__file__).parents[1] / "models" / "checkpoints" / "embedded"


def test_the_embedded_model_knows_what_it_draws_and_no_parts_of_words() -> None:
    words = known_words(EMBEDDED)
    assert {"circle", "square", "triangle", "star", "heart", "turquoise", "background", "beneath"} <= set(words)
    assert not {"eart", "iddle", "ackground", "ght", "low"} & set(words)


def test_a_vocabulary_gives_the_words_that_it_was_learned_from(tmp_path: Path) -> None:
    captions = ["a lighthouse at dusk", "a lighthouse at dawn", "two boats at dusk", "boats at dawn"]
    tokenizer = tokenizer_from_captions(captions, vocab_size=600, max_length=16)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    backend = tokenizer.backend_tokenizer
    backend.model.save(str(tmp_path / "tokenizer"))
    assert sorted(known_words(tmp_path)) == ["boats", "dawn", "dusk", "lighthouse"]


def test_a_models_own_list_goes_first(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("long exposure\n\n  dusk \ndusk\n", encoding="utf-8")
    assert known_words(tmp_path) == ["long exposure", "dusk"]


def _adapter(path: Path, metadata: Mapping[str, str]) -> Path:
    save_file({"a": torch.zeros(1)}, path, metadata=dict(metadata))
    return path


def test_an_adapter_tells_what_it_was_trained_on(tmp_path: Path) -> None:
    tags = {"10_cats": {"a cat": 9, "grass": 2}, "5_dogs": {"grass": 3, "a dog": 4}}
    path = _adapter(
        tmp_path / "pets.safetensors",
        {"ss_tag_frequency": json.dumps(tags), "modelspec.trigger_phrase": "pets style, fluffy"},
    )
    assert known_words(path) == ["pets style", "fluffy", "a cat", "grass", "a dog"]


@pytest.mark.parametrize("tags", ["", "[]", "{", '{"a": 1}', '{"a": {"b": "c"}}', "[" * 5000])
def test_what_is_damaged_or_of_another_form_gives_none(tmp_path: Path, tags: str) -> None:
    assert known_words(_adapter(tmp_path / "a.safetensors", {"ss_tag_frequency": tags})) == []


def test_what_tells_nothing_gives_none(tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_bytes(b"pickle")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10")
    (tmp_path / "folder" / "tokenizer").mkdir(parents=True)
    for name in ("model.ckpt", "cut.safetensors", "folder", "nowhere"):
        assert known_words(tmp_path / name) == []
    large = {f"word{number}</w>": number for number in range(6000)}
    (tmp_path / "folder" / "tokenizer" / "vocab.json").write_text(json.dumps(large))
    (tmp_path / "folder" / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    assert known_words(tmp_path / "folder") == []
