"""Words → tokens → chunks of the length that a text encoder reads, whatever the prompt's length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from torch import Tensor

from graphengine.diffusion.prompt_grammar import LearnedWord
from graphengine.diffusion.prompt_readings import Group
from graphengine.errors import InputError
from graphengine.types import Clip, TextEncoder

__all__ = [
    "Chunk",
    "FindLearned",
    "Token",
    "chunks",
    "cut_chunk",
    "empty_chunk",
    "is_clip",
    "only_encoder",
    "room_for_words",
    "token_limit",
]

FindLearned = Callable[[str], Tensor]
"""Gives a learned word's vectors ``[n, D]`` for one encoder, by its name in the prompt."""

_T5_TOKENS = 256
_PLACEHOLDER = 0
"""Stands for a learned vector among token ids; not an end mark, by which encoders find the pooled state."""


@dataclass(frozen=True)
class Token:
    """One token, and how much it counts.

    Attributes:
        vector: ``[D]``, takes the place of the token's own embedding.
    """

    id: int
    weight: float = 1.0
    vector: Tensor | None = None


@dataclass(frozen=True)
class Chunk:
    """As many tokens as the encoder reads at once, its marks and padding included."""

    tokens: tuple[Token, ...]


def is_clip(encoder: TextEncoder) -> bool:
    """Tell whether an encoder is of CLIP's kind; else it is T5."""
    config: Any = encoder.network.config  # Any: transformers' configuration, untyped
    return str(config.model_type).startswith("clip")


def token_limit(encoder: TextEncoder) -> int:
    """How many tokens a CLIP encoder reads, its marks included; T5 has no limit, and is given at least as many."""
    config: Any = encoder.network.config  # Any: transformers' configuration, untyped
    most = config.max_position_embeddings if is_clip(encoder) else _T5_TOKENS
    return int(min(encoder.tokenizer.model_max_length, most))  # a tokenizer saved without a limit says 1e30


def only_encoder(clip: Clip) -> TextEncoder:
    """Give the text encoder of a clip that has one.

    Raises:
        InputError: if it has several.
    """
    if len(clip.encoders) > 1:
        raise InputError("clip", f"it has {len(clip.encoders)} text encoders.", "Choose one with a single encoder.")
    return clip.encoders[0]


def empty_chunk(encoder: TextEncoder) -> Chunk:
    """Give the chunk of a prompt without words."""
    return _marked(encoder, [])


def chunks(encoder: TextEncoder, groups: Sequence[Group], find_learned: FindLearned) -> list[Chunk]:
    """Divide a prompt's tokens into chunks; none if it has no words.

    Each group begins a chunk. A word that doesn't fit in the rest of a chunk begins the next one, unless it is longer
    than a whole chunk. T5 reads all at once.
    """
    if not is_clip(encoder):
        words = (word for group in groups for word in _words(encoder, group, find_learned))
        tokens = [token for word in words for token in word]
        return [_marked(encoder, tokens)] if tokens else []
    room = room_for_words(encoder)
    filled: list[list[Token]] = []
    for group in groups:
        filled += _filled(list(_words(encoder, group, find_learned)), room)
    return [_marked(encoder, tokens) for tokens in filled]


def cut_chunk(encoder: TextEncoder, group: Group, find_learned: FindLearned) -> Chunk:
    """Give the one chunk that an encoder reads of a caption in training; what is too long is cut."""
    tokens = [token for word in _words(encoder, group, find_learned) for token in word]
    return _marked(encoder, tokens[: room_for_words(encoder)])


def room_for_words(encoder: TextEncoder) -> int:
    """How many tokens of words an encoder reads at once, beside the marks of start and end; T5 has none of start."""
    return token_limit(encoder) - (1 if encoder.tokenizer.bos_token_id is None else 2)


def _filled(words: Sequence[Sequence[Token]], room: int) -> Iterator[list[Token]]:
    tokens: list[Token] = []
    for word in words:
        if tokens and len(tokens) + len(word) > room and len(word) <= room:
            yield tokens
            tokens = []
        tokens += word
        while len(tokens) > room:
            yield tokens[:room]
            tokens = tokens[room:]
    if tokens:
        yield tokens


def _words(encoder: TextEncoder, group: Group, find_learned: FindLearned) -> Iterator[list[Token]]:
    tokenizer: Any = encoder.tokenizer  # Any: calling a tokenizer gives an untyped BatchEncoding
    for piece in group:
        if isinstance(piece.words, LearnedWord):
            vectors = find_learned(piece.words.name)
            yield [Token(_PLACEHOLDER, piece.weight, vector) for vector in vectors]
            continue
        # verbose: it would say that a prompt is too long, which it is not here
        encoded = tokenizer(piece.words, add_special_tokens=False, verbose=False)
        ids = encoded["input_ids"]
        numbers = encoded.word_ids(0) if getattr(encoded, "is_fast", False) else range(len(ids))
        for _word, tokens in groupby(zip(ids, numbers, strict=True), lambda pair: pair[1]):
            yield [Token(number, piece.weight) for number, _ in tokens]


def _marked(encoder: TextEncoder, tokens: Sequence[Token]) -> Chunk:
    start, end, rest = (getattr(encoder.tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad"))
    marked = [*([] if start is None else [Token(start)]), *tokens, Token(end)]
    return Chunk((*marked, *[Token(rest)] * (token_limit(encoder) - len(marked))))
