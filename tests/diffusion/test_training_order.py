"""Which examples a step sees, and its random numbers."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from graphengine.diffusion.step_random import BatchOrder, StepRandom, derive_seed, seeded_globally


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
