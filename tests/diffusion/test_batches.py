from __future__ import annotations

import pytest
import torch

from graphengine.diffusion import batches
from graphengine.errors import InputError


def test_single_items_meet_any_batch_and_others_only_their_own_size() -> None:
    one, three = torch.zeros(1, 2), torch.zeros(3, 2)
    assert batches.common_batch({"a": one, "b": three, "c": one}) == 3
    with pytest.raises(InputError, match="a batch of 2 beside a batch of 3") as caught:
        batches.common_batch({"a": three, "b": torch.zeros(2, 2)})
    assert caught.value.input == "b"


def test_a_batch_repeats_as_a_whole() -> None:
    assert batches.repeated(torch.tensor([[1], [2]]), 2).flatten().tolist() == [1, 2, 1, 2]


@pytest.mark.parametrize(("index", "length", "expected"), [(0, 2, [0, 1]), (2, 1, [2]), (-2, 2, [1, 2])])
def test_items_are_taken_from_either_end(index: int, length: int, expected: list[int]) -> None:
    assert batches.chosen(torch.arange(3), index, length).tolist() == expected


@pytest.mark.parametrize(
    ("index", "length", "name", "remedy"),
    [(3, 1, "batch_index", "0 to 2"), (-4, 1, "batch_index", "0 to 2"), (1, 3, "length", "at most 2")],
)
def test_items_that_are_not_there_are_refused(index: int, length: int, name: str, remedy: str) -> None:
    with pytest.raises(InputError) as caught:
        batches.chosen(torch.arange(3), index, length)
    assert caught.value.input == name
    assert remedy in caught.value.remedy


def test_regrouping_keeps_the_order_and_never_mixes_shapes() -> None:
    row = [torch.tensor([[1.0]]), torch.tensor([[2.0], [3.0]]), torch.tensor([[4.0, 5.0]])]
    assert [group.tolist() for group in batches.regrouped(row, 2)] == [[[1], [2]], [[3]], [[4, 5]]]
