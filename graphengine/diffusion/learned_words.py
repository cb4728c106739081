"""Words that a clip was taught by textual inversion, in prompts and captions: their vectors stand where they do."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from graphengine.diffusion.prompt_grammar import LearnedWord
from graphengine.diffusion.prompt_readings import Group, Piece
from graphengine.diffusion.prompt_tokens import FindLearned
from graphengine.errors import InputError
from graphengine.types import Clip, LearnedVectors

__all__ = ["FindLearnedWord", "find_vectors", "has_word", "no_learned_words", "with_word", "with_words", "words_digest"]

FindLearnedWord = Callable[[str], Mapping[int, Tensor]]
"""Gives a learned word's vectors ``[n, D]`` by the encoder's place, by its name in the prompt."""


def no_learned_words(name: str) -> Mapping[int, Tensor]:
    """Refuse a learned word where there are none.

    Raises:
        InputError: always.
    """
    raise InputError("text", f"there is no embedding {name!r}.", r"For the words themselves, write 'embedding\:'.")


def with_words(groups: Sequence[Group], words: Sequence[LearnedVectors]) -> Sequence[Group]:
    """Make pieces of their own of the words that were taught, wherever they stand in groups."""
    if not words:
        return groups
    found = re.compile(_anywhere(word.placeholder for word in words))
    return [tuple(_pieces(group, found)) for group in groups]


def with_word(clip: Clip, word: LearnedVectors) -> Clip:
    """Give a clip that knows a word besides."""
    return replace(clip, words=(*clip.words, word))


def words_digest(clip: Clip) -> str:
    """Hash the words that a clip was taught."""
    digest = hashlib.blake2b(digest_size=16)
    for word in clip.words:
        digest.update(repr((word.placeholder, [each.tolist() for each in word.vectors])).encode())
    return digest.hexdigest()


def has_word(text: str, placeholder: str) -> bool:
    """Tell whether a word stands in a text; not as a part of another."""
    return re.search(_anywhere([placeholder]), text) is not None


def find_vectors(words: Sequence[LearnedVectors], number: int, find_learned: FindLearnedWord) -> FindLearned:
    """Give the way to find the vectors for an encoder of a clip: of its own words, by either name, then of others.

    Args:
        number: The encoder's place in the clip.
    """
    own = {name: word.vectors[number] for word in words for name in (word.name, word.placeholder)}
    return lambda name: own[name] if name in own else find_learned(name)[number]


def _anywhere(placeholders: Iterable[str]) -> str:
    choices = "|".join(re.escape(each) for each in sorted(placeholders, key=len, reverse=True))
    return rf"(?<!\w)({choices})(?!\w)"


def _pieces(group: Group, found: re.Pattern[str]) -> Iterator[Piece]:
    for piece in group:
        if isinstance(piece.words, LearnedWord):
            yield piece
            continue
        for place, text in enumerate(found.split(piece.words)):  # every other one is a word that was found
            if text:
                yield Piece(LearnedWord(text) if place % 2 else text, piece.weight)
