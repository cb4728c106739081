"""Nodes that were saved with earlier versions of their kinds: brought up to date on the way in, and in files."""

from __future__ import annotations

import json
from typing import Any

import pytest

from graphengine import NodePack, node
from graphengine.config import Settings
from graphengine.core.graph import build_graph, check
from graphengine.core.migration import migrate
from graphengine.core.registry import Registry
from graphengine.core.workflow import Workflow, parse_workflow
from graphengine.engine import Engine
from graphengine.errors import InvalidWorkflow
from tests.drawn import document
from tests.packs import arithmetic


@node("Blur", category="test", version=3, aliases=("OldBlur",), outputs="value")
def blur(value: float, radius: float = 1.0, passes: int = 1) -> float:
    """Tell what it would do: version 1 had a size, version 2 half of it as radius, version 3 passes."""
    return value + radius * 10 + passes * 100


@blur.migrate_from(1)
def _halve(inputs: dict[str, Any]) -> dict[str, Any]:
    if "size" in inputs:
        size = inputs.pop("size")
        inputs["radius"] = size / 2 if isinstance(size, int | float) else size
    return inputs


@blur.migrate_from(2)
def _pass_twice(inputs: dict[str, Any]) -> dict[str, Any]:
    return inputs | {"passes": 2}


@node("Broken", category="test", version=2, outputs="value")
def broken(value: float = 0.0) -> float:
    """Have a migration that raises."""
    return value


@broken.migrate_from(1)
def _raise(inputs: dict[str, Any]) -> dict[str, Any]:
    raise KeyError("size")


@pytest.fixture
def registry() -> Registry:
    return Registry([arithmetic.pack, NodePack("blurs", functions=[blur, broken])])


def saved(version: int, nodes: dict[str, Any], **parts: Any) -> Workflow:
    """Draw a workflow whose blurs were saved with a version."""
    doc = document(nodes, **parts)
    for graph in (doc, *doc.get("subgraphs", {}).values()):
        for each in graph["nodes"].values():
            if each["type"] in ("Blur", "OldBlur", "Broken"):
                each["type_version"] = version
    return parse_workflow(json.dumps(doc))


FROM = {
    1: ({"value": 1, "size": 4}, 1 + 20 + 200),
    2: ({"value": 1, "radius": 4}, 1 + 40 + 200),
    3: ({"value": 1, "radius": 4, "passes": 5}, 1 + 40 + 500),
}


@pytest.mark.parametrize("version", FROM)
def test_every_past_version_runs_as_it_did(registry: Registry, settings: Settings, version: int) -> None:
    inputs, expected = FROM[version]
    workflow = saved(version, {"b": ("Blur", inputs)}, outputs={"o": {"from": "b.value"}})
    assert Engine(registry, settings).run(workflow).outputs == {"o": expected}


@pytest.mark.parametrize("version", FROM)
def test_every_past_version_is_written_anew(registry: Registry, version: int) -> None:
    inputs, _ = FROM[version]
    workflow = saved(version, {"b": ("OldBlur", inputs)}, outputs={"o": {"from": "b.value"}})
    migrated, changes = migrate(workflow, registry.definitions, registry.function)
    assert (migrated.nodes["b"].type, migrated.nodes["b"].type_version) == ("Blur", 3)
    assert [change.node for change in changes] == ["b"] * (2 if version < 3 else 1)
    assert migrate(migrated, registry.definitions, registry.function) == (migrated, [])


def test_a_link_moves_with_the_input_that_was_renamed(registry: Registry, settings: Settings) -> None:
    nodes = {"four": ("Number", {"value": 4}), "b": ("Blur", {"value": 1, "size": "@four.number"})}
    workflow = saved(1, nodes, outputs={"o": {"from": "b.value"}})
    assert Engine(registry, settings).run(workflow).outputs == {"o": 1 + 40 + 200}
    migrated, _ = migrate(workflow, registry.definitions, registry.function)
    assert migrated.nodes["b"].inputs["radius"] == {"$link": "four.number"}


def test_a_declared_input_follows_the_input_that_was_renamed(registry: Registry, settings: Settings) -> None:
    nodes = {"four": ("Number", {"value": 4}), "b": ("Blur", {"value": 1, "size": "@four.number"})}
    inputs = {"start": {"type": "FLOAT", "default": 7, "to": ["b.value"]}}
    workflow = saved(1, nodes, inputs=inputs, outputs={"o": {"from": "b.value"}})
    migrated, _ = migrate(workflow, registry.definitions, registry.function)
    assert migrated.inputs["start"].to == ("b.value",)
    plain = saved(1, {"b": ("Blur", {"value": 1, "size": "keep"})}, inputs={"s": {"type": "STRING", "to": ["b.size"]}})
    migrated, _ = migrate(plain, registry.definitions, registry.function)
    assert migrated.inputs["s"].to == ("b.radius",)
    assert Engine(registry, settings).run(workflow).outputs == {"o": 7 + 40 + 200}


def test_nodes_inside_sub_graphs_are_brought_up_to_date(registry: Registry, settings: Settings) -> None:
    inner = document({"b": ("Blur", {"value": 1, "size": 4})})["nodes"]
    workflow = saved(
        1,
        {"up": "subgraph:soft"},
        subgraphs={"soft": {"nodes": inner, "outputs": {"value": {"from": "b.value"}}}},
        outputs={"o": {"from": "up.value"}},
    )
    assert Engine(registry, settings).run(workflow).outputs == {"o": 1 + 20 + 200}
    migrated, changes = migrate(workflow, registry.definitions, registry.function)
    assert [change.node for change in changes] == ["soft/b"]
    assert migrated.subgraphs["soft"].nodes["b"].type_version == 3


def test_a_migration_that_raises_is_a_problem_of_the_node(registry: Registry, settings: Settings) -> None:
    workflow = saved(1, {"x": ("Broken", {"value": 1})}, outputs={"o": {"from": "x.value"}})
    (problem,) = check(workflow, registry.definitions, settings, function_of=registry.function)
    assert (problem.code, problem.node) == ("migration_failed", "x")
    assert problem.message == "bringing it from version 1 to 2 failed: KeyError: 'size'"
    with pytest.raises(InvalidWorkflow, match="bringing it from version 1 to 2 failed"):
        migrate(workflow, registry.definitions, registry.function)


def test_versions_of_the_future_are_all_named(registry: Registry, settings: Settings) -> None:
    nodes = {"a": ("Blur", {"value": 1}), "b": ("Blur", {"value": "@a.value"})}
    workflow = saved(9, nodes, outputs={"o": {"from": "b.value"}})
    with pytest.raises(InvalidWorkflow) as caught:
        migrate(workflow, registry.definitions, registry.function)
    assert [(problem.node, problem.code) for problem in caught.value.problems] == [
        ("a", "newer_version"),
        ("b", "newer_version"),
    ]
    with pytest.raises(InvalidWorkflow, match="saved with version 9"):
        build_graph(workflow, registry.definitions, settings, function_of=registry.function)
