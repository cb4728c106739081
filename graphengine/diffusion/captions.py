"""Captions for drawn scenes: one sentence, phrase or list of words for each, true of its scene.

The wordings cover what people type: synonyms, phrases in any order, lists with and without commas, and captions that
tell only some of the attributes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from graphengine.diffusion.scenes import (
    BACKGROUNDS,
    COLOURS,
    DIGITS,
    KINDS,
    PATTERNS,
    PLACES,
    RELATIONS,
    ROWS,
    SIZES,
    Scenes,
)

_SHAPE_WORDS = {
    "circle": ("circle", "circle", "circle", "disc", "ball"),
    "square": ("square", "square", "square", "box"),
    "triangle": ("triangle",),
    "star": ("star",),
    "heart": ("heart",),
} | {name: (str(value), str(value), name, f"digit {value}", f"number {name}") for value, name in enumerate(DIGITS)}
_PATTERN_WORDS = {"striped": ("striped", "striped", "stripy"), "dotted": ("dotted", "dotted", "spotted")}
_PATTERN_PHRASES = {"striped": "with stripes", "dotted": "with dots"}
_COLOUR_WORDS = {
    "cyan": ("cyan", "cyan", "turquoise"),
    "purple": ("purple", "purple", "violet"),
    "grey": ("grey", "gray"),
}
_SIZE_WORDS = {
    "small": ("small", "small", "little", "tiny"),
    "medium": ("medium", "medium-sized"),
    "big": ("big", "big", "large", "huge"),
}
_PLACE_WORDS = {
    "top left": ("top left", "top left", "upper left"),
    "top right": ("top right", "top right", "upper right"),
    "bottom left": ("bottom left", "bottom left", "lower left"),
    "bottom right": ("bottom right", "bottom right", "lower right"),
    "centre": ("centre", "center", "middle"),
}
_PLACE_PHRASES = {
    "corner": ("at the {}", "in the {}", "in the {} corner"),
    "edge": ("at the {}", "at the {}", "at the {} edge"),
    "side": ("on the {}", "on the {}", "at the {}", "on the {} side"),
    "centre": ("in the {}", "in the {}", "at the {}"),
}
_BACKGROUND_PHRASES = (
    "on a {} background",
    "on a {} background",
    "on a {} background",
    "against a {} background",
    "with a {} background",
    "on {}",
)
_RELATION_PHRASES = {
    "left of": ("left of", "left of", "to the left of", "on the left of"),
    "right of": ("right of", "right of", "to the right of", "on the right of"),
    "above": ("above", "above", "over", "on top of"),
    "below": ("below", "below", "under", "beneath"),
}
_SIDES = {
    "left of": ("on the left", "on the right"),
    "right of": ("on the right", "on the left"),
    "above": ("at the top", "at the bottom"),
    "below": ("at the bottom", "at the top"),
}
_INSIDE_PHRASES = ("{} inside {}", "{} inside {}", "{} in {}", "{} within {}")
_AROUND_PHRASES = ("{} with {} inside", "{} around {}", "{} with {} in it")
_ROW_PHRASES = {
    "row": ("{} from left to right", "from left to right {}", "{} in a row", "left to right: {}"),
    "column": ("{} from top to bottom", "from top to bottom {}", "{} one below the other", "top to bottom: {}"),
}
_SHAPE_UNTOLD = ("shape", "thing", "object")
_COLOUR_NAMES, _BACKGROUND_NAMES, _SIZE_NAMES = tuple(COLOURS), tuple(BACKGROUNDS), tuple(SIZES)

_T = TypeVar("_T")


class _Choices:
    """A row of uniform numbers, spent one by one."""

    def __init__(self, uniform: Sequence[float]) -> None:
        self._rest = iter(uniform)

    def one_of(self, options: Sequence[_T]) -> _T:
        return options[int(next(self._rest) * len(options))]

    def happens(self, probability: float) -> bool:
        return next(self._rest) < probability

    def shuffled(self, items: Sequence[_T]) -> list[_T]:
        rest, mixed = list(items), []
        while len(rest) > 1:
            mixed.append(rest.pop(int(next(self._rest) * len(rest))))
        return mixed + rest


def write_captions(scenes: Scenes) -> list[str]:
    """Write one caption for each scene, telling what ``scenes.told`` says."""
    by_count = (_caption_of_one, _caption_of_two, _caption_of_three)
    return [by_count[count - 1](scenes, row) for row, count in enumerate(scenes.count)]


def _caption_of_one(scenes: Scenes, row: int) -> str:
    choices = _Choices(scenes.style[row].tolist())
    if choices.happens(0.3):
        items = choices.shuffled(_list_items(scenes, row, choices))
        return choices.one_of((", ", ", ", " ")).join(items)
    told = scenes.told
    parts = [_noun_phrase(scenes, row, 0, choices)]
    if told.place[row]:
        parts.append(_place_phrase(PLACES[scenes.place[row]], choices))
    if told.background[row]:
        parts.append(_background_phrase(scenes, row, choices))
    if choices.happens(0.35):
        return _finish(choices.shuffled(parts), choices)
    opening = "a picture of " if choices.happens(0.08) else ""
    return opening + _finish(parts, choices)


def _list_items(scenes: Scenes, row: int, choices: _Choices) -> list[str]:
    told = scenes.told
    items = []
    if told.shape[row]:
        items.append(choices.one_of(_SHAPE_WORDS[KINDS[scenes.shape[row, 0]]]))
    if told.colour[row]:
        items.append(_word(_COLOUR_WORDS, _COLOUR_NAMES[scenes.colour[row, 0]], choices))
    if told.size[row, 0]:
        items.append(_word(_SIZE_WORDS, _SIZE_NAMES[scenes.size[row, 0]], choices))
    if scenes.pattern[row, 0]:
        items.append(choices.one_of(_PATTERN_WORDS[PATTERNS[scenes.pattern[row, 0]]]))
    if told.place[row]:
        items.append(_word(_PLACE_WORDS, PLACES[scenes.place[row]], choices))
    if told.background[row]:
        items.append(f"{_word(_COLOUR_WORDS, _BACKGROUND_NAMES[scenes.background[row]], choices)} background")
    return items


def _caption_of_two(scenes: Scenes, row: int) -> str:
    choices = _Choices(scenes.style[row].tolist())
    first, second = (_noun_phrase(scenes, row, which, choices) for which in (0, 1))
    relation = RELATIONS[scenes.relation[row]]
    if relation == "inside":
        pair = [
            choices.one_of(_INSIDE_PHRASES).format(first, second)
            if choices.happens(0.7)
            else choices.one_of(_AROUND_PHRASES).format(second, first)
        ]
    elif not scenes.told.relation[row]:
        pair = [f"{first} and {second}"]
    elif choices.happens(0.75):
        pair = [f"{first} {choices.one_of(_RELATION_PHRASES[relation])} {second}"]
    else:
        here, there = _SIDES[relation]
        leads = choices.happens(0.5)
        pair = [f"{here} {first} and {there} {second}" if leads else f"{first} {here} and {second} {there}"]
    if scenes.told.background[row]:
        background = _background_phrase(scenes, row, choices)
        pair = [background, *pair] if choices.happens(0.3) else [*pair, background]
    return _finish(pair, choices)


def _caption_of_three(scenes: Scenes, row: int) -> str:
    choices = _Choices(scenes.style[row].tolist())
    first, second, third = (_noun_phrase(scenes, row, which, choices) for which in range(3))
    listed = f"{first}, {second} and {third}" if choices.happens(0.7) else f"{first}, {second}, {third}"
    lies = ROWS[scenes.row[row]]
    if not scenes.told.row[row]:
        told = listed
    elif choices.happens(0.3):
        between = choices.one_of(_RELATION_PHRASES["left of" if lies == "row" else "above"][:2])
        told = f"{first} {between} {second} {between} {third}"
    else:
        told = choices.one_of(_ROW_PHRASES[lies]).format(listed)
    if scenes.told.background[row]:
        told = f"{told} {_background_phrase(scenes, row, choices)}"
    return _finish([told], choices)


def _noun_phrase(scenes: Scenes, row: int, which: int, choices: _Choices) -> str:
    told = scenes.told
    adjectives = []
    if told.size[row, which]:
        adjectives.append(_word(_SIZE_WORDS, _SIZE_NAMES[scenes.size[row, which]], choices))
    if told.colour[row]:
        adjectives.append(_word(_COLOUR_WORDS, _COLOUR_NAMES[scenes.colour[row, which]], choices))
    if choices.happens(0.2):
        adjectives.reverse()
    shapes = _SHAPE_WORDS[KINDS[scenes.shape[row, which]]] if told.shape[row] else _SHAPE_UNTOLD
    words = [*adjectives, choices.one_of(shapes)]
    if scenes.pattern[row, which]:
        pattern = PATTERNS[scenes.pattern[row, which]]
        if choices.happens(0.75):
            words.insert(int(choices.happens(0.3)), choices.one_of(_PATTERN_WORDS[pattern]))
        else:
            words.append(_PATTERN_PHRASES[pattern])
    if choices.happens(0.75):
        words.insert(0, "an" if words[0][0] in "aeiou8" else "a")
    return " ".join(words)


def _place_phrase(place: str, choices: _Choices) -> str:
    kind = "corner" if " " in place else {"left": "side", "right": "side", "centre": "centre"}.get(place, "edge")
    return choices.one_of(_PLACE_PHRASES[kind]).format(_word(_PLACE_WORDS, place, choices))


def _background_phrase(scenes: Scenes, row: int, choices: _Choices) -> str:
    colour = _word(_COLOUR_WORDS, _BACKGROUND_NAMES[scenes.background[row]], choices)
    return choices.one_of(_BACKGROUND_PHRASES).format(colour)


def _word(words: Mapping[str, tuple[str, ...]], name: str, choices: _Choices) -> str:
    return choices.one_of(words.get(name, (name,)))


def _finish(parts: Sequence[str], choices: _Choices) -> str:
    text = choices.one_of((" ", " ", ", ")).join(parts)
    return text + "." if choices.happens(0.1) else text
