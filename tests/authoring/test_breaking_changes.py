"""What would break saved workflows is told from what would not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, NewType, TypeVar

import pytest

from graphengine import node
from graphengine.authoring.breaking_changes import find_breaking_changes
from graphengine.core.definition import NodeDefinition

Picture = NewType("Picture", object)
Cover = NewType("Cover", object)
T = TypeVar("T")
S = TypeVar("S")
Only = TypeVar("Only", Picture, Cover)
More = TypeVar("More", Picture, Cover, str)


class One(NamedTuple):
    image: Picture


class Two(NamedTuple):
    image: Picture
    cover: Cover


def definition(function: Callable[..., Any], version: int = 1) -> NodeDefinition:
    return node("mypack.Blur", category="test", version=version)(function).definition


def variable_given(image: Only) -> Only: ...  # type: ignore[empty-body]
def more_given(image: More) -> More: ...  # type: ignore[empty-body]
def before(image: Picture, radius: int = 2) -> One: ...  # type: ignore[empty-body]  # only its signature matters
def no_radius(image: Picture) -> One: ...  # type: ignore[empty-body]
def renamed(image: Picture, size: int = 2) -> One: ...  # type: ignore[empty-body]
def retyped(image: Cover, radius: str = "2") -> One: ...  # type: ignore[empty-body]
def required(image: Picture, radius: int) -> One: ...  # type: ignore[empty-body]
def one_more(image: Picture, mask: Cover, radius: int = 2) -> One: ...  # type: ignore[empty-body]
def other_output(image: Picture, radius: int = 2) -> Cover: ...  # type: ignore[empty-body]
def wider(image: Picture | Cover | None = None, radius: float = 3.0, *, mask: Cover | None = None) -> Two: ...  # type: ignore[empty-body]
def anything(image: object, radius: float = 3.0) -> One: ...  # type: ignore[empty-body]
def variable(image: T, other: Only) -> T: ...  # type: ignore[empty-body]
def same_variable(image: S, other: Only) -> S: ...  # type: ignore[empty-body]
def bound_variable(image: Only, other: Only) -> Only: ...  # type: ignore[empty-body]


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        (before, no_radius, "its inputs (radius removed)"),
        (before, renamed, "its inputs (radius removed)"),
        (before, retyped, "its inputs (image is COVER instead of PICTURE, radius is STRING instead of INT)"),
        (before, required, "its inputs (radius is required)"),
        (before, one_more, "its inputs (mask is new and required)"),
        (before, other_output, "its outputs (image removed)"),
        (wider, no_radius, "its inputs (image is PICTURE instead of PICTURE|COVER, radius removed, mask removed) and"),
        (variable, bound_variable, "its inputs (image is $Only instead of $T)"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_what_saved_workflows_would_miss_is_said(old: Any, new: Any, change: str) -> None:
    (message,) = find_breaking_changes([definition(old)], [definition(new)])
    assert message.startswith(f"mypack.Blur changed {change}")
    assert message.endswith(
        " but its version is still 1: saved workflows would break. Raise version and add migrate_from(1)."
    )


@pytest.mark.parametrize("new", [before, wider, anything], ids=lambda each: each.__name__)
def test_what_takes_all_that_was_saved_is_fine(new: Any) -> None:
    assert find_breaking_changes([definition(before)], [definition(new)]) == []


def test_a_type_variable_may_have_another_name() -> None:
    assert find_breaking_changes([definition(variable)], [definition(same_variable)]) == []


def test_a_type_variable_may_stand_for_more_where_an_input_gives_it() -> None:
    assert find_breaking_changes([definition(variable_given)], [definition(more_given)]) == []
    (message,) = find_breaking_changes([definition(more_given)], [definition(variable_given)])
    assert "image is $Only instead of $More" in message


def test_with_a_new_version_all_is_fine() -> None:
    assert find_breaking_changes([definition(before)], [definition(no_radius, version=2)]) == []


def test_new_nodes_break_nothing() -> None:
    assert find_breaking_changes([], [definition(before)]) == []
