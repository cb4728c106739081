"""Cancelling a run: where it takes effect, and what is left."""

from __future__ import annotations

import threading

import pytest

from graphengine import Context, node
from graphengine.config import Settings
from graphengine.core.events import Event, JobFinished
from graphengine.engine import Engine
from graphengine.engine.context import RunServices
from graphengine.errors import Cancelled
from tests.drawn import Seen, drawn
from tests.engine.conftest import MakeEngine


def test_a_run_is_cancelled_between_steps(engine: Engine, settings: Settings) -> None:
    """
    one ──▶ sum ──▶ out     stopped when 'one' has finished
    """
    workflow = drawn({"one": "Number", "sum": ("Add", {"a": "@one.number"}), "out": ("Show", {"value": "@sum.sum"})})
    services, seen = RunServices(settings, workflow), Seen()

    def see(event: Event) -> None:
        seen.append(event)
        if seen.of("node_finished"):
            services.cancel.set()

    with pytest.raises(Cancelled):
        engine.run(workflow, services=services, emit=see)
    assert seen.of("node_started") == ["one"]
    assert isinstance(seen[-1], JobFinished)
    assert seen[-1].state == "cancelled"


def test_progress_cancels_and_a_nodes_except_does_not_swallow_it(engine_with: MakeEngine, settings: Settings) -> None:
    cancel = threading.Event()
    reached: list[str] = []

    @node("Stubborn", category="test", outputs="value")
    def stubborn(ctx: Context) -> int:
        """Catch everything it may."""
        try:
            for step in ctx.progress(range(10)):
                if step == 3:
                    cancel.set()
                reached.append(f"step {step}")
        except Exception:
            reached.append("swallowed")
        return 1

    engine, services = engine_with(stubborn), RunServices(settings, cancel=cancel)
    with pytest.raises(Cancelled):
        engine.run(drawn({"x": "Stubborn"}), targets=["x"], services=services)
    assert reached == ["step 0", "step 1", "step 2", "step 3"]


def test_a_node_may_look_whether_it_is_cancelled(engine_with: MakeEngine, settings: Settings) -> None:
    cancel = threading.Event()
    saved: list[bool] = []

    @node("Saver", category="test", outputs="value")
    def saver(ctx: Context) -> int:
        """Save, then stop."""
        assert not ctx.is_cancelled
        cancel.set()
        saved.append(ctx.is_cancelled)
        ctx.check_cancelled()
        return 1

    with pytest.raises(Cancelled):
        engine_with(saver).run(drawn({"x": "Saver"}), targets=["x"], services=RunServices(settings, cancel=cancel))
    assert saved == [True]


def test_a_cancelled_engine_runs_again(engine: Engine, settings: Settings) -> None:
    services = RunServices(settings)
    services.cancel.set()
    workflow = drawn({"n": "Number"}, outputs={"out": {"from": "n.number"}})
    with pytest.raises(Cancelled):
        engine.run(workflow, services=services)
    assert engine.run(workflow).outputs == {"out": 0.0}
