"""Runs that go wrong in the middle, and odd mixtures of lists, lazies and blocked values."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from graphengine import Blocked, Context, Expansion, Fragment, Lazy, NodePack, Subgraph, node
from graphengine.config import Settings
from graphengine.core.events import Event, JobFinished
from graphengine.core.registry import Registry
from graphengine.engine import Engine
from graphengine.engine.context import RunServices
from graphengine.errors import Cancelled, NodeFailed
from tests.drawn import Seen, document, drawn
from tests.engine.conftest import MakeEngine
from tests.packs import waiting

T = TypeVar("T")


def out(source: str) -> dict[str, object]:
    return {"out": {"from": source}}


# Cancelling while async nodes are under way


class Waiter:
    """An async node that waits for ever, and what became of it."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.ended: list[str] = []

        @node("Forever", category="test", outputs="value")
        async def forever(value: float = 0.0) -> float:
            """Wait until somebody stops it."""
            self.begun.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(0)  # cleaning up may wait
                self.ended.append("stopped")
                raise
            return value

        self.node = forever


def test_cancelling_lets_async_nodes_clean_up_before_the_job_ends(engine_with: MakeEngine, settings: Settings) -> None:
    waiter, services, ended_at_the_end = Waiter(), RunServices(settings), []

    def see(event: Event) -> None:
        if isinstance(event, JobFinished):
            ended_at_the_end.append((event.state, list(waiter.ended)))

    def stop() -> None:
        if waiter.begun.wait(5):
            services.cancel.set()

    threading.Thread(target=stop).start()
    with pytest.raises(Cancelled):
        engine_with(waiter.node).run(drawn({"x": "Forever"}, outputs=out("x.value")), services=services, emit=see)
    assert ended_at_the_end == [("cancelled", ["stopped"])]


def test_cancelling_stops_async_nodes_beside_a_node_that_works(engine_with: MakeEngine, settings: Settings) -> None:
    """
    x (waits for ever) ──▶ sum       'stop' cancels the run from within
    stop ──────────────────▲
    """
    waiter, services = Waiter(), RunServices(settings)

    @node("Stop", category="test", outputs="value")
    def stop(ctx: Context) -> float:
        """Stop the run."""
        assert waiter.begun.wait(5)
        services.cancel.set()
        return 1.0

    nodes = {"x": "Forever", "stop": "Stop", "sum": ("Add", {"a": "@x.value", "b": "@stop.value"})}
    with pytest.raises(Cancelled):
        engine_with(waiter.node, stop).run(drawn(nodes, outputs=out("sum.sum")), services=services)
    assert waiter.ended == ["stopped"]


def test_cancelling_lets_each_item_of_an_async_node_clean_up(engine_with: MakeEngine, settings: Settings) -> None:
    waiter, services = Waiter(), RunServices(settings)

    @node("Stop", category="test", outputs="value")
    def stop(ctx: Context) -> float:
        """Stop the run."""
        assert waiter.begun.wait(5)
        services.cancel.set()
        return 1.0

    nodes = {
        "several": ("Several", {"count": 5}),
        "x": ("Forever", {"value": "@several.numbers"}),
        "stop": "Stop",
        "sum": ("Add", {"a": "@x.value", "b": "@stop.value"}),
    }
    with pytest.raises(Cancelled):
        engine_with(waiter.node, stop).run(drawn(nodes, outputs=out("sum.sum")), services=services)
    assert waiter.ended == ["stopped"] * 5


def test_cancelling_takes_effect_in_the_progress_of_an_async_node(engine_with: MakeEngine, settings: Settings) -> None:
    services, reached = RunServices(settings), []

    @node("Steps", category="test", outputs="value")
    async def steps(ctx: Context) -> float:
        """Go on for a while."""
        try:
            for step in ctx.progress(range(100)):
                reached.append(step)
                if step == 2:
                    services.cancel.set()
        except Exception:
            reached.append(-1)
        return 1.0

    with pytest.raises(Cancelled):
        engine_with(steps).run(drawn({"x": "Steps"}, outputs=out("x.value")), services=services)
    assert reached == [0, 1, 2]


def test_an_async_node_that_ends_cancelled_though_nobody_stopped_the_run_has_failed(engine_with: MakeEngine) -> None:
    @node("Gone", category="test", outputs="value")
    async def gone() -> float:
        """Wait for something that was cancelled."""
        waited = asyncio.get_running_loop().create_future()
        waited.cancel()
        await waited
        return 1.0

    seen = Seen()
    with pytest.raises(NodeFailed):
        engine_with(gone).run(drawn({"x": "Gone"}, outputs=out("x.value")), emit=seen.append)
    assert seen.of("node_failed") == ["x"]


def test_the_items_of_an_async_node_clean_up_when_one_of_them_fails(engine_with: MakeEngine) -> None:
    ended: list[float] = []

    @node("Uneven", category="test", outputs="value")
    async def uneven(value: float) -> float:
        """Fail for 0, wait for ever for others."""
        if value == 0:
            await asyncio.sleep(0.01)
            raise RuntimeError("0 is bad")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            ended.append(value)
            raise
        return value

    nodes = {"several": "Several", "x": ("Uneven", {"value": "@several.numbers"})}
    engine = Engine(Registry([NodePack("own", functions=[uneven]), waiting.pack]), engine_with().settings)
    with pytest.raises(NodeFailed, match="0 is bad"):
        engine.run(drawn(nodes, outputs=out("x.value")))
    assert sorted(ended) == [1.0, 2.0]


def test_a_task_that_an_async_node_left_behind_does_not_hold_up_the_end(engine_with: MakeEngine) -> None:
    tasks: list[asyncio.Task[None]] = []

    @node("Litter", category="test", outputs="value")
    async def litter() -> float:
        """Start something and forget it."""
        tasks.append(asyncio.create_task(asyncio.sleep(60)))
        return 1.0

    assert engine_with(litter).run(drawn({"x": "Litter"}, outputs=out("x.value"))).outputs == {"out": 1.0}
    assert tasks[0].cancelled()


# Failing while others are under way


def test_a_failure_stops_the_async_nodes_that_are_under_way(engine_with: MakeEngine) -> None:
    """
    x (waits for ever) ──▶ sum
    fail ──────────────────▲
    """
    waiter = Waiter()

    @node("FailSoon", category="test", outputs="value")
    def fail_soon() -> float:
        """Fail when the other has begun."""
        assert waiter.begun.wait(5)
        raise RuntimeError("it broke")

    seen = Seen()
    nodes = {"x": "Forever", "fail": "FailSoon", "sum": ("Add", {"a": "@x.value", "b": "@fail.value"})}
    with pytest.raises(NodeFailed) as failure:
        engine_with(waiter.node, fail_soon).run(drawn(nodes, outputs=out("sum.sum")), emit=seen.append)
    assert failure.value.node == "fail"
    assert waiter.ended == ["stopped"]
    assert seen.kinds[-2:] == ["node_failed", "job_finished"]
    assert seen.of("node_failed") == ["fail"]


def test_of_two_async_failures_one_is_told(engine_with: MakeEngine) -> None:
    seen = Seen()
    nodes: dict[str, Any] = {f"x{i}": ("WaitAndFail", {"seconds": 0.0}) for i in range(2)}  # Any: drawings
    nodes["sum"] = ("Add", {"a": "@x0.value", "b": "@x1.value"})
    with pytest.raises(NodeFailed):
        engine_with().run(drawn(nodes, outputs=out("sum.sum")), emit=seen.append)
    assert len(seen.of("node_failed")) == 1
    assert seen.kinds[-2:] == ["node_failed", "job_finished"]


def test_a_node_can_not_swallow_the_failure_of_its_lazy_input(engine_with: MakeEngine) -> None:
    @node("Try", category="test", outputs="value")
    def try_(value: Lazy[float]) -> float:
        """Go on whatever happens."""
        try:
            return value.get()
        except Exception:
            return -1.0

    seen = Seen()
    nodes = {"fail": "Fail", "try": ("Try", {"value": "@fail.value"})}
    with pytest.raises(NodeFailed) as failure:
        engine_with(try_).run(drawn(nodes, outputs=out("try.value")), emit=seen.append)
    assert failure.value.node == "fail"
    assert seen.kinds[-2:] == ["node_failed", "job_finished"]


def test_a_lazy_input_that_fails_beside_an_async_node_is_no_internal_error(engine_with: MakeEngine) -> None:
    """
    wait (async) ─▶ sum ─(lazy)─▶ try ──▶ end      'try' swallows what it may
    fail ──────────▲                       ▲
    later (async) ─────────────────────────┘
    """

    @node("Try", category="test", outputs="value")
    def try_(value: Lazy[float]) -> float:
        """Go on whatever happens."""
        try:
            return value.get()
        except Exception:
            return -1.0

    nodes = {
        "wait": ("Wait", {"seconds": 0.02}),
        "fail": "Fail",
        "sum": ("Add", {"a": "@wait.value", "b": "@fail.value"}),
        "try": ("Try", {"value": "@sum.sum"}),
        "later": ("Wait", {"seconds": 0.1, "value": 1.0}),
        "end": ("Add", {"a": "@try.value", "b": "@later.value"}),
    }
    with pytest.raises(NodeFailed) as failure:
        engine_with(try_).run(drawn(nodes, outputs=out("end.sum")))
    assert failure.value.node == "fail"


# Naming lazy inputs


def _wanting(wants: Callable[..., object]) -> Any:  # Any: a node function
    @node("Wanting", category="test", outputs="value", wants=wants)  # type: ignore[arg-type]  # that's what is tested
    def wanting(name: str = "a", *, a: Lazy[float], b: Lazy[float]) -> float:
        """Read one lazy input."""
        return a.get() if name == "a" else b.get()

    return wanting


def _fails(name: str) -> str:
    raise LookupError(f"what is {name}?")


BAD_WANTS: dict[str, tuple[Callable[..., object], str]] = {
    "raises": (_fails, "LookupError: what is a"),
    "nothing": (lambda name: None, "NoneType"),
    "unknown": (lambda name: "c", "'c', which is no lazy input"),
    "plain": (lambda name: ["a", "name"], "'name', which is no lazy input"),
}


@pytest.mark.parametrize(("wants", "message"), BAD_WANTS.values(), ids=BAD_WANTS)
def test_wants_that_go_wrong_fail_the_node_and_compute_nothing(
    engine_with: MakeEngine, wants: Callable[..., object], message: str
) -> None:
    seen = Seen()
    nodes = {"n": "Number", "x": ("Wanting", {"a": "@n.number", "b": "@n.number"})}
    with pytest.raises(NodeFailed, match=message) as failure:
        engine_with(_wanting(wants)).run(drawn(nodes, outputs=out("x.value")), emit=seen.append)
    assert failure.value.node == "x"
    assert seen.of("node_started") == ["x"]
    assert seen.kinds[-2:] == ["node_failed", "job_finished"]


def test_an_item_of_a_loop_whose_wants_fail_is_skipped(engine_with: MakeEngine) -> None:
    body = document({"n": ("Number", {"value": 1}), "w": ("Wanting", {"a": "@n.number", "b": "@n.number"})})["nodes"]
    subgraph = {
        "nodes": body,
        "inputs": {"item": {"type": "FLOAT", "to": ["w.choose"]}},
        "outputs": {"value": {"from": "w.value"}},
    }

    def wants(choose: float) -> str:
        if choose == 1:
            raise LookupError("not 1")
        return "a"

    @node("Wanting", category="test", outputs="value", wants=wants)
    def wanting(choose: float, a: Lazy[float], b: Lazy[float]) -> float:
        """Read a lazy input."""
        return a.get() + choose

    nodes = {
        "several": "Several",
        "each": ("ForEach", {"items": "@several.numbers", "body": {"$subgraph": "body"}, "on_error": "skip"}),
    }
    workflow = drawn(nodes, subgraphs={"body": subgraph}, outputs=out("each.value"))
    assert engine_with(wanting).run(workflow).outputs == {"out": [1.0, 3.0]}


# Lists, lazies and blocked values in one node


@node("NoList", category="test", outputs="numbers")
def no_list(count: int = 0) -> list[float] | Blocked:
    """Give no list at all."""
    return Blocked("no list")


def test_a_list_that_is_blocked_as_a_whole_blocks_a_node_that_runs_per_item(engine_with: MakeEngine) -> None:
    seen = Seen()
    nodes = {
        "no": "NoList",
        "add": ("Add", {"a": "@no.numbers", "b": 1.0}),
        "total": ("Total", {"numbers": "@add.sum"}),
    }
    result = engine_with(no_list).run(drawn(nodes, outputs=out("total.sum")), emit=seen.append)
    assert result.outputs == {"out": Blocked("no list")}
    assert seen.of("node_failed") == []
    assert "total" in seen.of("node_skipped")


def test_a_list_that_is_blocked_blocks_beside_a_list_with_items(engine_with: MakeEngine) -> None:
    nodes = {"no": "NoList", "some": "Several", "add": ("Add", {"a": "@some.numbers", "b": "@no.numbers"})}
    outputs = engine_with(no_list).run(drawn(nodes, outputs=out("add.sum"))).outputs
    assert _blocked_through_and_through(outputs["out"])


def test_a_blocked_input_beside_an_empty_list_gives_an_empty_list(engine_with: MakeEngine) -> None:
    nodes = {
        "none": ("Several", {"count": 0}),
        "even": ("Odd", {"value": 2}),
        "add": ("Add", {"a": "@none.numbers", "b": "@even.value"}),
    }
    outputs = engine_with().run(drawn(nodes, outputs=out("add.sum"))).outputs
    assert outputs["out"] == [] or outputs["out"] == Blocked("2 is even")


@pytest.mark.parametrize("kind", ["Sync", "Async"])
def test_wants_go_per_item_and_blocked_items_ask_for_nothing(engine_with: MakeEngine, kind: str) -> None:
    """
    several ──▶ odd ──▶ choose        0 and 2 are blocked, 1 and 3 name 'a'
    a, b ──(lazy)────────▲            nobody names 'b'
    """

    @node("Sync", category="test", outputs="value", wants=lambda number: "a" if number % 2 else "b")
    def sync(number: float, a: Lazy[float], b: Lazy[float]) -> float:
        """Read one of two."""
        return number + (a.get() if number % 2 else b.get())

    @node("Async", category="test", outputs="value", wants=lambda number: "a" if number % 2 else "b")
    async def async_(number: float, a: Lazy[float], b: Lazy[float]) -> float:
        """Read one of two."""
        return number + (a.get() if number % 2 else b.get())

    seen = Seen()
    nodes = {
        "several": ("Several", {"count": 4}),
        "odd": ("Odd", {"value": "@several.numbers"}),
        "a": ("Number", {"value": 10}),
        "b": ("Number", {"value": 20}),
        "choose": (kind, {"number": "@odd.value", "a": "@a.number", "b": "@b.number"}),
    }
    result = engine_with(sync, async_).run(drawn(nodes, outputs=out("choose.value")), emit=seen.append)
    assert result.outputs == {"out": [Blocked("0 is even"), 11.0, Blocked("2 is even"), 13.0]}
    assert "b" not in seen.of("node_started")


def test_an_async_node_over_an_empty_list_gives_an_empty_list(engine_with: MakeEngine) -> None:
    nodes = {"none": ("Several", {"count": 0}), "wait": ("Wait", {"value": "@none.numbers"})}
    assert engine_with().run(drawn(nodes, outputs=out("wait.value"))).outputs == {"out": []}


def test_a_lazy_list_that_is_blocked_blocks_only_those_that_ask(engine_with: MakeEngine) -> None:
    nodes = {
        "no": "NoList",
        "some": "Several",
        "unasked": ("Either", {"condition": True, "yes": "@some.numbers", "no": "@no.numbers"}),
        "asked": ("Either", {"condition": False, "yes": "@some.numbers", "no": "@no.numbers"}),
    }
    outputs = {"unasked": {"from": "unasked.value"}, "asked": {"from": "asked.value"}}
    result = engine_with(no_list).run(drawn(nodes, outputs=outputs)).outputs
    assert result == {"unasked": [0.0, 1.0, 2.0], "asked": Blocked("no list")}


def test_a_node_can_not_swallow_that_its_lazy_input_is_blocked(engine_with: MakeEngine) -> None:
    @node("Try", category="test", outputs="value")
    def try_(value: Lazy[float]) -> float:
        """Go on whatever happens."""
        try:
            return value.get()
        except Exception:
            return -1.0

    nodes = {"even": ("Odd", {"value": 2}), "try": ("Try", {"value": "@even.value"})}
    outputs = engine_with(try_).run(drawn(nodes, outputs=out("try.value"))).outputs
    assert outputs == {"out": Blocked("2 is even")}


def test_one_lazy_input_read_by_each_call_of_a_node_is_computed_once(engine_with: MakeEngine) -> None:
    @node("Plus", category="test", outputs="value")
    def plus(value: float, more: Lazy[float]) -> float:
        """Add."""
        return value + more.get()

    seen = Seen()
    nodes = {"s": "Several", "t": "Tick", "plus": ("Plus", {"value": "@s.numbers", "more": "@t.value"})}
    result = engine_with(plus).run(drawn(nodes, outputs=out("plus.value")), emit=seen.append)
    assert result.outputs == {"out": [1.0, 2.0, 3.0]}
    assert seen.of("node_started").count("t") == 1


def test_a_mapped_node_may_expand_for_some_items_and_block_for_others(engine_with: MakeEngine) -> None:
    @node("Some", category="test", outputs="value")
    def some(value: float) -> float | Expansion | Blocked:
        """Answer in each way."""
        if value == 0:
            return Blocked("0")
        if value == 1:
            return value
        fragment = Fragment()
        return Expansion(fragment, [fragment.add("add", "Add", a=value, b=10.0)["sum"]])

    nodes = {"s": "Several", "some": ("Some", {"value": "@s.numbers"})}
    outputs = engine_with(some).run(drawn(nodes, outputs=out("some.value"))).outputs
    assert outputs == {"out": [Blocked("0"), 1.0, 12.0]}


def test_an_expansion_behind_a_lazy_input_is_waited_for(engine_with: MakeEngine) -> None:
    """
    repeat (expands) ──(lazy)──▶ pick ──▶ sum
        └───────────────────────────────▲
    """
    nodes = {
        "repeat": ("Repeat", {"value": 1.0, "times": 3}),
        "pick": ("Pick", {"condition": True, "if_true": "@repeat.sum", "if_false": "@never.number"}),
        "never": "Number",
        "sum": ("Add", {"a": "@pick.value", "b": "@repeat.sum"}),
    }
    assert engine_with().run(drawn(nodes, outputs=out("sum.sum"))).outputs == {"out": 8.0}


def _blocked_through_and_through(value: object) -> bool:
    return isinstance(value, Blocked) or (isinstance(value, list) and all(isinstance(item, Blocked) for item in value))


def test_a_sub_graph_given_to_a_node_is_no_list(engine_with: MakeEngine) -> None:
    @node("Run", category="test", outputs="value")
    def run(body: Subgraph, items: list[float]) -> list[float] | Expansion:
        """Run the sub-graph for each item by hand."""
        fragment = Fragment()
        made = [fragment.add(f"n{index}", body, item=item) for index, item in enumerate(items)]
        return Expansion(fragment, [each["sum"] for each in made], then=lambda values: list(values))

    inner = {
        "nodes": document({"add": ("Add", {"b": 1})})["nodes"],
        "inputs": {"item": {"type": "FLOAT", "to": ["add.a"]}},
        "outputs": {"sum": {"from": "add.sum"}},
    }
    nodes = {"s": "Several", "run": ("Run", {"body": {"$subgraph": "inner"}, "items": "@s.numbers"})}
    outputs = engine_with(run).run(drawn(nodes, subgraphs={"inner": inner}, outputs=out("run.value"))).outputs
    assert outputs == {"out": [1.0, 2.0, 3.0]}
