"""Which examples a step sees, and its random numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import pytest
import torch

from graphengine.diffusion.batch_order import BatchOrder, make_order
from graphengine.diffusion.step_random import StepRandom, derive_seed, seeded_globally
from graphengine.training_types import ExampleField, Examples


def test_an_endless_dataset_gives_its_examples_in_order() -> None:
    order = BatchOrder(None, 4, seed=9)
    assert [list(order.indices(step)) for step in (0, 1, 5)] == [[0, 1, 2, 3], [4, 5, 6, 7], [20, 21, 22, 23]]


@pytest.mark.parametrize(("length", "batch_size"), [(8, 4), (10, 4), (7, 3), (3, 8), (1, 2)])
def test_each_epoch_gives_each_example_once(length: int, batch_size: int) -> None:
    """Nothing is dropped where batches don't divide an epoch: the batch goes on with the next one."""
    order = BatchOrder(length, batch_size, seed=1)
    epochs = 6
    seen = [index for step in range(length * epochs) for index in order.indices(step)][: length * epochs]

    for epoch in range(epochs):
        assert Counter(seen[epoch * length : (epoch + 1) * length]) == Counter(range(length))


def test_epochs_and_seeds_differ() -> None:
    first, again, other = (list(BatchOrder(50, 50, seed).indices(0)) for seed in (1, 1, 2))
    order = BatchOrder(50, 50, seed=1)
    assert first == again
    assert first != other
    assert order.indices(0) != order.indices(1)


def test_a_step_far_into_a_training_needs_none_before_it() -> None:
    order = BatchOrder(10, 4, seed=3)
    walked = [list(order.indices(step)) for step in range(40)][-1]
    assert list(BatchOrder(10, 4, seed=3).indices(39)) == walked


def test_random_numbers_depend_on_seed_and_step_alone() -> None:
    torch.manual_seed(1)
    first = StepRandom(5, 7).normal(3)
    torch.manual_seed(2)
    assert torch.equal(StepRandom(5, 7).normal(3), first)
    assert not torch.equal(StepRandom(5, 8).normal(3), first)
    assert not torch.equal(StepRandom(6, 7).normal(3), first)


def test_the_largest_seed_is_a_seed() -> None:
    assert 0 <= derive_seed(2**64 - 1, "step", 3) < 2**63
    StepRandom(2**64 - 1, 0).uniform(1)


def test_seeding_globally_leaves_no_trace() -> None:
    torch.manual_seed(4)
    expected = torch.rand(2)
    torch.manual_seed(4)
    with seeded_globally(99):
        torch.rand(10)
    assert torch.equal(torch.rand(2), expected)


class Sized:
    """Examples of which only those in one group may share a batch."""

    fields = ()
    digest = "sized"

    def __init__(self, groups: Sequence[Sequence[int]], *, varies: bool = False) -> None:
        self.groups = groups
        self.varies = varies
        self.length: int | None = sum(map(len, groups))

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        return Examples()


GROUPS = [[0, 3, 5], [1], [2, 4, 6, 7, 8, 9, 10]]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_a_batch_never_mixes_groups_and_each_example_comes_once_an_epoch(batch_size: int) -> None:
    order = make_order(Sized(GROUPS), batch_size, seed=1)
    batches = [list(order.indices(step)) for step in range(300)]

    assert all(len(batch) == batch_size for batch in batches)
    assert all(any(set(batch) <= set(group) for group in GROUPS) for batch in batches)
    for group in GROUPS:
        seen = [number for batch in batches if batch[0] in group for number in batch]
        # Batches come shuffled within an epoch, so whole epochs of the group are counted together.
        counts = Counter(seen)
        assert max(counts.values()) - min(counts.values()) <= 1 + batch_size // len(group) + 1


def test_where_batches_divide_the_groups_an_epoch_has_each_example_once_in_random_order() -> None:
    order = make_order(Sized([[0, 1, 2, 3], [4, 5]]), 2, seed=3)
    epochs = [[tuple(order.indices(3 * epoch + step)) for step in range(3)] for epoch in range(8)]

    assert all(sorted(number for batch in epoch for number in batch) == list(range(6)) for epoch in epochs)
    assert len({tuple(batch[0] > 3 for batch in epoch) for epoch in epochs}) > 1  # the small group isn't always last


def test_all_examples_count_alike_in_the_long_run_also_where_a_group_is_smaller_than_a_batch() -> None:
    order = make_order(Sized(GROUPS), 4, seed=0)
    epochs = 4 * 50  # as many as make every group's stream end with a batch
    steps = sum(-(-epochs * len(group) // 4) for group in GROUPS)
    assert Counter(number for step in range(steps) for number in order.indices(step)) == dict.fromkeys(range(11), 200)


def test_a_grouped_step_needs_none_before_it() -> None:
    walked = make_order(Sized(GROUPS), 4, seed=3)
    batches = [list(walked.indices(step)) for step in range(60)]
    assert [list(make_order(Sized(GROUPS), 4, seed=3).indices(step)) for step in (59, 0, 31)] == [
        batches[59],
        batches[0],
        batches[31],
    ]
    assert batches != [list(make_order(Sized(GROUPS), 4, seed=4).indices(step)) for step in range(60)]


@pytest.mark.parametrize("groups", [[list(range(6))], [[0, 1, 2], [3, 4, 5]]], ids=["one size", "two sizes"])
def test_examples_that_vary_have_the_same_new_variation_for_all_of_an_epoch(groups: list[list[int]]) -> None:
    def variations(seed: int) -> list[set[int]]:
        order = make_order(Sized(groups, varies=True), 3, seed)
        numbers = [order.indices(step) for step in range(8)]
        assert sorted(number % 6 for batch in numbers[:2] for number in batch) == list(range(6))
        return [{number // 6 for batch in numbers[2 * epoch : 2 * epoch + 2] for number in batch} for epoch in range(4)]

    assert all(len(each) == 1 for each in variations(1))
    assert len(set.union(*variations(1), *variations(2))) == 8
    assert variations(1) == variations(1)


def test_one_group_has_the_order_of_a_dataset_without_groups() -> None:
    grouped, plain = make_order(Sized([list(range(7))]), 3, seed=5), BatchOrder(7, 3, seed=5)
    assert [grouped.indices(step) for step in range(9)] == [plain.indices(step) for step in range(9)]
