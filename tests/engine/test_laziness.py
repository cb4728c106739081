"""Lazy inputs: what isn't asked for never runs, what is asked for runs once."""

from __future__ import annotations

import pytest

from graphengine import Lazy, node
from graphengine.engine import Engine
from graphengine.errors import NodeFailed
from tests.drawn import Seen, drawn
from tests.engine.conftest import MakeEngine


def test_the_branch_not_chosen_never_runs(engine: Engine) -> None:
    """
    good ──────────────▶ pick ──▶ out
    bad ──▶ fail ──(lazy)─▲
    """
    nodes = {
        "good": ("Number", {"value": 1}),
        "bad": "Number",
        "fail": ("Fail", {"value": "@bad.number"}),
        "pick": ("Pick", {"condition": True, "if_true": "@good.number", "if_false": "@fail.value"}),
        "out": ("Show", {"value": "@pick.value"}),
    }
    seen = Seen()
    assert engine.run(drawn(nodes), emit=seen.append).targets == {"out": {"value": 1.0}}
    assert set(seen.of("node_started")) == {"pick", "good", "out"}


def test_a_lazy_value_is_computed_once(engine_with: MakeEngine) -> None:
    @node("Twice", category="test", outputs="value")
    def twice(value: Lazy[int]) -> int:
        """Ask twice."""
        return value.get() * 100 + value.get()

    nodes = {"tick": "Tick", "x": ("Twice", {"value": "@tick.value"})}
    assert engine_with(twice).run(drawn(nodes), targets=["x"]).targets == {"x": {"value": 101}}


def test_a_lazy_input_takes_a_literal_and_a_default(engine_with: MakeEngine) -> None:
    @node("Maybe", category="test", outputs="value")
    def maybe(first: Lazy[float], second: Lazy[float] = 5.0) -> float:  # type: ignore[assignment]  # the default's value
        """Add what is asked for."""
        return first.get() + second.get()

    assert engine_with(maybe).run(drawn({"x": ("Maybe", {"first": 1})}), targets=["x"]).targets == {"x": {"value": 6.0}}


def test_a_lazy_ancestor_shared_with_a_plain_input_runs_once(engine: Engine) -> None:
    """
    tick ──▶ sum ──(lazy)──▶ pick ──▶ out
     └─────────────(lazy)────▲
    """
    nodes = {
        "tick": "Tick",
        "sum": ("Add", {"a": "@tick.value", "b": "@tick.value"}),
        "pick": ("Pick", {"condition": True, "if_true": "@sum.sum", "if_false": "@tick.value"}),
        "out": ("Add", {"a": "@pick.value", "b": "@tick.value"}),
    }
    seen = Seen()
    assert engine.run(drawn(nodes), targets=["out"], emit=seen.append).targets == {"out": {"sum": 3}}
    assert seen.of("node_started").count("tick") == 1


def test_a_lazy_branch_that_fails_is_blamed_itself(engine: Engine) -> None:
    """
    fail ──(lazy)──▶ pick ──▶ out     'fail' broke, not 'pick'
    """
    nodes = {
        "n": "Number",
        "fail": ("Fail", {"message": "lazily broken"}),
        "pick": ("Pick", {"condition": False, "if_true": "@n.number", "if_false": "@fail.value"}),
        "out": ("Show", {"value": "@pick.value"}),
    }
    seen = Seen()
    with pytest.raises(NodeFailed) as caught:
        engine.run(drawn(nodes), emit=seen.append)
    assert caught.value.node == "fail"
    assert seen.of("node_failed") == ["fail"]
