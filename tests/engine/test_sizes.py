from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from graphengine.core.subgraphs import SubgraphValue
from graphengine.core.workflow import Subgraph
from graphengine.engine.sizes import sizes_of
from graphengine.types import Image, Latent, Vae

MEGABYTE = 2**20


def tensor(megabytes: int = 1) -> torch.Tensor:
    return torch.zeros(megabytes * MEGABYTE // 4)


@dataclass(frozen=True)
class Nested:
    inner: object


@pytest.mark.parametrize(
    ("value", "megabytes"),
    [
        (tensor(), 1),
        ((tensor(), tensor()), 2),
        ([tensor()], 1),
        ({"a": tensor(), "b": [tensor()]}, 2),
        (Latent(tensor()), 1),
        (Nested(Nested(tensor(3))), 3),
        (tensor().half(), 0.5),
        (torch.nn.Linear(512, 512, bias=False), 1),
        (Vae(torch.nn.Sequential(torch.nn.Linear(512, 512), torch.nn.BatchNorm1d(512))), 1),
        ("x" * MEGABYTE, 1),
        (bytes(MEGABYTE), 1),
        (np.zeros(MEGABYTE, dtype=np.uint8), 1),
        (None, 0),
        (3.5, 0),
        (Nested, 0),
        (object(), 0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_holds_memory_is_counted(value: object, megabytes: float) -> None:
    assert sizes_of(value).total == pytest.approx(megabytes * MEGABYTE, abs=0.02 * MEGABYTE)


def test_storage_that_is_shared_counts_once() -> None:
    whole = tensor(4)
    assert sizes_of((whole, whole.view(2, -1), whole[:10], whole)).total == pytest.approx(4 * MEGABYTE, rel=0.01)


def test_a_small_view_holds_all_of_its_storage() -> None:
    assert sizes_of(Image(tensor(4)[:1])).total == pytest.approx(4 * MEGABYTE, rel=0.01)


def test_what_several_parts_of_a_result_share_counts_once() -> None:
    text, image = "x" * MEGABYTE, Image(tensor(2))
    parts = [Latent(image), {"image": image, "text": text}, (image[0], text)]
    assert sizes_of(parts).total == pytest.approx(3 * MEGABYTE, rel=0.01)


def test_many_small_values_count_by_their_number() -> None:
    for value in ([0.5] * 10_000, dict.fromkeys(range(10_000)), tuple(range(10_000))):
        assert 10_000 * 32 < sizes_of(value).total < 10_000 * 256


def test_a_subgraph_counts_its_texts() -> None:
    document = Subgraph.model_validate({"nodes": {"a": {"type": "Text", "inputs": {"text": "x" * MEGABYTE}}}})
    assert sizes_of(SubgraphValue("body", document)).total == pytest.approx(MEGABYTE, rel=0.01)


def test_a_value_within_itself_has_an_end() -> None:
    ring: list[Any] = [1]  # Any: it holds itself
    ring.append(ring)
    assert sizes_of(ring).total < 1000


def test_deep_values_have_an_end() -> None:
    deep: object = tensor()
    for _ in range(5000):
        deep = [deep]
    assert sizes_of(deep).total > MEGABYTE


def test_a_tensor_without_plain_storage_counts_something() -> None:
    indices, values = torch.tensor([[0, 1]]), torch.tensor([1.0, 2.0])
    sparse = torch.sparse_coo_tensor(indices, values, (2,), check_invariants=True)
    assert sizes_of(sparse).total > 0
