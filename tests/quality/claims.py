"""What a prompt claims, and whether a picture keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphengine.diffusion.scenes import (
    BACKGROUNDS,
    COLOURS,
    KINDS,
    PATTERNS,
    PLACES,
    RELATIONS,
    ROWS,
    SIZES,
    Scenes,
)
from tests.quality.judge import SeenObject, SeenPicture

_COLOURS, _BACKGROUNDS, _SIZES = tuple(COLOURS), tuple(BACKGROUNDS), tuple(SIZES)


@dataclass(frozen=True)
class ObjectClaim:
    """What is said of one object; None where the prompt does not say."""

    shape: str | None
    colour: str | None
    size: str | None
    pattern: str | None = None


@dataclass(frozen=True)
class Claims:
    """What is said of a picture; None where the prompt does not say."""

    background: str | None
    objects: tuple[ObjectClaim, ...]
    position: str | None = None
    relation: str | None = None
    row: str | None = None


def claims_of(scenes: Scenes) -> list[Claims]:
    """Give what each scene's caption tells."""
    return [_claims(scenes, row) for row in range(len(scenes))]


def verdict(claims: Claims, seen: SeenPicture) -> dict[str, bool]:
    """Judge each attribute that the prompt tells.

    The shape counts as right only if there are as many objects as the prompt says. Several objects are told apart by
    colour; if a colour is missing or comes twice, colour, shape, size, pattern and relation are all wrong.
    """
    right = {}
    if claims.background is not None:
        right["background"] = seen.background == claims.background
    objects = _matched(claims, seen)
    for attribute in ("colour", "shape", "size", "pattern"):
        told = [getattr(claim, attribute) for claim in claims.objects]
        if any(value is not None for value in told):
            right[attribute] = objects is not None and all(
                value is None or getattr(found, attribute) == value for value, found in zip(told, objects, strict=True)
            )
    if "shape" in right:
        right["shape"] &= len(seen.objects) == len(claims.objects)
    if claims.position is not None:
        right["position"] = objects is not None and objects[0].place == claims.position
    if claims.relation is not None:
        right["relation"] = objects is not None and objects[0].relation_to(objects[1]) == claims.relation
    if claims.row is not None:
        right["relation"] = objects is not None and _row_of(objects) == claims.row
    return right


def _row_of(objects: Sequence[SeenObject]) -> str:
    """Tell how objects lie in the order in which they are named."""
    x, y = [seen.x for seen in objects], [seen.y for seen in objects]
    is_row, is_column = max(x) - min(x) > max(y) - min(y), max(y) - min(y) > max(x) - min(x)
    if is_row and x == sorted(x):
        return "row"
    return "column" if is_column and y == sorted(y) else "scattered"


def _matched(claims: Claims, seen: SeenPicture) -> list[SeenObject] | None:
    if not seen.objects:
        return None
    if len(claims.objects) == 1:
        return [seen.objects[0]]
    by_colour = [[found for found in seen.objects if found.colour == claim.colour] for claim in claims.objects]
    return [found[0] for found in by_colour] if all(len(found) == 1 for found in by_colour) else None


def _claims(scenes: Scenes, row: int) -> Claims:
    told = scenes.told
    objects = tuple(
        ObjectClaim(
            shape=KINDS[scenes.shape[row, which]] if told.shape[row] else None,
            colour=_COLOURS[scenes.colour[row, which]] if told.colour[row] else None,
            size=_SIZES[scenes.size[row, which]] if told.size[row, which] else None,
            pattern=PATTERNS[scenes.pattern[row, which]] if scenes.pattern[row, which] else None,
        )
        for which in range(scenes.count[row])
    )
    return Claims(
        background=_BACKGROUNDS[scenes.background[row]] if told.background[row] else None,
        objects=objects,
        position=PLACES[scenes.place[row]] if told.place[row] else None,
        relation=RELATIONS[scenes.relation[row]] if told.relation[row] else None,
        row=ROWS[scenes.row[row]] if told.row[row] else None,
    )
