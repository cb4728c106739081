r"""The language of prompts. Any text is a prompt: what isn't well formed stands for itself.

    (red star)            counts 1.1 times
    (red star:1.3)        counts 1.3 times; weights within weights multiply
    [red star]            counts 1/1.1 times
    [star:heart:0.5]      a star for the first half of the steps, then a heart
    [star::8]             a star for the first 8 steps, then nothing
    [:heart:8] [heart:8]  nothing for the first 8 steps, then a heart
    BREAK                 what follows starts a chunk of tokens of its own
    embedding:name        a word learned by textual inversion
    \( \) \[ \] \: \\     the character itself

The number of a schedule is a share of the steps if it is at most 1, else a number of steps. BREAK is a word of its own
in capitals. The name of a learned word ends before a space, a comma, a bracket, a colon, and before punctuation at the
end.

A closing bracket belongs to the nearest bracket of its kind that is still open, and those opened in between have no
partner. Brackets without a partner, and those within ``DEEPEST`` others, are text. So is a colon without its number:
``(a:b)`` counts 1.1 times, colon and all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

__all__ = ["DEEPEST", "Break", "LearnedWord", "Part", "Prompt", "Scheduled", "Text", "Weighted", "parse", "write"]

DEEPEST = 40
EMPHASIS = 1.1


@dataclass(frozen=True)
class Text:
    """Words as they are."""

    text: str


@dataclass(frozen=True)
class LearnedWord:
    """A word learned by textual inversion, by its file's name."""

    name: str


@dataclass(frozen=True)
class Break:
    """The end of a chunk of tokens."""


@dataclass(frozen=True)
class Weighted:
    """A part that counts more or less than the rest."""

    parts: Prompt
    weight: float


@dataclass(frozen=True)
class Scheduled:
    """A part that is one thing for some steps and then another.

    Attributes:
        when: Steps of the first, as a share of all if at most 1, else their number.
    """

    before: Prompt
    after: Prompt
    when: float


Part = Text | LearnedWord | Break | Weighted | Scheduled
Prompt = tuple[Part, ...]


def parse(text: str) -> Prompt:
    """Read a prompt; no text raises."""
    tokens = list(_tokens(text))
    return _join(_Reader(tokens, _partners(tokens)).fields(0, len(tokens), 0))


def write(prompt: Prompt) -> str:
    """Spell a prompt so that ``parse`` gives it back, if ``parse`` gave it."""
    return "".join(_spelled(part) for part in prompt)


_TOKEN = re.compile(
    r"""
    \\ (?P<escaped> [()\[\]:\\] )
    | (?P<sign> [()\[\]:] )
    | \b (?P<pause> BREAK ) \b
    | (?<!\w) embedding: (?P<learned> [^\s,()\[\]:{}|\\]* [^\s,()\[\]:{}|\\.;!?] )
    """,
    re.VERBOSE,
)
_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")
_SPECIAL = re.compile(r"[()\[\]:\\]")


@dataclass(frozen=True)
class _Sign:
    """A bracket or colon that may mean something."""

    sign: str


_Token = Text | LearnedWord | Break | _Sign


def _tokens(text: str) -> Iterator[_Token]:
    end = 0
    for found in _TOKEN.finditer(text):
        if found.start() > end:
            yield Text(text[end : found.start()])
        end = found.end()
        match found.lastgroup:
            case "escaped":
                yield Text(found["escaped"])
            case "sign":
                yield _Sign(found["sign"])
            case "pause":
                yield Break()
            case _:
                yield LearnedWord(found["learned"])
    if end < len(text):
        yield Text(text[end:])


def _partners(tokens: Sequence[_Token]) -> dict[int, int]:
    """Give for each opening bracket that is closed the place of the closing one."""
    partners: dict[int, int] = {}
    waiting: list[tuple[str, int]] = []
    count = {"(": 0, "[": 0}
    for place, token in enumerate(tokens):
        sign = token.sign if isinstance(token, _Sign) else ""
        if sign in ("(", "["):
            waiting.append((sign, place))
            count[sign] += 1
        elif sign in (")", "]"):
            opening = "(" if sign == ")" else "["
            while count[opening]:
                kind, start = waiting.pop()
                count[kind] -= 1
                if kind == opening:
                    partners[start] = place
                    break
    return partners


@dataclass(frozen=True)
class _Reader:
    """Builds the tree of tokens whose brackets are matched."""

    tokens: Sequence[_Token]
    partners: dict[int, int]

    def fields(self, start: int, end: int, depth: int) -> list[Prompt]:
        """Read what colons separate between two places."""
        fields: list[list[Part]] = [[]]
        place = start
        while place < end:
            token = self.tokens[place]
            if not isinstance(token, _Sign):
                fields[-1].append(token)
            elif token.sign == ":":
                fields.append([])
            elif place in self.partners and depth < DEEPEST:
                partner = self.partners[place]
                inner = self.fields(place + 1, partner, depth + 1)
                fields[-1].append(_weighted(inner) if token.sign == "(" else _scheduled(inner))
                place = partner
            else:
                fields[-1].append(Text(token.sign))
            place += 1
        return [_merged(field) for field in fields]


def _weighted(fields: list[Prompt]) -> Weighted:
    number = _number(fields[-1]) if len(fields) > 1 else None
    return Weighted(_join(fields), EMPHASIS) if number is None else Weighted(_join(fields[:-1]), number)


def _scheduled(fields: list[Prompt]) -> Scheduled | Weighted:
    number = _number(fields[-1]) if len(fields) in (2, 3) else None
    if number is None or number < 0:
        return Weighted(_join(fields), 1 / EMPHASIS)
    before: Prompt = fields[0] if len(fields) == 3 else ()
    return Scheduled(before, fields[-2], number)


def _number(field: Prompt) -> float | None:
    match field:
        case (Text(text),) if _NUMBER.fullmatch(text):
            number = float(text)
            return number if isfinite(number) else None
        case _:
            return None


def _join(fields: Sequence[Prompt]) -> Prompt:
    """Put back the colons that turned out to be text."""
    parts = list(fields[0])
    for field in fields[1:]:
        parts += [Text(":"), *field]
    return _merged(parts)


def _merged(parts: Sequence[Part]) -> Prompt:
    """Make texts in a row one."""
    merged: list[Part] = []
    texts: list[str] = []
    for part in parts:
        if isinstance(part, Text):
            texts.append(part.text)
            continue
        if texts:
            merged.append(Text("".join(texts)))
            texts = []
        merged.append(part)
    return (*merged, Text("".join(texts))) if texts else tuple(merged)


def _spelled(part: Part) -> str:
    match part:
        case Text(text):
            return _SPECIAL.sub(r"\\\g<0>", text)
        case LearnedWord(name):
            return f"embedding:{name}"
        case Break():
            return "BREAK"
        case Weighted(parts, weight):
            return f"({write(parts)}:{weight!r})"
        case Scheduled(before, after, when):
            return f"[{write(before)}:{write(after)}:{when!r}]"
