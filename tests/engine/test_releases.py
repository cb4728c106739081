"""What a run holds in memory: a value goes after its last reader, and nothing stays when the run is over."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from graphengine import Expansion, Fragment, node
from graphengine.errors import NodeFailed
from tests.drawn import Seen, document, drawn
from tests.engine.conftest import MakeEngine


def out(source: str) -> dict[str, object]:
    return {"out": {"from": source}}


# After the last reader


class Big:
    """Stands for a tensor."""

    nbytes = 10**12  # no cache has room for it


@pytest.fixture
def watched() -> list[weakref.ref[Big]]:
    return []


@pytest.fixture
def big_nodes(watched: list[weakref.ref[Big]]) -> list[Any]:  # Any: node functions of every signature
    @node("MakeBig", category="test", cacheable=False)
    def make_big(seed: int = 0) -> Big:
        """Make something big."""
        big = Big()
        watched.append(weakref.ref(big))
        return big

    @node("UseBig", category="test", outputs="value")
    def use_big(big: Big, value: float = 0.0) -> float:
        """Read it."""
        return value

    @node("Living", category="test", outputs="count")
    def living(after: float) -> int:
        """Count what is still in memory."""
        gc.collect()
        return sum(ref() is not None for ref in watched)

    return [make_big, use_big, living]


def test_a_value_goes_after_its_last_reader(engine_with: MakeEngine, big_nodes: list[Any]) -> None:
    """
    big ──▶ use ──▶ living     when 'living' runs, nobody holds 'big' any more
    """
    nodes = {"big": "MakeBig", "use": ("UseBig", {"big": "@big.big"}), "living": ("Living", {"after": "@use.value"})}
    assert engine_with(*big_nodes).run(drawn(nodes), targets=["living"]).targets == {"living": {"count": 0}}


def test_a_value_stays_until_its_last_reader(engine_with: MakeEngine, big_nodes: list[Any]) -> None:
    """
    big ──▶ use ──▶ living ──▶ last
     └────────────────────────▲
    """
    nodes = {
        "big": "MakeBig",
        "use": ("UseBig", {"big": "@big.big"}),
        "living": ("Living", {"after": "@use.value"}),
        "last": ("UseBig", {"big": "@big.big", "value": "@living.count"}),
    }
    assert engine_with(*big_nodes).run(drawn(nodes), targets=["last"]).targets == {"last": {"value": 1}}


def test_a_branch_that_was_not_chosen_holds_nothing(engine_with: MakeEngine, big_nodes: list[Any]) -> None:
    """
    big ──▶ used ────────▶ pick ──▶ living     'unused' will never read 'big'
     └────▶ unused ──(lazy)─▲
    """
    nodes = {
        "big": "MakeBig",
        "used": ("UseBig", {"big": "@big.big"}),
        "unused": ("UseBig", {"big": "@big.big", "value": 1}),
        "pick": ("Pick", {"condition": True, "if_true": "@used.value", "if_false": "@unused.value"}),
        "living": ("Living", {"after": "@pick.value"}),
    }
    assert engine_with(*big_nodes).run(drawn(nodes), targets=["living"]).targets == {"living": {"count": 0}}


def test_a_reader_that_is_cached_holds_nothing(engine_with: MakeEngine) -> None:
    """
    source ──▶ kept ──────▶ living     'kept' comes from the cache and will not read 'source'
      └──────▶ fresh ─────────▲
    """
    alive: list[weakref.ref[Big]] = []

    @node("Source", category="test")
    def source() -> Big:
        """Make something that the cache is too small for."""
        big = Big()
        alive.append(weakref.ref(big))
        return big

    @node("Read", category="test", outputs="value")
    def read(big: Big, value: float = 0.0) -> float:
        """Read it."""
        return value

    @node("Living", category="test", outputs="count")
    def living(a: float, b: float) -> int:
        """Count what is still in memory."""
        gc.collect()
        return sum(ref() is not None for ref in alive)

    engine = engine_with(source, read, living)
    nodes: dict[str, Any] = {"source": "Source", "kept": ("Read", {"big": "@source.big"})}
    engine.run(drawn(nodes), targets=["kept"])
    nodes["fresh"] = ("Read", {"big": "@source.big", "value": 1})
    nodes["living"] = ("Living", {"a": "@kept.value", "b": "@fresh.value"})
    seen = Seen()
    assert engine.run(drawn(nodes), targets=["living"], emit=seen.append).targets == {"living": {"count": 0}}
    assert (seen.of("node_cached"), seen.of("node_finished")) == (["kept"], ["source", "fresh", "living"])


# In lists, expansions and failures


class Memory:
    """Nodes that make big values, and one that counts those alive."""

    def __init__(self) -> None:
        self.made: list[weakref.ref[Big]] = []
        self.counts: list[int] = []

        @node("MakeBig", category="test", cacheable=False)
        def make_big(seed: float = 0) -> Big:
            """Make something big."""
            return self.new()

        @node("MakeBigs", category="test", outputs="bigs", cacheable=False)
        def make_bigs(count: int = 3) -> list[Big]:
            """Make several."""
            return [self.new() for _ in range(count)]

        @node("MakeBigLater", category="test", cacheable=False)
        async def make_big_later(seed: float = 0) -> Big:
            """Make something big while others work."""
            await asyncio.sleep(0)
            return self.new()

        @node("Rework", category="test", cacheable=False)
        def rework(big: Big) -> Big:
            """Make another one of it."""
            self.count()
            return self.new()

        @node("Read", category="test", outputs="value", cacheable=False)
        def read(big: Big, value: float = 0.0) -> float:
            """Read it."""
            return value

        @node("ReadAll", category="test", outputs="value", cacheable=False)
        def read_all(bigs: list[Big]) -> float:
            """Read all."""
            return float(len(bigs))

        @node("Living", category="test", outputs="value", cacheable=False)
        def living(after: object) -> int:
            """Count what is still in memory."""
            return self.count()

        @node("Chain", category="test", cacheable=False)
        def chain(big: Big, times: int = 5) -> Big | Expansion:
            """Rework it so many times, by as many nodes."""
            fragment = Fragment()
            last: object = big
            for number in range(times):
                last = fragment.add(f"rework{number}", "Rework", big=last)["big"]
            return Expansion(fragment, [last])

        self.nodes = (make_big, make_bigs, make_big_later, rework, read, read_all, living, chain)

    def new(self) -> Big:
        big = Big()
        self.made.append(weakref.ref(big))
        return big

    def count(self) -> int:
        gc.collect()
        self.counts.append(sum(ref() is not None for ref in self.made))
        return self.counts[-1]


def test_an_async_nodes_value_goes_after_its_last_reader(engine_with: MakeEngine) -> None:
    memory = Memory()
    nodes = {
        "big": "MakeBigLater",
        "read": ("Read", {"big": "@big.big"}),
        "living": ("Living", {"after": "@read.value"}),
    }
    result = engine_with(*memory.nodes).run(drawn(nodes, outputs=out("living.value")))
    assert result.outputs == {"out": 0}


def test_a_list_goes_after_its_last_reader(engine_with: MakeEngine) -> None:
    """
    bigs ──▶ rework (per item) ──▶ read ──▶ living
    """
    memory = Memory()
    nodes = {
        "bigs": "MakeBigs",
        "rework": ("Rework", {"big": "@bigs.bigs"}),
        "read": ("ReadAll", {"bigs": "@rework.big"}),
        "living": ("Living", {"after": "@read.value"}),
    }
    result = engine_with(*memory.nodes).run(drawn(nodes, outputs=out("living.value")))
    assert result.outputs == {"out": 0}
    assert max(memory.counts) <= 6


def test_a_wrapped_value_goes_after_its_last_reader(engine_with: MakeEngine) -> None:
    memory = Memory()
    nodes = {
        "big": "MakeBig",
        "read": ("ReadAll", {"bigs": "@big.big"}),
        "living": ("Living", {"after": "@read.value"}),
    }
    result = engine_with(*memory.nodes).run(drawn(nodes, outputs=out("living.value")))
    assert result.outputs == {"out": 0}


def test_values_within_an_expansion_go_after_their_last_reader(engine_with: MakeEngine) -> None:
    """
    big ──▶ chain (big → rework0 → … → rework4) ──▶ living ──▶ after
    """
    memory = Memory()
    nodes = {
        "big": "MakeBig",
        "chain": ("Chain", {"big": "@big.big"}),
        "read": ("Read", {"big": "@chain.big"}),
        "living": ("Living", {"after": "@read.value"}),
    }
    result = engine_with(*memory.nodes).run(drawn(nodes, outputs=out("living.value")))
    assert result.outputs == {"out": 0}
    assert max(memory.counts) <= 2  # the input of 'chain', and what the last rework has read


def test_a_while_holds_no_more_than_two_rounds(engine_with: MakeEngine) -> None:
    memory = Memory()
    nodes = document(
        {
            "rework": ("Rework", {}),
            "add": ("Add", {"b": 1}),
            "below": ("Below", {"value": "@add.sum", "limit": 8}),
        }
    )["nodes"]
    body = {
        "nodes": nodes,
        "inputs": {"big": {"type": "own.Big", "to": ["rework.big"]}, "number": {"type": "FLOAT", "to": ["add.a"]}},
        "outputs": {
            "big": {"from": "rework.big"},
            "number": {"from": "add.sum"},
            "continue": {"from": "below.below"},
        },
    }
    drawing = {
        "big": "MakeBig",
        "loop": ("While", {"body": {"$subgraph": "body"}, "big": "@big.big", "number": 0}),
        "read": ("Read", {"big": "@loop.big"}),
        "living": ("Living", {"after": "@read.value"}),
    }
    engine = engine_with(*memory.nodes)
    body["inputs"]["big"]["type"] = engine.registry.definitions.by_id["MakeBig"].outputs[0].type
    result = engine.run(drawn(drawing, subgraphs={"body": body}, outputs=out("living.value")))
    assert result.outputs == {"out": 0}
    assert max(memory.counts) <= 3  # the state before the loop, before this round, and none of the rounds in between


def test_a_run_that_is_over_leaves_nothing(engine_with: MakeEngine) -> None:
    memory = Memory()
    nodes = {"bigs": "MakeBigs", "chain": ("Chain", {"big": "@bigs.bigs"}), "later": "MakeBigLater"}
    outputs = {"chain": {"from": "chain.big"}, "later": {"from": "later.big"}}
    result = engine_with(*memory.nodes).run(drawn(nodes, outputs=outputs))
    assert memory.count() == 4
    del result
    assert memory.count() == 0


def test_a_run_that_failed_leaves_nothing(engine_with: MakeEngine) -> None:
    memory = Memory()

    @node("Break", category="test", outputs="value")
    def break_(big: Big) -> float:
        """Fail."""
        raise RuntimeError("it broke")

    nodes = {"bigs": "MakeBigs", "later": "MakeBigLater", "break": ("Break", {"big": "@later.big"})}
    nodes["all"] = ("ReadAll", {"bigs": "@bigs.bigs"})
    nodes["sum"] = ("Add", {"a": "@all.value", "b": "@break.value"})
    engine = engine_with(*memory.nodes, break_)
    with pytest.raises(NodeFailed):
        engine.run(drawn(nodes, outputs=out("sum.sum")))
    assert memory.count() == 0
