"""A tokenizer learnt from captions, as transformers reads it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import CLIPTokenizer

from graphengine.diffusion.tokenizer_training import tokenizer_from_captions, train_tokenizer
from graphengine.errors import InputError
from tests.diffusion.tiny_training import CAPTIONS, ONLY_IMAGES, Blocks


def learnt(vocab_size: int = 600, *, max_length: int = 8, **settings: Any) -> Any:  # Any: tokenizers are untyped
    return tokenizer_from_captions(CAPTIONS * 3, vocab_size=vocab_size, max_length=max_length, **settings)


def test_the_layout_is_clips() -> None:
    """256 bytes, the same at the end of a word, the merges, the two marks."""
    tokenizer = learnt()
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))

    assert all(token == f"{letter}</w>" for letter, token in zip(tokens[:256], tokens[256:512], strict=True))
    assert tokens[-2:] == ["<|startoftext|>", "<|endoftext|>"]
    assert len(set(tokens)) == len(tokens)
    assert tokenizer.model_max_length == 8


def test_frequent_words_become_tokens() -> None:
    tokenizer = learnt()
    assert tokenizer.tokenize("a RED  disc") == ["a</w>", "red</w>", "disc</w>"]
    ids = tokenizer("a red disc", padding="max_length").input_ids
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    assert ids[0] == start
    assert ids[4:] == [end] * 4


@pytest.mark.parametrize("text", ["a red square", "green?! 42 (ok)", "café 東京 🎈", "it's", ""])
def test_any_text_comes_back(text: str) -> None:
    tokenizer = learnt(max_length=64)
    back = tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True)
    assert back.replace(" ", "") == text.replace(" ", "")


def test_merges_are_by_frequency_then_alphabet() -> None:
    """'ab' three times, 'cd' and 'ef' twice each."""
    tokenizer: Any = tokenizer_from_captions(["ab ab ab ef ef cd cd xy"], vocab_size=700, max_length=8)  # Any: untyped
    assert tokenizer.convert_ids_to_tokens([512, 513, 514]) == ["ab</w>", "cd</w>", "ef</w>"]
    assert len(tokenizer) == 514 + 3  # "xy" is seen once, min_frequency is 2
    assert len(learnt(516)) == 516


def test_it_loads_in_transformers(tmp_path: Path) -> None:
    tokenizer = learnt()
    tokenizer.save_pretrained(tmp_path)
    loaded: Any = CLIPTokenizer.from_pretrained(tmp_path)  # Any: tokenizers are untyped
    for text in (*CAPTIONS, "a purple disc", ""):
        assert loaded(text).input_ids == tokenizer(text).input_ids
    assert loaded.model_max_length == 8


TRAIN = """
from graphengine.diffusion.tokenizer_training import tokenizer_from_captions
from tests.diffusion.tiny_training import ONLY_IMAGES, CAPTIONS
tokenizer = tokenizer_from_captions(CAPTIONS * 3, vocab_size=530, max_length=8)
print(sorted(tokenizer.get_vocab().items()))
"""


@pytest.mark.slow
def test_another_process_learns_the_same() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    vocabularies = {
        subprocess.run(
            [sys.executable, "-c", TRAIN], env={**environment, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(vocabularies) == 1


def test_a_dataset_gives_the_captions() -> None:
    tokenizer: Any = train_tokenizer(Blocks(), vocab_size=600, max_length=8)  # Any: tokenizers are untyped
    assert tokenizer.tokenize("a blue square") == ["a</w>", "blue</w>", "square</w>"]


def test_what_can_not_work_is_refused() -> None:
    with pytest.raises(InputError, match="no captions"):
        train_tokenizer(Blocks(fields=ONLY_IMAGES))
    with pytest.raises(InputError, match="Choose 514 or more"):
        learnt(513)
    with pytest.raises(InputError, match="Choose 3 or more"):
        learnt(max_length=2)
