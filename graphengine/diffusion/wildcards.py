r"""Prompts with choices, one of which is drawn.

    {red|green|blue}          one of the three, each as likely
    {3::red|green}            red three times as often as green
    {a {big|small} |}star     choices within choices, and nothing
    __colours__               a line of the file colours.txt in the wildcards folder; lines may hold choices
    \{ \} \|                  the character itself

Braces without a partner are text, and so is | outside of braces. In files, empty lines and those that begin with # are
left out. Choices are drawn in the order in which they stand, and the same seed draws the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import accumulate
from math import isfinite
from random import Random

from graphengine.config import Settings
from graphengine.diffusion.prompt_files import WILDCARDS
from graphengine.errors import InputError

__all__ = ["ReadLines", "expand", "lines_in"]

ReadLines = Callable[[str], Sequence[str]]
"""Gives the lines of a wildcard file by its name; at least one."""

_DEEPEST = 40
_LONGEST = 100_000
# The first of the characters may be no underscore: a row of those would be tried from each to the end.
_FILE = re.compile(r"__([^\W_][\w./-]*?)__")
_TOKEN = re.compile(rf"\\[{{}}|]|[{{}}|]|{_FILE.pattern}")
_WEIGHT = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)::")


def expand(text: str, seed: int, read_lines: ReadLines) -> str:
    """Draw a text's choices.

    Raises:
        InputError: if files refer to each other in a circle, or the text grows too long.
    """
    return _Drawing(Random(seed), read_lines).text(text, 0)


def lines_in(settings: Settings) -> ReadLines:
    """Give the way to read the files of the ``wildcards`` folders.

    Raises:
        InputError: if there is no such file, or it can't be read or holds no line; raised when it is read.
    """

    def read(name: str) -> Sequence[str]:
        path = settings.find_file(WILDCARDS, f"{name}.txt")
        if path is None or not path.is_file():
            known = ", ".join(each.removesuffix(".txt") for each in settings.file_names(WILDCARDS)) or "none"
            raise InputError(
                "text", f"there is no wildcard file {name!r}; there are: {known}.", f"Put {name}.txt into 'wildcards'."
            )
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise InputError(
                "text", f"the wildcard file {name!r} can't be read: {error}", "Save it as UTF-8."
            ) from error
        lines = [line for each in text.splitlines() if (line := each.strip()) and not line.startswith("#")]
        if not lines:
            raise InputError("text", f"the wildcard file {name!r} holds no line.", "Write a choice on each line.")
        return lines

    return read


class _Drawing:
    """Draws choices from one stream of random numbers."""

    def __init__(self, random: Random, read_lines: ReadLines) -> None:
        self._random = random
        self._read_lines = read_lines
        self._length = 0

    def text(self, text: str, depth: int) -> str:
        """Expand a text, which may stand within ``depth`` others."""
        if depth > _DEEPEST:
            raise InputError("text", f"choices lie within more than {_DEEPEST} others.", "Look for files in a circle.")
        tokens = _tokens(text)
        partners = _partners(tokens)
        written: list[str] = []
        place = 0
        while place < len(tokens):
            token = tokens[place]
            if place in partners:
                options = _options(tokens, place, partners)
                written.append(self.text(self._chosen(options), depth + 1))
                place = partners[place]
            elif found := _FILE.fullmatch(token):
                line = self._read_lines(found[1])
                written.append(self.text(line[self._drawn([1.0] * len(line))], depth + 1))
            else:
                written.append(token[1:] if len(token) == 2 and token[0] == "\\" and token[1] in "{}|" else token)
            place += 1
        result = "".join(written)
        self._length += len(result)
        if self._length > _LONGEST:
            raise InputError("text", f"it grows beyond {_LONGEST:,} characters.", "Write fewer choices.")
        return result

    def _chosen(self, options: Sequence[str]) -> str:
        weighted = [_weighted(option) for option in options]
        return weighted[self._drawn([weight for weight, _ in weighted])][1]

    def _drawn(self, weights: Sequence[float]) -> int:
        """Draw a number, each as likely as its weight; ``Random.random`` alone is promised to stay the same."""
        ends = list(accumulate(weights))
        point = self._random.random() * ends[-1]
        return next((number for number, end in enumerate(ends) if point < end), len(ends) - 1)


def _weighted(option: str) -> tuple[float, str]:
    found = _WEIGHT.match(option)
    if found is None or not isfinite(float(found[1])):
        return 1.0, option
    return float(found[1]), option[found.end() :]


def _tokens(text: str) -> list[str]:
    """Divide a text into braces, bars, escaped ones, names of files, and what is between."""
    tokens, end = [], 0
    for found in _TOKEN.finditer(text):
        if found.start() > end:
            tokens.append(text[end : found.start()])
        tokens.append(found[0])
        end = found.end()
    return [*tokens, text[end:]] if end < len(text) else tokens


def _partners(tokens: Sequence[str]) -> dict[int, int]:
    """Give for each opening brace that is closed the place of the closing one."""
    partners: dict[int, int] = {}
    waiting: list[int] = []
    for place, token in enumerate(tokens):
        if token == "{":
            waiting.append(place)
        elif token == "}" and waiting:
            partners[waiting.pop()] = place
    return partners


def _options(tokens: Sequence[str], start: int, partners: dict[int, int]) -> list[str]:
    """Give what bars separate between a brace and its partner, escapes untouched."""
    options: list[list[str]] = [[]]
    place = start + 1
    while place < partners[start]:
        end = partners.get(place, place)
        if tokens[place] == "|":
            options.append([])
        else:
            options[-1] += tokens[place : end + 1]
        place = end + 1
    return ["".join(option) for option in options]
