"""Async nodes run beside each other and beside the node that works."""

from __future__ import annotations

import threading

import pytest

from graphengine import Context, Lazy, NodePack, node
from graphengine.config import Settings
from graphengine.core.registry import Registry
from graphengine.engine import Engine
from graphengine.engine.context import RunServices
from graphengine.errors import Cancelled, NodeFailed
from tests.drawn import Seen, drawn
from tests.packs import arithmetic, waiting


@pytest.fixture
def engine(settings: Settings) -> Engine:
    return Engine(Registry([arithmetic.pack, waiting.pack]), settings)


def test_async_nodes_start_before_the_node_that_works(engine: Engine) -> None:
    """
    a, b (waiting) ──▶ sum ──▶ out
    work ──────────────▲            all three are under way before the first is done
    """
    seen = Seen()
    workflow = drawn(
        {
            "work": ("Work", {"seconds": 0.02, "value": 1}),
            "a": ("Wait", {"value": 2}),
            "b": ("Wait", {"value": 4}),
            "ab": ("Add", {"a": "@a.value", "b": "@b.value"}),
            "sum": ("Add", {"a": "@work.value", "b": "@ab.sum"}),
        },
        outputs={"out": {"from": "sum.sum"}},
    )
    assert engine.run(workflow, emit=seen.append).outputs == {"out": 7}
    assert sorted(seen.of("node_started")[:3]) == ["a", "b", "work"]
    assert seen.of("node_finished")[0] == "work"


def test_an_async_node_runs_its_items_side_by_side(engine: Engine) -> None:
    together = threading.Barrier(3, timeout=5)

    @node("Meet", category="test", outputs="value")
    async def meet(value: float) -> float:
        """Wait until three calls are under way."""
        import asyncio

        await asyncio.get_running_loop().run_in_executor(None, together.wait)
        return value * 2

    engine = Engine(Registry([waiting.pack, NodePack("meeting", functions=[meet])]), engine.settings)
    workflow = drawn(
        {"several": "Several", "meet": ("Meet", {"value": "@several.numbers"})}, outputs={"out": {"from": "meet.value"}}
    )
    assert engine.run(workflow).outputs == {"out": [0, 2, 4]}


def test_a_failure_ends_the_run_and_what_still_waits(engine: Engine) -> None:
    seen = Seen()
    workflow = drawn(
        {
            "bad": "WaitAndFail",
            "long": ("Wait", {"seconds": 60}),
            "sum": ("Add", {"a": "@bad.value", "b": "@long.value"}),
        },
        outputs={"out": {"from": "sum.sum"}},
    )
    with pytest.raises(NodeFailed) as caught:
        engine.run(workflow, emit=seen.append)
    assert caught.value.node == "bad"
    assert seen.kinds[-2:] == ["node_failed", "job_finished"]
    assert not [thread for thread in threading.enumerate() if thread.name == "async nodes"]


def test_a_run_that_only_waits_can_be_cancelled(engine: Engine) -> None:
    workflow = drawn({"long": ("Wait", {"seconds": 60})}, outputs={"out": {"from": "long.value"}})
    services = RunServices(engine.settings, workflow)
    threading.Timer(0.05, services.cancel.set).start()
    with pytest.raises(Cancelled):
        engine.run(workflow, services=services)


def test_an_async_node_behind_a_lazy_input_is_waited_for(engine: Engine) -> None:
    """
    wait ──(lazy, asked for within the call)──▶ pick ──▶ out
    """
    workflow = drawn(
        {
            "wait": ("Wait", {"value": 3}),
            "other": "Number",
            "pick": ("Pick", {"condition": True, "if_true": "@wait.value", "if_false": "@other.number"}),
        },
        outputs={"out": {"from": "pick.value"}},
    )
    assert engine.run(workflow).outputs == {"out": 3}


def test_an_async_node_gets_the_lazy_inputs_that_it_named(engine: Engine) -> None:
    @node("Later", category="test", outputs="value", wants=lambda which: which)
    async def later(which: str, a: Lazy[float], b: Lazy[float]) -> float:
        """Give one of two values."""
        return a.get() if which == "a" else b.get()

    @node("Greedy", category="test", outputs="value", wants=lambda which: "a")
    async def greedy(which: str, a: Lazy[float], b: Lazy[float]) -> float:
        """Ask for what it had not named."""
        return b.get()

    engine = Engine(Registry([arithmetic.pack, NodePack("later", functions=[later, greedy])]), engine.settings)
    nodes = {"one": ("Number", {"value": 1}), "fail": "Fail"}
    later_of = ("Later", {"which": "a", "a": "@one.number", "b": "@fail.value"})
    assert engine.run(drawn(nodes | {"x": later_of}, outputs={"out": {"from": "x.value"}})).outputs == {"out": 1}
    with pytest.raises(NodeFailed, match="its 'wants' had not named"):
        engine.run(drawn(nodes | {"x": ("Greedy", later_of[1])}, outputs={"out": {"from": "x.value"}}))


def test_progress_of_async_nodes_is_numbered_like_all_events(engine: Engine) -> None:
    @node("Report", category="test", outputs="value")
    async def report(ctx: Context, value: float) -> float:
        """Report progress."""
        import asyncio

        for _ in ctx.progress(range(20)):
            await asyncio.sleep(0)
        return value

    engine = Engine(Registry([NodePack("report", functions=[report])]), engine.settings)
    seen = Seen()
    workflow = drawn(
        {f"r{index}": ("Report", {"value": index}) for index in range(8)},
        outputs={f"o{index}": {"from": f"r{index}.value"} for index in range(8)},
    )
    engine.run(workflow, emit=seen.append)
    assert [event.number for event in seen] == list(range(1, len(seen) + 1))


def test_a_node_that_ends_the_program_fails_instead(engine: Engine) -> None:
    @node("Leave", category="test", outputs="value")
    def leave() -> int:
        """Call exit()."""
        raise SystemExit(3)

    @node("LeaveLater", category="test", outputs="value")
    async def leave_later() -> int:
        """Call exit()."""
        raise SystemExit(3)

    engine = Engine(Registry([NodePack("leaving", functions=[leave, leave_later])]), engine.settings)
    for kind in ("Leave", "LeaveLater"):
        with pytest.raises(NodeFailed, match=r"it tried to end the program \(exit code 3\)"):
            engine.run(drawn({"x": kind}, outputs={"out": {"from": "x.value"}}))
