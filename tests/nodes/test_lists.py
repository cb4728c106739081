"""Nodes that make lists and take them apart."""

from __future__ import annotations

import pytest
import torch

from graphengine.authoring.testing import run_node
from graphengine.errors import InputError
from graphengine.types import Image
from graphengine_nodes import lists


@pytest.mark.parametrize(
    ("start", "stop", "step", "expected"),
    [(0, 4, 1, [0, 1, 2, 3]), (5, 0, -2, [5, 3, 1]), (3, 3, 1, []), (0, 5, 10, [0])],
)
def test_range_counts(start: int, stop: int, step: int, expected: list[int]) -> None:
    assert run_node(lists.numbers, start=start, stop=stop, step=step) == expected


def test_counting_in_steps_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="steps of 0"):
        run_node(lists.numbers, step=0)


@pytest.mark.parametrize(
    ("text", "separator", "expected"),
    [
        ("a cat\n\n a dog \n", "\\n", ["a cat", "a dog"]),
        ("a, b,,c", ",", ["a", "b", "c"]),
        ("", "\\n", []),
        ("one", "\n", ["one"]),
    ],
)
def test_a_text_is_split_where_it_says(text: str, separator: str, expected: list[str]) -> None:
    assert run_node(lists.text_list, text=text, separator=separator) == expected


def test_a_text_can_not_be_split_at_nothing() -> None:
    with pytest.raises(InputError, match="it is empty"):
        run_node(lists.text_list, text="a", separator="")


@pytest.mark.parametrize(("index", "item"), [(0, "a"), (2, "c"), (-1, "c")])
def test_an_item_is_taken_from_either_end(index: int, item: str) -> None:
    assert run_node(lists.select_item, items=["a", "b", "c"], index=index) == item


@pytest.mark.parametrize(("items", "remedy"), [(["a"], "from 0 to 0"), ([], "The list is empty")])
def test_an_item_that_is_not_there_is_refused(items: list[str], remedy: str) -> None:
    with pytest.raises(InputError, match=remedy):
        run_node(lists.select_item, items=items, index=1)


def test_lists_are_joined_and_counted() -> None:
    joined = run_node(lists.join_lists, first=[1, 2], second=[3])
    assert joined == [1, 2, 3]
    assert run_node(lists.list_length, items=joined) == 3


def test_a_batch_becomes_a_list_and_a_batch_again() -> None:
    batch = Image(torch.rand(3, 4, 5, 3))
    apart = run_node(lists.image_to_list, images=batch)
    assert [each.shape for each in apart] == [(1, 4, 5, 3)] * 3
    assert torch.equal(run_node(lists.list_to_image, images=apart), batch)


def test_pictures_of_several_sizes_make_no_batch() -> None:
    pictures = [Image(torch.zeros(1, 4, 5, 3)), Image(torch.zeros(1, 8, 5, 3))]
    with pytest.raises(InputError, match="different sizes \\(5×4, 5×8\\)"):
        run_node(lists.list_to_image, images=pictures)
    with pytest.raises(InputError, match="the list is empty"):
        run_node(lists.list_to_image, images=[])
