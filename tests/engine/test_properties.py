"""Whatever graph is drawn: the engine gives what a naive interpreter gives, in any order, with and without caches."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from graphengine.authoring.context import Blocked
from graphengine.config import Settings
from graphengine.core.graph import build_graph
from graphengine.core.plan import make_plan
from graphengine.core.registry import Registry
from graphengine.core.workflow import parse_workflow
from graphengine.engine import Engine
from tests.drawn import drawn
from tests.packs import arithmetic, waiting

REGISTRY = Registry([arithmetic.pack, waiting.pack])
Nodes = dict[str, tuple[str, dict[str, Any]]]  # Any: literals and links
quickly = hypothesis_settings(
    max_examples=75, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def graphs(draw: st.DrawFn) -> Nodes:
    """Draw a graph of numbers, lists, choices and blocks; node n5 reads n0 … n4."""
    nodes: Nodes = {}
    outputs: list[str] = []
    lists: list[str] = []
    for index in range(draw(st.integers(1, 14))):
        id_ = f"n{index}"

        def number() -> Any:
            if draw(st.booleans()) and outputs:
                return "@" + draw(st.sampled_from(outputs))
            return draw(st.integers(-3, 3))

        kind = draw(st.sampled_from(["Number", "Add", "Several", "Total", "Odd", "Either", "Pick", "Wait"]))
        if kind in ("Either", "Pick") and len(outputs) < 2:
            kind = "Add"
        if kind == "Number":
            nodes[id_], output = (kind, {"value": draw(st.integers(-3, 3))}), "number"
        elif kind == "Add":
            nodes[id_], output = (kind, {"a": number(), "b": number()}), "sum"
        elif kind == "Several":
            nodes[id_], output = (kind, {"count": draw(st.integers(0, 3)), "start": number()}), "numbers"
            lists.append(f"{id_}.numbers")
        elif kind == "Total":
            source = draw(st.sampled_from([*lists, *outputs])) if outputs else None
            nodes[id_], output = (kind, {"numbers": f"@{source}" if source else [1, 2]}), "sum"
        elif kind == "Odd":
            nodes[id_], output = (kind, {"value": number()}), "value"
        elif kind == "Wait":
            nodes[id_], output = (kind, {"seconds": 0, "value": number()}), "value"
        else:
            names = ("yes", "no") if kind == "Either" else ("if_true", "if_false")
            chosen = {name: "@" + draw(st.sampled_from(outputs)) for name in names}
            nodes[id_], output = (kind, {"condition": draw(st.booleans()), **chosen}), "value"
        outputs.append(f"{id_}.{output}")
    return nodes


def interpret(nodes: Nodes, id_: str) -> tuple[Any, bool]:
    """Compute a node's output by recursion, and whether it is a list; no plan, no cache, no order."""
    kind, inputs = nodes[id_]

    def value(name: str) -> tuple[Any, bool]:
        given = inputs[name]
        return interpret(nodes, given[1:].partition(".")[0]) if isinstance(given, str) else (given, False)

    if kind in ("Either", "Pick"):
        names = ("yes", "no") if kind == "Either" else ("if_true", "if_false")
        return value(names[0] if inputs["condition"] else names[1])
    if kind == "Total":
        given, is_list = value("numbers") if isinstance(inputs["numbers"], str) else (inputs["numbers"], True)
        items = given if is_list and not isinstance(given, Blocked) else [given]
        return next((item for item in items if isinstance(item, Blocked)), None) or sum(items), False
    arguments = {name: value(name) for name in inputs if name not in ("seconds", "count")}
    blocked = next((each for each, _ in arguments.values() if isinstance(each, Blocked)), None)
    mapped = [name for name, (_, is_list) in arguments.items() if is_list]
    if blocked is not None:
        return blocked, bool(mapped) or kind == "Several"
    if not mapped:
        return call(kind, inputs, {name: each for name, (each, _) in arguments.items()}), kind == "Several"
    lengths = [len(arguments[name][0]) for name in mapped]
    results: list[Any] = []
    for index in range(max(lengths) if min(lengths) else 0):
        one = {
            name: each[min(index, len(each) - 1)] if is_list else each for name, (each, is_list) in arguments.items()
        }
        result = next((each for each in one.values() if isinstance(each, Blocked)), None) or call(kind, inputs, one)
        results += result if isinstance(result, list) else [result]
    return results, True


def call(kind: str, inputs: dict[str, Any], arguments: dict[str, Any]) -> Any:
    match kind:
        case "Add":
            return arguments["a"] + arguments["b"]
        case "Several":
            return [arguments["start"] + index for index in range(inputs["count"])]
        case "Odd":
            value = arguments["value"]
            return value if value % 2 else Blocked(f"{value:g} is even")
        case _:
            return arguments["value"]


def types_agree(nodes: Nodes) -> bool:
    """Tell whether each choice is between two lists or two numbers; the engine refuses others before it runs."""
    for kind, inputs in nodes.values():
        if kind in ("Either", "Pick"):
            first, second = (each for name, each in inputs.items() if name != "condition")
            if interpret(nodes, first[1:].partition(".")[0])[1] != interpret(nodes, second[1:].partition(".")[0])[1]:
                return False
    return True


def outputs_of(nodes: Nodes) -> dict[str, Any]:
    names = {"Number": "number", "Add": "sum", "Several": "numbers", "Total": "sum"}
    return {id_: {"from": f"{id_}.{names.get(kind, 'value')}"} for id_, (kind, _) in nodes.items()}


@quickly
@given(graphs(), st.integers(0, 3), st.sampled_from([0, 300, 1 << 20]))
def test_the_engine_gives_what_a_naive_interpreter_gives(
    tmp_path_factory: pytest.TempPathFactory, nodes: Nodes, seed: int, cache_bytes: int
) -> None:
    if not types_agree(nodes):
        return
    expected = {id_: interpret(nodes, id_)[0] for id_ in nodes}
    order = list(nodes)
    random.Random(seed).shuffle(order)
    shuffled = {id_: nodes[id_] for id_ in order}
    folder = tmp_path_factory.getbasetemp()
    engine = Engine(REGISTRY, Settings(data=folder, output=folder, cache_bytes=cache_bytes, check_immutable=True))
    workflow = drawn(shuffled, outputs=outputs_of(shuffled))
    for _ in range(2):
        assert dict(engine.run(workflow).outputs) == expected
    for target in order[:3]:
        only = replace(engine.settings, cache_bytes=0)
        assert Engine(REGISTRY, only).run(workflow, targets=[target]).outputs[target] == expected[target]


@quickly
@given(graphs(), st.integers(0, 3))
def test_keys_depend_on_neither_order_nor_names(nodes: Nodes, seed: int) -> None:
    if not types_agree(nodes):
        return
    order = list(nodes)
    random.Random(seed).shuffle(order)
    renamed = {
        f"other-{id_}": (
            nodes[id_][0],
            {
                name: f"@other-{value[1:]}" if isinstance(value, str) else value
                for name, value in reversed(nodes[id_][1].items())
            },
        )
        for id_ in order
    }
    before, after = keys_of(nodes), keys_of(renamed)
    assert {f"other-{id_}": key for id_, key in before.items()} == after


@quickly
@given(graphs(), st.data())
def test_a_changed_literal_changes_the_keys_of_what_depends_on_it_and_no_others(
    nodes: Nodes, data: st.DataObject
) -> None:
    literals = [
        (id_, name) for id_, (_, inputs) in nodes.items() for name, value in inputs.items() if type(value) is int
    ]
    if not literals or not types_agree(nodes):
        return
    changed, name = data.draw(st.sampled_from(literals))
    kind, inputs = nodes[changed]
    before, after = keys_of(nodes), keys_of(nodes | {changed: (kind, inputs | {name: inputs[name] + 7})})
    below = {changed}
    for id_, (_, each) in nodes.items():  # in order: sources come first
        if any(isinstance(value, str) and value[1:].partition(".")[0] in below for value in each.values()):
            below.add(id_)
    assert {id_ for id_ in nodes if before[id_] != after[id_]} == below


@quickly
@given(graphs())
def test_a_workflow_survives_being_written_and_read(nodes: Nodes) -> None:
    workflow = drawn(nodes, outputs=outputs_of(nodes))
    assert parse_workflow(workflow.dump()) == workflow
    assert parse_workflow(workflow.dump()).dump() == workflow.dump()


def keys_of(nodes: Nodes) -> dict[str, bytes | None]:
    settings = Settings(data=Path(), output=Path())  # nothing is written
    graph = build_graph(drawn(nodes, outputs=outputs_of(nodes)), REGISTRY.definitions, settings)
    return {step.node.id: step.key for step in make_plan(graph).steps}


def test_keys_are_the_same_on_every_machine(tmp_path: Path) -> None:
    """A key that was written down once: a change of this value makes every stored result useless."""
    pinned = Registry([replace(arithmetic.pack, version="1")])
    settings = Settings(data=tmp_path, output=tmp_path)
    workflow = drawn(
        {"one": ("Number", {"value": 1}), "sum": ("Add", {"a": "@one.number", "b": 2})},
        outputs={"o": {"from": "sum.sum"}},
    )
    plan = make_plan(build_graph(workflow, pinned.definitions, settings))
    assert [step.key.hex() for step in plan.steps if step.key] == [
        "55162002087ce40e348fa4ebdc7ce628",
        "76c6fc3d5f78925e3540505e6d7369ed",
    ]
