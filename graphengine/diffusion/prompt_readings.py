"""What a prompt says at each step: its schedules resolved, its weights multiplied, its breaks made groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from math import inf

from graphengine.diffusion.prompt_grammar import Break, LearnedWord, Prompt, Scheduled, Text, Weighted
from graphengine.types import StepRange

__all__ = ["Piece", "Reading", "count_readings", "readings"]


@dataclass(frozen=True)
class Piece:
    """Words that count alike, or one learned word."""

    words: str | LearnedWord
    weight: float = 1.0


Group = tuple[Piece, ...]


@dataclass(frozen=True)
class Reading:
    """What prompts say for some of the steps.

    Attributes:
        texts: For each prompt its groups, at least one; each group starts a chunk of tokens of its own.
        steps: Which; all of these must hold.
    """

    texts: tuple[tuple[Group, ...], ...]
    steps: tuple[StepRange, ...] = ()


def count_readings(prompts: Sequence[Prompt]) -> int:
    """Tell how many ``readings`` there are, without making them."""
    return len(_ranges(prompts, is_share=True)) * len(_ranges(prompts, is_share=False))


def readings(prompts: Sequence[Prompt]) -> list[Reading]:
    """Say what prompts mean that are read together, once for all steps if they have no schedule.

    Which of a share of the steps and a number of steps comes first is known only when sampling. Prompts with both are
    read for every pair of ranges; those that no step lies in are never used.
    """
    shares, numbers = _ranges(prompts, is_share=True), _ranges(prompts, is_share=False)
    return [
        Reading(
            tuple(tuple(_groups(_flat(prompt, 1.0, share[0], number[0]))) for prompt in prompts),
            tuple(steps for steps in (share, number) if steps != _ALL),
        )
        for share in shares
        for number in numbers
    ]


_ALL: StepRange = (0.0, inf)


def _ranges(prompts: Sequence[Prompt], *, is_share: bool) -> list[StepRange]:
    switched = (when for prompt in prompts for when in _switches(prompt))
    switches = sorted({when for when in switched if when > 0 and (when <= 1) is is_share})
    return list(pairwise([0.0, *switches, inf]))


def _switches(prompt: Prompt) -> Iterator[float]:
    for part in prompt:
        if isinstance(part, Weighted):
            yield from _switches(part.parts)
        elif isinstance(part, Scheduled):
            yield part.when
            yield from _switches(part.before)
            yield from _switches(part.after)


def _flat(prompt: Prompt, weight: float, share: float, number: float) -> Iterator[Piece | Break]:
    """Give what is said from a share and from a number of the steps on, until the next switch."""
    for part in prompt:
        match part:
            case Text(text):
                yield Piece(text, weight)
            case LearnedWord():
                yield Piece(part, weight)
            case Break():
                yield part
            case Weighted(parts, factor):
                yield from _flat(parts, weight * factor, share, number)
            case Scheduled(before, after, when):
                now = share if when <= 1 else number
                yield from _flat(after if now >= when else before, weight, share, number)


def _groups(pieces: Iterator[Piece | Break]) -> Iterator[Group]:
    group: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, Break):
            yield _merged(group)
            group = []
        else:
            group.append(piece)
    yield _merged(group)


def _merged(pieces: Sequence[Piece]) -> Group:
    """Make neighbours that count alike one, so that they are read as if written without brackets."""
    merged: list[Piece] = []
    for (is_text, weight), run in groupby(pieces, lambda piece: (isinstance(piece.words, str), piece.weight)):
        if is_text:
            merged.append(Piece("".join(str(piece.words) for piece in run), weight))
        else:
            merged += run
    return tuple(merged)
