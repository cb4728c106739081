"""The files that prompts name: where they are, and which versions of them, so that a changed file is read again.

Nothing here loads torch: it is asked whenever a workflow is planned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from graphengine.core.fingerprint import file_version
from graphengine.core.graph import Files
from graphengine.diffusion.prompt_grammar import LearnedWord, Prompt, Scheduled, Weighted, parse

__all__ = ["EMBEDDINGS", "WILDCARDS", "embedding_file", "versions_of_learned_words", "versions_of_wildcards"]

EMBEDDINGS = "embeddings"
WILDCARDS = "wildcards"


def embedding_file(files: Files, name: str) -> Path | None:
    """Find the file of a learned word, by its name with or without ``.safetensors``."""
    for spelled in (f"{name}.safetensors", name):
        path = files.find_file(EMBEDDINGS, spelled)
        if path is not None and path.is_file():
            return path
    return None


def versions_of_learned_words(files: Files, texts: Sequence[str | None]) -> dict[str, str]:
    """Tell the versions of the learned words that prompts name, as far as they are there.

    Args:
        texts: None for a prompt that comes over a link and isn't known yet: it may name any.
    """
    if None in texts:
        return _versions_of_all(files, EMBEDDINGS)
    names = {name for text in texts if text and "embedding:" in text for name in _learned_words(parse(text))}
    found = {name: embedding_file(files, name) for name in sorted(names)}
    return {name: file_version(path) for name, path in found.items() if path is not None}


def versions_of_wildcards(files: Files, text: str | None) -> dict[str, str]:
    """Tell the versions of all wildcard files, which name each other, if a text names one.

    Args:
        text: None as above.
    """
    return {} if text is not None and "__" not in text else _versions_of_all(files, WILDCARDS)


def _versions_of_all(files: Files, kind: str) -> dict[str, str]:
    found = {name: files.find_file(kind, name) for name in files.file_names(kind)}
    return {name: file_version(path) for name, path in found.items() if path is not None}


def _learned_words(prompt: Prompt) -> Iterator[str]:
    for part in prompt:
        match part:
            case LearnedWord(name):
                yield name
            case Weighted(parts):
                yield from _learned_words(parts)
            case Scheduled(before, after):
                yield from _learned_words(before)
                yield from _learned_words(after)
            case _:
                pass
