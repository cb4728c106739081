"""What lists and type variables become along links, and what is said where they don't fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NewType, TypeVar

import pytest

from graphengine import Lazy, NodePack, node
from graphengine.config import Settings
from graphengine.core.graph import Graph, build_graph, check
from graphengine.core.registry import Registry
from graphengine.errors import Problem
from tests.drawn import drawn

Picture = NewType("Picture", object)
Cover = NewType("Cover", object)
T = TypeVar("T")
K = TypeVar("K", Picture, Cover)


@node("Whole", category="test", outputs="number")
def whole() -> int:
    """Give a whole number."""
    raise NotImplementedError


@node("Half", category="test", outputs="number")
def half() -> float:
    """Give a number."""
    raise NotImplementedError


@node("Wholes", category="test", outputs="numbers")
def wholes(count: int = 1) -> list[int]:
    """Give whole numbers."""
    raise NotImplementedError


@node("Paint", category="test", outputs="picture")
def paint(width: float = 1.0) -> Picture:
    """Paint a picture."""
    raise NotImplementedError


@node("Paints", category="test", outputs="pictures")
def paints(count: int = 1) -> list[Picture]:
    """Paint pictures."""
    raise NotImplementedError


@node("CoverOf", category="test", outputs="cover")
def cover_of(picture: Picture) -> Cover:
    """Turn a picture into a cover."""
    raise NotImplementedError


@node("Sum", category="test", outputs="sum")
def total(numbers: list[float]) -> float:
    """Add numbers."""
    raise NotImplementedError


@node("Album", category="test", outputs="picture")
def album(pictures: list[Picture]) -> Picture:
    """Bind pictures."""
    raise NotImplementedError


@node("Mixed", category="test", outputs="count")
def mixed(items: list[Picture | Cover]) -> int:
    """Count pictures and covers."""
    raise NotImplementedError


@node("Either", category="test", outputs="value")
def either(condition: bool, yes: Lazy[T], no: Lazy[T]) -> T:
    """Give one of two."""
    raise NotImplementedError


@node("Later", category="test", outputs="picture")
def later(picture: Lazy[Picture]) -> Picture:
    """Give a picture, perhaps."""
    raise NotImplementedError


@node("First", category="test", outputs="item")
def first(items: list[T]) -> T:
    """Give the first of a list."""
    raise NotImplementedError


@node("Pair", category="test", outputs="items")
def pair(a: K, b: K) -> list[K]:
    """Make a list of two."""
    raise NotImplementedError


@node("Needs", category="test", outputs="count")
def needs(picture: Picture, number: int = 0) -> int:
    """Take one picture."""
    raise NotImplementedError


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry([NodePack("lists", modules=[__name__])])


@pytest.fixture
def found(registry: Registry, settings: Settings) -> Any:  # Any: a function of what drawn() takes
    def found(nodes: Mapping[str, Any]) -> list[Problem]:
        return check(drawn(nodes), registry.definitions, settings, targets=list(nodes))

    return found


@pytest.fixture
def graph(registry: Registry, settings: Settings) -> Any:  # Any: a function of what drawn() takes
    def graph(nodes: Mapping[str, Any]) -> Graph:
        return build_graph(drawn(nodes), registry.definitions, settings, targets=list(nodes))

    return graph


Found = Any  # Any: the fixture above
Made = Any  # Any: the fixture above


def test_a_list_maps_the_node_and_what_follows_it(graph: Made) -> None:
    """
    paints ──[PICTURE]──▶ cover ──[COVER]──▶ mixed
    """
    nodes = {"paints": "Paints", "cover": ("CoverOf", {"picture": "@paints.pictures"})}
    made = graph(nodes | {"mixed": ("Mixed", {"items": "@cover.cover"})})
    assert made.nodes["cover"].mapped == {"picture"}
    assert (made.nodes["mixed"].mapped, made.nodes["mixed"].wrapped) == (set(), set())


def test_only_the_inputs_that_get_a_list_are_mapped(graph: Made) -> None:
    nodes = {"a": "Paints", "n": "Whole", "x": ("Needs", {"picture": "@a.pictures", "number": "@n.number"})}
    assert graph(nodes).nodes["x"].mapped == {"picture"}


def test_one_value_for_a_list_is_wrapped(graph: Made) -> None:
    made = graph({"a": "Paint", "x": ("Album", {"pictures": "@a.picture"})})
    assert (made.nodes["x"].mapped, made.nodes["x"].wrapped) == (set(), {"pictures"})


def test_lists_made_per_item_stay_one_flat_list(graph: Made) -> None:
    """
    wholes ──▶ paints, once for each ──[PICTURE]──▶ album
    """
    nodes = {
        "n": "Wholes",
        "a": ("Paints", {"count": "@n.numbers"}),
        "x": ("Album", {"pictures": "@a.pictures"}),
    }
    made = graph(nodes)
    assert made.nodes["a"].mapped == {"count"}
    assert made.nodes["x"] == made.nodes["x"]._replace(mapped=frozenset(), wrapped=frozenset())


def test_whole_numbers_may_be_a_list_of_numbers_or_map_a_number(graph: Made) -> None:
    made = graph({"n": "Wholes", "x": ("Sum", {"numbers": "@n.numbers"}), "y": ("Paint", {"width": "@n.numbers"})})
    assert (made.nodes["x"].mapped, made.nodes["x"].wrapped) == (set(), set())
    assert made.nodes["y"].mapped == {"width"}


def test_a_lazy_input_of_any_type_binds_the_list_whole(graph: Made) -> None:
    nodes = {
        "a": "Paints", "b": "Paints",
        "either": ("Either", {"condition": True, "yes": "@a.pictures", "no": "@b.pictures"}),
        "x": ("Album", {"pictures": "@either.value"}),
    }  # fmt: skip
    made = graph(nodes)
    assert (made.nodes["either"].mapped, made.nodes["x"].wrapped) == (set(), set())


def test_the_item_of_a_list_of_any_type_has_its_type(graph: Made, found: Found) -> None:
    nodes = {"a": "Paints", "first": ("First", {"items": "@a.pictures"})}
    assert graph(nodes | {"x": ("CoverOf", {"picture": "@first.item"})}).nodes["x"].mapped == set()
    (problem,) = found(nodes | {"x": ("Sum", {"numbers": "@first.item"})})
    assert (problem.node, problem.input, problem.code) == ("x", "numbers", "wrong_link_type")


def test_whole_and_other_numbers_become_numbers(found: Found) -> None:
    nodes = {
        "a": "Whole", "b": "Half", "either": ("Either", {"condition": True, "yes": "@a.number", "no": "@b.number"}),
        "x": ("Paints", {"count": "@either.value"}),
    }  # fmt: skip
    (problem,) = found(nodes)
    assert (problem.node, problem.message) == ("x", "linked to 'either.value', a FLOAT; it takes an INT.")


def test_alternatives_of_two_types_name_both(found: Found) -> None:
    nodes = {
        "a": "Paint", "b": ("CoverOf", {"picture": "@a.picture"}),
        "x": ("Either", {"condition": True, "yes": "@b.cover", "no": "@a.picture"}),
    }  # fmt: skip
    (problem,) = found(nodes)
    assert (problem.input, problem.message, problem.remedy) == (
        "no",
        "linked to 'a.picture', a PICTURE; 'yes' is a COVER, and both must be of one type.",
        "Put a CoverOf node between them.",
    )


def test_a_list_and_one_value_are_no_alternatives(found: Found) -> None:
    nodes = {
        "a": "Paints", "b": "Paint",
        "x": ("Either", {"condition": True, "yes": "@a.pictures", "no": "@b.picture"}),
    }  # fmt: skip
    (problem,) = found(nodes)
    assert (problem.input, problem.message) == (
        "no", "linked to 'b.picture', a PICTURE; 'yes' is a list of PICTURE, and both must be of one type."
    )  # fmt: skip


def test_a_lazy_input_for_one_value_can_not_take_a_list(found: Found) -> None:
    (problem,) = found({"a": "Paints", "x": ("Later", {"picture": "@a.pictures"})})
    assert (problem.message, problem.remedy) == (
        "linked to 'a.pictures', a list of PICTURE; it takes a PICTURE.",
        "Put a SelectItem node between them, or a ForEach around this.",
    )


def test_a_type_variable_takes_nothing_beyond_its_constraints(found: Found) -> None:
    (problem,) = found({"n": "Whole", "x": ("Pair", {"a": "@n.number", "b": "@n.number"})})[:1]
    assert (problem.input, problem.message) == ("a", "linked to 'n.number', an INT; it takes a PICTURE or COVER.")
