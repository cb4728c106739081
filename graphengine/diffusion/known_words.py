"""Words that a model is known to understand, to complete prompts with: told by its files, which stay closed.

A model's own list goes before all else: ``words.txt`` in its folder, one word or phrase a line, the best known first. A
vocabulary that was learned from a few captions holds their words and little more; CLIP's, learned from the whole web,
says nothing of a model, so large ones give no words. Adapters tell in their metadata what they were trained on, by the
names that kohya-ss/sd-scripts gave that (``ss_tag_frequency``) and the sai_model_spec (``modelspec.trigger_phrase``).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from graphengine.diffusion.model_files import read_header_and_metadata
from graphengine.errors import ModelFileError

__all__ = ["known_words"]

_MOST = 2000
_MOST_BYTES = 1_000_000
_LARGE = 5000  # tokens
_SHORTEST = 3  # letters
_END = "</w>"


def known_words(path: Path) -> list[str]:
    """Give a model's words and phrases, the best known first; none if its files tell of none."""
    try:
        found = _of_folder(path) if path.is_dir() else _of_metadata(path)
    except (OSError, ValueError, RecursionError, ModelFileError):  # damaged: whoever opens it is told
        return []
    return list(dict.fromkeys(found))[:_MOST]


def _of_folder(folder: Path) -> list[str]:
    own = folder / "words.txt"
    if own.is_file():
        return [word for line in _text(own).splitlines() if (word := line.strip())]
    return _whole_words(folder / "tokenizer")


def _whole_words(folder: Path) -> list[str]:
    """Give the words of a small byte-pair vocabulary, in the order in which it learned them.

    Of what ends a word, that is whole which nothing was put in front of.
    """
    numbers = json.loads(_text(folder / "vocab.json"))
    if not isinstance(numbers, dict) or len(numbers) > _LARGE:
        return []
    merges = (line.split(" ") for line in _text(folder / "merges.txt").splitlines() if not line.startswith("#"))
    endings = {pair[1] for pair in merges if len(pair) == 2}
    learned = sorted((number, token) for token, number in numbers.items() if token.endswith(_END))
    words = (token.removesuffix(_END) for _number, token in learned if token not in endings)
    return [word for word in words if len(word) >= _SHORTEST and word.isascii() and word.isalpha()]


def _of_metadata(path: Path) -> list[str]:
    if path.suffix != ".safetensors":
        return []
    _entries, metadata = read_header_and_metadata(path)
    phrases = metadata.get("modelspec.trigger_phrase", "").split(",")
    tags = json.loads(metadata.get("ss_tag_frequency", "{}"))
    counts = Counter[str]()
    for of_folder in tags.values() if isinstance(tags, dict) else ():
        counts.update(dict(_counted(of_folder.items() if isinstance(of_folder, dict) else ())))
    words = [*phrases, *(tag for tag, _count in counts.most_common(_MOST))]
    return [word.strip() for word in words if word.strip()]


def _counted(items: Iterable[tuple[str, object]]) -> Iterable[tuple[str, int]]:
    return ((tag, count) for tag, count in items if isinstance(count, int))


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_MOST_BYTES).decode("utf-8")
