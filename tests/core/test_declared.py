"""The workflow as a function: what its declared inputs and outputs, and its targets, may be."""

from __future__ import annotations

from typing import Any

import pytest

from graphengine.config import Settings
from graphengine.core.graph import build_graph, check
from graphengine.core.registry import Registry
from graphengine.errors import Problem
from tests.core.conftest import SHOWN, Found
from tests.drawn import Document, drawn


def declared(registry: Registry, settings: Settings, **parts: Any) -> list[Problem]:  # Any: JSON
    nodes = {"n": "Number", "x": ("Add", {"a": "@n.number", "b": 1}), "out": ("Show", {"value": "@x.sum"})}
    return check(drawn(nodes, **parts), registry.definitions, settings)


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        ({"type": "FLOAT", "to": ["nobody.a"]}, "dangling_link", "it leads to 'nobody.a', which doesn't exist."),
        ({"type": "FLOAT", "to": ["x.c"]}, "dangling_link", "it leads to 'x.c', which doesn't exist."),
        ({"type": "FLOAT", "to": ["x.a"]}, "linked_twice", "it leads to 'x.a', which is linked already."),
        ({"type": "FLOAT", "default": 5, "max": 4}, "value_too_large", "5.0 is too large."),
        ({"type": "INT", "default": "x"}, "wrong_type", "'x' is not a whole number."),
        ({"type": "STRING", "default": "x", "to": ["x.b"]}, "wrong_type", "'x' is not a number."),
    ],
)
def test_a_declared_input_is_checked(
    registry: Registry, settings: Settings, spec: Document, code: str, message: str
) -> None:
    (problem,) = declared(registry, settings, inputs={"setting": spec})
    assert (problem.code, problem.message) == (code, message)


def test_two_declared_inputs_may_not_lead_to_one_place(registry: Registry, settings: Settings) -> None:
    both = {name: {"type": "FLOAT", "default": 1, "to": ["x.b"]} for name in ("first", "second")}
    (problem,) = declared(registry, settings, inputs=both)
    assert str(problem) == "input 'second': it leads to 'x.b', and so does 'first'.\n  Take one of them out."


def test_a_declared_input_gives_its_default_to_every_node_it_leads_to(registry: Registry, settings: Settings) -> None:
    spec = {"type": "FLOAT", "default": 5, "to": ["x.b", "n.value"]}
    nodes = {"n": "Number", "x": ("Add", {"a": "@n.number", "b": 1}), "out": ("Show", {"value": "@x.sum"})}
    graph = build_graph(drawn(nodes, inputs={"s": spec}), registry.definitions, settings)
    assert (graph.nodes["x"].literals["b"], graph.nodes["n"].literals["value"]) == (5.0, 5.0)


def test_a_declared_input_without_a_default_leaves_the_nodes_own_value(registry: Registry, settings: Settings) -> None:
    nodes = {"x": ("Number", {"value": 3}), **SHOWN}
    graph = build_graph(
        drawn(nodes, inputs={"s": {"type": "FLOAT", "to": ["x.value"]}}), registry.definitions, settings
    )
    assert graph.nodes["x"].literals["value"] == 3.0


@pytest.mark.parametrize("source", ["nobody.sum", "x.total"])
def test_a_declared_output_from_nowhere_is_refused(registry: Registry, settings: Settings, source: str) -> None:
    (problem,) = declared(registry, settings, outputs={"result": {"from": source}})
    assert problem.message == f"the declared output 'result' comes from {source!r}, which doesn't exist."


def test_a_workflow_that_shows_nothing_is_refused(found: Found) -> None:
    assert [each.code for each in found({"x": "Number"})] == ["no_outputs"]
    assert [each.code for each in found({})] == ["no_outputs"]


def test_default_targets_are_output_nodes_and_declared_ones(registry: Registry, settings: Settings) -> None:
    workflow = drawn({"y": "Number", "x": "Number", **SHOWN}, outputs={"a": {"from": "x.number"}})
    assert build_graph(workflow, registry.definitions, settings).default_targets() == ["out", "x"]


def test_an_unknown_target_is_met_with_the_nearest_node(found: Found) -> None:
    (problem,) = found({"x": "Number", **SHOWN}, targets=["outt"])
    assert (problem.message, problem.remedy) == ("there is no node 'outt' to run.", "Did you mean 'out'?")
