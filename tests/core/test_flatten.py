"""Sub-graphs, files as sub-graphs, muted and bypassed nodes: what they come to before anything runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graphengine.config import Settings
from graphengine.core.graph import check
from graphengine.core.registry import Registry
from graphengine.core.workflow import Workflow, parse_workflow
from graphengine.engine import Engine
from graphengine.errors import InvalidWorkflow, Problem
from graphengine_nodes import pack as built_in
from tests.drawn import Document, Seen, document, drawn
from tests.packs import arithmetic, typed, waiting


@pytest.fixture
def engine(settings: Settings, tmp_path: Path) -> Engine:
    registry = Registry([arithmetic.pack, typed.pack, waiting.pack, built_in])
    return Engine(registry, replace(settings, beside=(tmp_path,)))


def graph(nodes: dict[str, Any], inputs: dict[str, Any], outputs: dict[str, str], **parts: Any) -> Document:
    """Draw a sub-graph."""
    drawing = document(nodes)["nodes"]
    return {
        "nodes": drawing,
        "inputs": inputs,
        "outputs": {name: {"from": at} for name, at in outputs.items()},
        **parts,
    }


def problems(engine: Engine, nodes: dict[str, Any], **parts: Any) -> list[Problem]:
    return check(
        drawn(nodes, **parts), engine.registry.definitions, engine.settings, function_of=engine.registry.function
    )


def result(engine: Engine, nodes: dict[str, Any], source: str, **parts: Any) -> Any:
    return engine.run(drawn(nodes, outputs={"out": {"from": source}}, **parts)).outputs["out"]


PLUS = graph(
    {"add": ("Add", {"b": 1})},
    {"x": {"type": "FLOAT", "to": ["add.a"]}, "by": {"type": "FLOAT", "default": 2, "max": 9, "to": ["add.b"]}},
    {"sum": "add.sum"},
)


# Sub-graphs as nodes


def test_a_sub_graph_is_a_node_with_its_declared_sockets(engine: Engine) -> None:
    """
    one ──▶ [ add 2 ] ──▶ [ add 5 ] ──▶ out
    """
    seen = Seen()
    workflow = drawn(
        {
            "one": ("Number", {"value": 1}),
            "up": ("subgraph:plus", {"x": "@one.number"}),
            "more": ("subgraph:plus", {"x": "@up.sum", "by": 5}),
        },
        subgraphs={"plus": PLUS},
        outputs={"out": {"from": "more.sum"}},
    )
    assert engine.run(workflow, emit=seen.append).outputs == {"out": 8}
    assert seen.of("node_finished") == ["one", "up/add", "more/add"]


def test_the_same_sub_graph_on_the_same_inputs_runs_once_more_from_the_cache(engine: Engine) -> None:
    nodes = {"a": ("subgraph:plus", {"x": 1}), "flat": ("Add", {"a": 1, "b": 2})}
    parts = {"subgraphs": {"plus": PLUS}}
    assert result(engine, nodes, "flat.sum", **parts) == 3
    seen = Seen()
    workflow = drawn(nodes, outputs={"out": {"from": "a.sum"}}, **parts)
    engine.run(workflow, emit=seen.append)
    assert seen.of("node_cached") == ["a/add"]


def test_names_are_looked_up_from_the_innermost_graph_outwards(engine: Engine) -> None:
    ten = graph({"n": ("Number", {"value": 10})}, {}, {"number": "n.number"})
    own = graph({"n": ("Number", {"value": 20})}, {}, {"number": "n.number"})
    inner_uses_own = graph({"i": "subgraph:ten"}, {}, {"number": "i.number"}, subgraphs={"ten": own})
    inner_uses_outer = graph({"i": "subgraph:ten"}, {}, {"number": "i.number"})
    subgraphs = {"ten": ten, "own": inner_uses_own, "outer": inner_uses_outer}
    assert result(engine, {"a": "subgraph:own"}, "a.number", subgraphs=subgraphs) == 20
    assert result(engine, {"a": "subgraph:outer"}, "a.number", subgraphs=subgraphs) == 10


def test_a_declared_input_may_lead_to_several_nodes_and_into_sub_graphs(engine: Engine) -> None:
    outer = graph(
        {"first": ("subgraph:plus", {}), "second": ("Add", {"a": "@first.sum"})},
        {"x": {"type": "FLOAT", "to": ["first.x", "second.b"]}},
        {"sum": "second.sum"},
        subgraphs={"plus": PLUS},
    )
    assert result(engine, {"up": ("subgraph:outer", {"x": 3})}, "up.sum", subgraphs={"outer": outer}) == 8


def test_the_workflows_own_inputs_reach_into_sub_graphs(engine: Engine) -> None:
    workflow = drawn(
        {"up": "subgraph:plus"},
        subgraphs={"plus": PLUS},
        inputs={"start": {"type": "FLOAT", "default": 1, "to": ["up.x"]}},
        outputs={"out": {"from": "up.sum"}},
    )
    assert engine.run(workflow).outputs == {"out": 3}
    assert engine.run(workflow.with_settings({"start": 7})).outputs == {"out": 9}
    assert engine.run(workflow.with_settings({"up.by": 5})).outputs == {"out": 6}


def test_seeds_up_to_two_to_the_64_pass_through_declared_inputs(engine: Engine) -> None:
    whole = graph({"w": "Whole"}, {"seed": {"type": "INT", "to": ["w.value"]}}, {"number": "w.number"})
    seed = 2**64 - 1
    assert result(engine, {"s": ("subgraph:whole", {"seed": seed})}, "s.number", subgraphs={"whole": whole}) == seed


def test_a_node_inside_can_be_a_target(engine: Engine) -> None:
    workflow = drawn({"up": ("subgraph:plus", {"x": 1})}, subgraphs={"plus": PLUS}, outputs={"o": {"from": "up.sum"}})
    assert engine.run(workflow, targets=["up/add"]).targets == {"up/add": {"sum": 3}}
    assert engine.run(workflow, targets=["up"]).targets == {"up/add": {"sum": 3}}


def test_500_sub_graphs_in_one_another(engine: Engine) -> None:
    subgraphs = {"s0": PLUS}
    for depth in range(1, 500):
        subgraphs[f"s{depth}"] = graph(
            {"in": f"subgraph:s{depth - 1}"}, {"x": {"type": "FLOAT", "to": ["in.x"]}}, {"sum": "in.sum"}
        )
    assert result(engine, {"a": ("subgraph:s499", {"x": 1})}, "a.sum", subgraphs=subgraphs) == 3


def test_sub_graphs_that_double_at_each_level_are_stopped(engine: Engine) -> None:
    subgraphs = {"s0": PLUS}
    for depth in range(1, 40):
        inner = f"subgraph:s{depth - 1}"
        subgraphs[f"s{depth}"] = graph(
            {"a": (inner, {}), "b": (inner, {"x": "@a.sum"})},
            {"x": {"type": "FLOAT", "to": ["a.x"]}},
            {"sum": "b.sum"},
        )
    (problem,) = problems(
        engine, {"a": ("subgraph:s39", {"x": 1})}, subgraphs=subgraphs, outputs={"o": {"from": "a.sum"}}
    )
    assert problem.code == "too_large"


@pytest.mark.parametrize(
    ("nodes", "code", "node", "message"),
    [
        ({"up": ("subgraph:pluss", {"x": 1})}, "unknown_subgraph", "up", "there is no sub-graph 'pluss'."),
        ({"up": "subgraph:plus"}, "missing_input", "up", "it has no value."),
        ({"up": ("subgraph:plus", {"x": 1, "bye": 2})}, "unknown_input", "up", "it has no such input."),
        ({"up": ("subgraph:plus", {"x": "one"})}, "wrong_type", "up", "'one' is not a number."),
        ({"up": ("subgraph:plus", {"x": 1, "by": 10})}, "value_too_large", "up", "10.0 is too large."),
        (
            {"p": "Paint", "up": ("subgraph:plus", {"x": "@p.picture"})},
            "wrong_link_type",
            "up/add",
            "linked to 'p.picture', a PICTURE; it takes a FLOAT.",
        ),
    ],
    ids=["unknown", "missing", "unknown input", "type", "range", "link"],
)
def test_what_is_wrong_with_a_sub_graphs_inputs_is_said_where_it_is_used(
    engine: Engine, nodes: dict[str, Any], code: str, node: str, message: str
) -> None:
    found = problems(engine, nodes, subgraphs={"plus": PLUS}, outputs={"o": {"from": "up.sum"}})
    assert [(each.code, each.node, each.message) for each in found] == [(code, node, message)]
    assert found[0].remedy


def test_an_output_that_a_sub_graph_lacks_is_a_dangling_link(engine: Engine) -> None:
    nodes = {"up": ("subgraph:plus", {"x": 1}), "add": ("Add", {"a": "@up.total"})}
    (problem,) = problems(engine, nodes, subgraphs={"plus": PLUS}, outputs={"o": {"from": "add.sum"}})
    assert (problem.code, problem.node, problem.input) == ("dangling_link", "add", "a")
    (problem,) = problems(engine, nodes, subgraphs={"plus": PLUS}, outputs={"o": {"from": "up.total"}})[:1]
    assert problem.code == "dangling_link"


def test_a_declared_output_that_comes_from_nowhere_is_the_sub_graphs_mistake(engine: Engine) -> None:
    wrong = graph({"add": ("Add", {"a": 1})}, {}, {"sum": "add.total"})
    nodes = {"up": "subgraph:wrong", "add": ("Add", {"a": "@up.sum"})}
    for source in ("add.sum", "up.sum"):
        (problem,) = problems(engine, nodes, subgraphs={"wrong": wrong}, outputs={"o": {"from": source}})
        assert (problem.code, problem.node) == ("dangling_link", "up")
        assert "'sum' comes from 'add.total'" in problem.message


def test_a_mistake_inside_is_said_once_however_often_the_sub_graph_is_used(engine: Engine) -> None:
    wrong = graph({"d": ("Divide", {"a": 1, "b": 0})}, {}, {"q": "d.quotient"})
    nodes: dict[str, Any] = {f"n{i}": "subgraph:wrong" for i in range(50)}
    outputs = {f"o{i}": {"from": f"n{i}.q"} for i in range(50)}
    found = problems(engine, nodes, subgraphs={"wrong": wrong}, outputs=outputs)
    assert [(each.node, each.message) for each in found] == [("n0/d", "0 is too small.")]


def test_a_sub_graph_that_contains_itself_is_named_with_its_circle(engine: Engine) -> None:
    subgraphs = {
        "a": graph({"b": "subgraph:b"}, {}, {"q": "b.q"}),
        "b": graph({"a": "subgraph:a"}, {}, {"q": "a.q"}),
    }
    found = problems(engine, {"up": "subgraph:a"}, subgraphs=subgraphs, outputs={"o": {"from": "up.q"}})
    assert [each.code for each in found][:1] == ["recursion"]
    assert "subgraph:a → subgraph:b → subgraph:a" in found[0].message


def test_a_loop_whose_body_contains_itself_is_refused(engine: Engine) -> None:
    body = graph(
        {"loop": ("ForEach", {"items": [1.0], "body": {"$subgraph": "body"}})},
        {"item": {"type": "FLOAT", "to": []}},
        {"sum": "loop.sum"},
    )
    found = problems(
        engine,
        {"several": "Several", "loop": ("ForEach", {"items": "@several.numbers", "body": {"$subgraph": "body"}})},
        subgraphs={"body": body},
        outputs={"o": {"from": "loop.sum"}},
    )
    assert ("recursion", False) in {(each.code, each.warning) for each in found}


# Files as sub-graphs


def write(path: Path, nodes: dict[str, Any], **parts: Any) -> None:
    path.write_text(json.dumps(document(nodes, **parts)))


def test_another_workflow_file_is_a_node(engine: Engine, tmp_path: Path) -> None:
    write(
        tmp_path / "plus.json",
        {"add": ("Add", {"b": 4})},
        inputs={"x": {"type": "FLOAT", "to": ["add.a"]}},
        outputs={"sum": {"from": "add.sum"}},
    )
    assert result(engine, {"up": ("file:plus.json", {"x": 1})}, "up.sum") == 5


def test_files_that_contain_each_other_are_refused(engine: Engine, tmp_path: Path) -> None:
    write(tmp_path / "a.json", {"b": "file:b.json"}, outputs={"q": {"from": "b.q"}})
    write(tmp_path / "b.json", {"a": "file:a.json"}, outputs={"q": {"from": "a.q"}})
    found = problems(engine, {"up": "file:a.json"}, outputs={"o": {"from": "up.q"}})
    assert found[0].code == "recursion"
    assert "file:a.json → file:b.json → file:a.json" in found[0].message


@pytest.mark.parametrize("content", [None, "{", '{"format": "graphengine", "version": 1}'], ids=["none", "json", "bad"])
def test_a_file_that_can_not_be_used_is_named(engine: Engine, tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "a.json").write_text(content)
    found = problems(engine, {"up": "file:a.json"}, outputs={"o": {"from": "up.q"}})
    assert found[0].node == "up"
    assert "a.json" in found[0].message


# Modes


def muted(nodes: dict[str, Any], modes: dict[str, str], **parts: Any) -> Workflow:
    doc = document(nodes, **parts)
    for id_, mode in modes.items():
        doc["nodes"][id_]["mode"] = mode
    return parse_workflow(json.dumps(doc))


def test_a_muted_node_is_not_there(engine: Engine) -> None:
    """
    one (muted) ──▶ add.b (optional)
    shown (muted): no target
    """
    workflow = muted(
        {
            "one": ("Number", {"value": 1}),
            "add": ("Add", {"a": 5, "b": "@one.number"}),
            "shown": ("Show", {"value": "@add.sum"}),
            "other": ("Show", {"value": "@add.sum"}),
        },
        {"one": "muted", "shown": "muted"},
    )
    assert engine.run(workflow).targets == {"other": {"value": 5}}


def test_an_input_that_needs_a_muted_node_says_so(engine: Engine) -> None:
    workflow = muted(
        {"one": "Number", "add": ("Add", {"a": "@one.number"})}, {"one": "muted"}, outputs={"o": {"from": "add.sum"}}
    )
    with pytest.raises(InvalidWorkflow, match=r"linked to 'one.number', which is muted"):
        engine.run(workflow)


def test_a_bypassed_node_passes_the_first_input_of_the_same_type(engine: Engine) -> None:
    """
    one ──▶ add (bypassed) ──▶ more      add.a and add.b are numbers; a comes first
    """
    workflow = muted(
        {
            "one": ("Number", {"value": 1}),
            "two": ("Number", {"value": 2}),
            "add": ("Add", {"b": "@two.number", "a": "@one.number"}),
            "again": ("Add", {"a": "@add.sum", "b": 50}),
            "more": ("Add", {"a": "@again.sum", "b": 10}),
        },
        {"add": "bypassed", "again": "bypassed"},
        outputs={"o": {"from": "more.sum"}},
    )
    assert engine.run(workflow).outputs == {"o": 11}


def test_a_bypassed_node_passes_a_literal_too(engine: Engine) -> None:
    workflow = muted(
        {"add": ("Add", {"a": 4, "b": 9}), "more": ("Add", {"a": "@add.sum", "b": 1})},
        {"add": "bypassed"},
        outputs={"o": {"from": "more.sum"}},
    )
    assert engine.run(workflow).outputs == {"o": 5}


def test_a_bypassed_sub_graph_passes_by_its_declared_types(engine: Engine) -> None:
    workflow = muted(
        {
            "one": ("Number", {"value": 1}),
            "up": ("subgraph:plus", {"x": "@one.number"}),
            "m": ("Add", {"a": "@up.sum", "b": 1}),
        },
        {"up": "bypassed"},
        subgraphs={"plus": PLUS},
        outputs={"o": {"from": "m.sum"}},
    )
    assert engine.run(workflow).outputs == {"o": 2}


def test_what_has_nothing_to_pass_is_like_muted(engine: Engine) -> None:
    workflow = muted(
        {"p": "Paint", "frame": ("Frame", {"cover": "@c.cover"}), "c": ("CoverOf", {"picture": "@p.picture"})},
        {"c": "bypassed"},
        outputs={"o": {"from": "frame.framed"}},
    )
    with pytest.raises(InvalidWorkflow, match=r"linked to 'c.cover', which is muted or lets nothing of this type pass"):
        engine.run(workflow)


def test_bypassed_nodes_in_a_circle_are_a_problem(engine: Engine) -> None:
    workflow = muted(
        {"a": ("Add", {"a": "@b.sum"}), "b": ("Add", {"a": "@a.sum"}), "c": ("Add", {"a": "@a.sum"})},
        {"a": "bypassed", "b": "bypassed"},
        outputs={"o": {"from": "c.sum"}},
    )
    with pytest.raises(InvalidWorkflow, match="bypassed nodes feed each other in a circle"):
        engine.run(workflow)


def test_modes_inside_sub_graphs(engine: Engine) -> None:
    inner = graph(
        {"a": ("Add", {"b": 100}), "b": ("Add", {"a": "@a.sum", "b": 1})},
        {"x": {"type": "FLOAT", "to": ["a.a"]}},
        {"sum": "b.sum"},
    )
    inner["nodes"]["a"]["mode"] = "bypassed"
    assert result(engine, {"up": ("subgraph:inner", {"x": 5})}, "up.sum", subgraphs={"inner": inner}) == 6
