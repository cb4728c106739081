"""Planning again what was planned before: the result is what planning it all would give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from graphengine.config import Settings
from graphengine.core.graph import build_graph
from graphengine.core.plan import Plan, make_plan
from graphengine.core.planner import Planner
from graphengine.core.registry import Registry
from graphengine.core.workflow import Workflow, parse_workflow
from graphengine.errors import InvalidWorkflow
from tests.drawn import chain, document, drawn
from tests.packs import arithmetic, typed


@pytest.fixture
def registry() -> Registry:
    return Registry([arithmetic.pack, typed.pack])


@pytest.fixture
def planner(registry: Registry) -> Planner:
    return Planner(registry.definitions, registry.function)


def whole(workflow: Workflow, registry: Registry, settings: Settings) -> Plan:
    graph = build_graph(workflow, registry.definitions, settings, function_of=registry.function)
    return make_plan(graph, fingerprint_of=lambda definition: registry.function(definition).fingerprint)


def test_a_change_of_one_literal_changes_the_keys_below_it(
    planner: Planner, registry: Registry, settings: Settings
) -> None:
    """
    n0 ──▶ … n5 (changed) ──▶ … n9
    """
    before = planner.plan(chain(10), settings)
    changed = chain(10).with_settings({"n5.b": 3})
    after = planner.plan(changed, settings)
    assert after == whole(changed, registry, settings)
    assert [a is b for a, b in zip(before.steps, after.steps, strict=True)] == [True] * 5 + [False] * 5
    assert after.readers == before.readers


def test_the_same_workflow_gives_the_same_plan(planner: Planner, settings: Settings) -> None:
    workflow = chain(10)
    assert planner.plan(workflow, settings) is planner.plan(workflow, settings)
    assert planner.plan(parse_workflow(workflow.dump()), settings) is planner.plan(workflow, settings)


@pytest.mark.parametrize("now", [1, 1.0, True], ids=["int", "float", "bool"])
@pytest.mark.parametrize("before", [1, 1.0, True], ids=["int", "float", "bool"])
def test_equal_literals_of_other_types_are_other_literals(
    planner: Planner, registry: Registry, settings: Settings, before: object, now: object
) -> None:
    first, second = (
        drawn({"any": ("Any", {"value": value})}, outputs={"out": {"from": "any.value"}}) for value in (before, now)
    )
    planner.plan(first, settings)
    assert planner.plan(second, settings) == whole(second, registry, settings)


@pytest.mark.parametrize(
    "change",
    [
        {"nodes": {"a": ("Add", {"a": 1}), "b": ("Add", {"a": "@a.sum"}), "c": ("Add", {"a": "@a.sum"})}},
        {"nodes": {"a": ("Add", {"a": 1}), "b": ("Add", {"a": "@a.sum", "b": "@a.sum"})}},
        {"nodes": {"a": ("Number", {"value": 1}), "b": ("Add", {"a": "@a.number"})}},
        {"outputs": {"other": {"from": "b.sum"}}},
        {"inputs": {"x": {"type": "FLOAT", "default": 4, "to": ["a.b"]}}},
    ],
    ids=["a node more", "a link more", "another kind", "another output", "a declared input"],
)
def test_larger_changes_are_planned_anew(
    planner: Planner, registry: Registry, settings: Settings, change: dict[str, object]
) -> None:
    base = {"nodes": {"a": ("Add", {"a": 1}), "b": ("Add", {"a": "@a.sum"})}, "outputs": {"out": {"from": "b.sum"}}}
    planner.plan(drawn(**base), settings)  # type: ignore[arg-type]  # drawn's own parts
    workflow = drawn(**(base | change))  # type: ignore[arg-type]  # as above
    assert planner.plan(workflow, settings) == whole(workflow, registry, settings)


def test_a_declared_input_changes_the_nodes_it_leads_to(
    planner: Planner, registry: Registry, settings: Settings
) -> None:
    workflow = drawn(
        {"a": "Number", "b": ("Add", {"a": "@a.number"})},
        inputs={"x": {"type": "FLOAT", "default": 1, "to": ["a.value"]}},
        outputs={"out": {"from": "b.sum"}},
    )
    before = planner.plan(workflow, settings)
    after = planner.plan(workflow.with_settings({"x": 2}), settings)
    assert after == whole(workflow.with_settings({"x": 2}), registry, settings)
    assert after.steps[1].key != before.steps[1].key


def test_a_changed_literal_that_is_wrong_is_reported_like_any(planner: Planner, settings: Settings) -> None:
    workflow = drawn({"a": ("Divide", {"a": 1, "b": 1})}, outputs={"out": {"from": "a.quotient"}})
    planner.plan(workflow, settings)
    with pytest.raises(InvalidWorkflow, match="0 is too small"):
        planner.plan(workflow.with_settings({"a.b": 0}), settings)


@pytest.mark.parametrize(("changed", "messages"), [("x.value", 1), ("aside.value", 0)], ids=["elsewhere", "there"])
def test_warnings_stay_until_what_they_warn_of_changes(
    planner: Planner, registry: Registry, settings: Settings, changed: str, messages: int
) -> None:
    nodes = {"x": "Number", "aside": ("Number", {"value": "much"})}
    before = drawn(nodes, outputs={"out": {"from": "x.number"}})
    assert [each.node for each in planner.plan(before, settings).warnings] == ["aside"]
    after = before.with_settings({changed: 5})
    assert planner.plan(after, settings) == whole(after, registry, settings)
    assert len(planner.plan(after, settings).warnings) == messages


def test_a_file_that_was_written_again_is_noticed(
    planner: Planner, registry: Registry, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "models" / "texts" / "a.txt"
    file.parent.mkdir(parents=True)
    file.write_text("one")
    workflow = parse_workflow(
        json.dumps(document({"read": ("Read", {"path": "a.txt"})}, outputs={"out": {"from": "read.text"}}))
    )
    before = planner.plan(workflow, settings)
    file.write_text("another")
    after = planner.plan(workflow, settings)
    assert after.steps[0].key != before.steps[0].key
    assert after == whole(workflow, registry, settings)


def test_targets_are_planned_apart(planner: Planner, settings: Settings) -> None:
    workflow = chain(5)
    assert len(planner.plan(workflow, settings, ["n2"]).steps) == 3
    assert len(planner.plan(workflow, settings).steps) == 5
    assert len(planner.plan(workflow, settings, ["n2"]).steps) == 3
