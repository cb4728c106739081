"""Nodes that make nodes: expansions, ForEach, While; and lazies by the hundred."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from graphengine import Context, Expansion, Fragment, Lazy, NodePack, node
from graphengine.authoring.context import Blocked
from graphengine.authoring.expansion import Reference
from graphengine.config import Settings
from graphengine.core.registry import Registry
from graphengine.core.workflow import parse_workflow
from graphengine.engine import Engine
from graphengine.errors import InvalidWorkflow, NodeFailed
from graphengine.types import Image
from graphengine_nodes import pack as built_in
from tests.drawn import Document, Seen, document, drawn
from tests.packs import arithmetic, waiting


@pytest.fixture
def engine(settings: Settings) -> Engine:
    return Engine(Registry([arithmetic.pack, waiting.pack, built_in]), settings)


def graph(nodes: dict[str, Any], inputs: dict[str, Any], outputs: dict[str, str]) -> Document:
    """Draw a sub-graph."""
    parts = document(nodes)
    return {"nodes": parts["nodes"], "inputs": inputs, "outputs": {name: {"from": at} for name, at in outputs.items()}}


PLUS_INDEX = graph(
    {"add": ("Add", {"b": 0})},
    {"item": {"type": "FLOAT", "to": ["add.a"]}, "index": {"type": "INT", "to": ["add.b"]}},
    {"sum": "add.sum"},
)


# Expansions


def test_a_node_is_replaced_by_the_nodes_it_makes(engine: Engine) -> None:
    seen = Seen()
    workflow = drawn({"r": ("Repeat", {"value": 1, "times": 3})}, outputs={"out": {"from": "r.sum"}})
    assert engine.run(workflow, emit=seen.append).outputs == {"out": 4}
    assert seen.of("node_finished") == ["r/add0", "r/add1", "r/add2", "r"]


def test_an_expansion_of_5000_nodes_runs(engine: Engine) -> None:
    workflow = drawn({"r": ("Repeat", {"value": 1, "times": 5000})}, outputs={"out": {"from": "r.sum"}})
    assert engine.run(workflow).outputs == {"out": 5001}


def test_expansions_within_expansions(engine: Engine) -> None:
    workflow = drawn(
        {"r": ("Repeat", {"value": 1, "times": 2}), "s": ("Repeat", {"value": "@r.sum", "times": 2})},
        outputs={"out": {"from": "s.sum"}},
    )
    assert engine.run(workflow).outputs == {"out": 5}


def test_a_mapped_node_expands_per_item(engine: Engine) -> None:
    seen = Seen()
    workflow = drawn(
        {"several": "Several", "r": ("Repeat", {"value": "@several.numbers", "times": 2})},
        outputs={"out": {"from": "r.sum"}},
    )
    assert engine.run(workflow, emit=seen.append).outputs == {"out": [2, 3, 4]}
    assert "r/2/add1" in seen.of("node_finished")


def test_the_nodes_of_an_expansion_are_cached_like_others(engine: Engine) -> None:
    """Longer by one: the nodes that were there before are taken from the cache."""
    for times, started in ((3, ["r", "r/add0", "r/add1", "r/add2"]), (4, ["r", "r/add3"])):
        seen = Seen()
        engine.run(
            drawn({"r": ("Repeat", {"times": times, "value": 1})}, outputs={"o": {"from": "r.sum"}}), emit=seen.append
        )
        assert seen.of("node_started") == started


@pytest.mark.parametrize(
    ("kind", "message"),
    [("Addd", "there is no node 'Addd'"), ("Repeat", "node 'add0' \\(Repeat\\), input 'a': it has no such input")],
    ids=["unknown", "unfit"],
)
def test_a_fragment_that_is_wrong_is_blamed_on_its_maker(engine: Engine, kind: str, message: str) -> None:
    seen = Seen()
    workflow = drawn({"r": ("Repeat", {"value": 1, "kind": kind})}, outputs={"out": {"from": "r.sum"}})
    with pytest.raises(NodeFailed, match=message) as caught:
        engine.run(workflow, emit=seen.append)
    assert (caught.value.node, seen.of("node_failed")) == ("r", ["r"])


def test_a_fragment_with_a_cycle_is_blamed_on_its_maker(engine: Engine) -> None:
    @node("Circle", category="test", outputs="value")
    def circle() -> float | Expansion:
        """Make a circle."""
        fragment = Fragment()
        a = fragment.add("a", "Add", a=Reference("b", "sum"))
        fragment.add("b", "Add", a=a["sum"])
        return Expansion(fragment, [a["sum"]])

    engine = Engine(Registry([arithmetic.pack, NodePack("circle", functions=[circle])]), engine.settings)
    with pytest.raises(NodeFailed, match="feed each other in a circle: a → b → a") as caught:
        engine.run(drawn({"x": "Circle"}, outputs={"out": {"from": "x.value"}}))
    assert caught.value.node == "x"


def test_an_expansion_that_the_return_type_hides_is_refused(engine: Engine) -> None:
    @node("Secret", category="test", outputs="value")
    def secret() -> float:
        """Expand without saying so."""
        return Expansion(Fragment(), [1.0])  # type: ignore[return-value]  # the mistake

    engine = Engine(Registry([NodePack("secret", functions=[secret])]), engine.settings)
    with pytest.raises(NodeFailed, match="Say so in its return type"):
        engine.run(drawn({"x": "Secret"}, outputs={"out": {"from": "x.value"}}))


def test_a_fragment_refuses_two_nodes_of_one_name(engine: Engine) -> None:
    fragment = Fragment()
    fragment.add("a", "Add", a=1)
    with pytest.raises(Exception, match="'a' can't name a node of the fragment"):
        fragment.add("a", "Add", a=2)


def test_a_node_after_an_expansion_runs_again_when_what_it_expands_to_changed(settings: Settings) -> None:
    """
    r (expands to Part) ──▶ add       Part's code changes, r's own key doesn't
    """

    def pack_of(factor: float) -> NodePack:
        @node("Part", category="test", outputs="sum")
        def part(a: float, b: float = 0.0) -> float:
            """Do a part of the work."""
            return (a + b) * factor

        return NodePack("part", functions=[part], version=str(factor))

    workflow = drawn(
        {"r": ("Repeat", {"value": 1, "times": 1, "kind": "Part"}), "add": ("Add", {"a": "@r.sum", "b": 1})},
        outputs={"out": {"from": "add.sum"}},
    )
    engine = Engine(Registry([arithmetic.pack, waiting.pack, pack_of(1)]), settings)
    assert engine.run(workflow).outputs == {"out": 3}
    engine.use(Registry([arithmetic.pack, waiting.pack, pack_of(10)]))
    assert engine.run(workflow).outputs == {"out": 21}


# ForEach


def for_each(items: object, body: Document, **parts: Any) -> Any:
    nodes = {"several": "Several", "loop": ("ForEach", {"items": items, "body": {"$subgraph": "body"}, **parts})}
    return drawn(nodes, subgraphs={"body": body}, outputs={"out": {"from": "loop.sum"}})


def test_for_each_collects_the_outputs_of_its_body(engine: Engine) -> None:
    seen = Seen()
    assert engine.run(for_each("@several.numbers", PLUS_INDEX), emit=seen.append).outputs == {"out": [0, 2, 4]}
    assert "loop/1/add" in seen.of("node_finished")


def test_for_each_takes_a_literal_list(engine: Engine) -> None:
    assert engine.run(for_each([5, 1.5], PLUS_INDEX)).outputs == {"out": [5, 2.5]}
    with pytest.raises(InvalidWorkflow, match=r"item 0: .* can't stand in a list"):
        engine.run(for_each([{"$link": "several.numbers"}], PLUS_INDEX))
    with pytest.raises(InvalidWorkflow, match="it takes a link to a list, not the value 5"):
        engine.run(for_each(5, PLUS_INDEX))


def test_for_each_over_nothing_gives_empty_lists(engine: Engine) -> None:
    workflow = for_each("@several.numbers", PLUS_INDEX)
    assert engine.run(workflow.with_settings({"several.count": 0})).outputs == {"out": []}


def test_the_bodys_other_inputs_are_inputs_of_the_loop(engine: Engine) -> None:
    body = graph(
        {"add": "Add"},
        {"item": {"type": "FLOAT", "to": ["add.a"]}, "offset": {"type": "FLOAT", "to": ["add.b"]}},
        {"sum": "add.sum"},
    )
    assert engine.run(for_each("@several.numbers", body, offset=100)).outputs == {"out": [100, 101, 102]}
    with pytest.raises(InvalidWorkflow, match=r"node 'loop' \(ForEach\), input 'offset': it has no value"):
        engine.run(for_each("@several.numbers", body))


def test_for_each_stops_at_the_first_failure(engine: Engine) -> None:
    body = graph({"fail": "Fail"}, {"item": {"type": "FLOAT", "to": ["fail.value"]}}, {"sum": "fail.value"})
    with pytest.raises(NodeFailed) as caught:
        engine.run(for_each("@several.numbers", body))
    assert caught.value.node == "loop/0/fail"


def test_for_each_can_skip_items_that_fail_and_says_so(engine: Engine) -> None:
    """Item 1 is no length for a text that has to be even long."""

    @node("FailAt1", category="test", outputs="value")
    def fail_at_1(value: float) -> float:
        """Fail at 1."""
        if value == 1:
            raise ValueError("one is none")
        return value

    packs = [arithmetic.pack, waiting.pack, built_in, NodePack("failing", functions=[fail_at_1])]
    engine = Engine(Registry(packs), engine.settings)
    body = graph(
        {"f": "FailAt1", "add": ("Add", {"a": "@f.value", "b": 10})},
        {"item": {"type": "FLOAT", "to": ["f.value"]}},
        {"sum": "add.sum"},
    )
    workflow = for_each("@several.numbers", body, on_error="skip")
    for _ in range(2):  # the failure isn't kept for the second run
        seen = Seen()
        assert engine.run(workflow, emit=seen.append).outputs == {"out": [10, 12]}
        assert seen.of("node_failed") == ["loop/1/f"]
        assert [each.message for each in seen if each.type == "node_warning"] == [  # type: ignore[attr-defined]
            "1 of 3 items gave nothing and are left out."
        ]


def test_for_each_runs_the_async_nodes_of_all_items_at_once(engine: Engine) -> None:
    seen = Seen()
    body = graph({"wait": "Wait"}, {"item": {"type": "FLOAT", "to": ["wait.value"]}}, {"sum": "wait.value"})
    engine.run(for_each("@several.numbers", body), emit=seen.append)
    kinds = [(each.type, each.node) for each in seen if getattr(each, "node", "").endswith("wait")]  # type: ignore[attr-defined]
    assert [kind for kind, _ in kinds] == ["node_started"] * 3 + ["node_finished"] * 3


def test_a_longer_list_runs_only_the_new_items(engine: Engine) -> None:
    workflow = drawn(
        {"loop": ("ForEach", {"items": {"$link": "range.numbers"}, "body": {"$subgraph": "body"}}), "range": "Range"},
        subgraphs={"body": PLUS_INDEX},
        outputs={"out": {"from": "loop.sum"}},
    )
    engine.run(workflow.with_settings({"range.stop": 3}))
    seen = Seen()
    engine.run(workflow.with_settings({"range.stop": 4}), emit=seen.append)
    assert [each for each in seen.of("node_started") if each.startswith("loop/")] == ["loop/3/add"]


def test_loops_within_loops(engine: Engine) -> None:
    inner: Document = PLUS_INDEX
    outer = graph(
        {
            "range": ("Range", {}),
            "loop": ("ForEach", {"items": "@range.numbers", "body": {"$subgraph": "inner"}}),
            "total": ("Total", {"numbers": "@loop.sum"}),
        },
        {"item": {"type": "INT", "to": ["range.stop"]}},
        {"sum": "total.sum"},
    )
    workflow = for_each("@several.numbers", outer | {"subgraphs": {"inner": inner}})
    assert engine.run(workflow.with_settings({"several.start": 1})).outputs == {"out": [0, 2, 6]}


# While


def document_of_body(limit: float) -> Document:
    return graph(
        {"add": ("Add", {"b": 1}), "below": ("Below", {"value": "@add.sum", "limit": limit})},
        {"number": {"type": "FLOAT", "to": ["add.a"]}},
        {"number": "add.sum", "continue": "below.below"},
    )


def while_(limit: float, **parts: Any) -> Any:
    return drawn(
        {"loop": ("While", {"body": {"$subgraph": "body"}, **parts})},
        subgraphs={"body": document_of_body(limit)},
        outputs={"out": {"from": "loop.number"}},
    )


def test_while_carries_its_state_from_round_to_round(engine: Engine) -> None:
    assert engine.run(while_(5, number=0)).outputs == {"out": 5}


def test_the_first_round_of_a_while_always_runs(engine: Engine) -> None:
    assert engine.run(while_(5, number=7)).outputs == {"out": 8}


@pytest.mark.slow
def test_a_while_of_10000_rounds(engine: Engine) -> None:
    assert engine.run(while_(10_000, number=0)).outputs == {"out": 10_000}


def test_a_while_that_does_not_end_is_an_error(engine: Engine) -> None:
    with pytest.raises(NodeFailed, match="after 10 rounds 'continue' is still on"):
        engine.run(while_(1000, number=0, max_rounds=10))


def test_while_needs_a_body_that_says_whether_to_continue(engine: Engine) -> None:
    workflow = for_each("@several.numbers", PLUS_INDEX)
    document = drawn(
        {"loop": ("While", {"body": {"$subgraph": "body"}, "item": 1, "index": 1})},
        subgraphs={"body": PLUS_INDEX},
        outputs={"out": {"from": "loop.sum"}},
    )
    assert workflow.subgraphs == document.subgraphs
    with pytest.raises(InvalidWorkflow, match="the sub-graph 'body' has no output 'continue', which a While reads"):
        engine.run(document)


def test_accumulate_collects_what_a_while_makes(engine: Engine) -> None:
    body = graph(
        {
            "add": ("Add", {"b": 1}),
            "keep": ("Accumulate", {"value": "@add.sum"}),
            "below": ("Below", {"value": "@add.sum"}),
        },
        {"number": {"type": "FLOAT", "to": ["add.a"]}, "kept": {"type": "[FLOAT]", "to": ["keep.items"]}},
        {"number": "add.sum", "kept": "keep.items", "continue": "below.below"},
    )
    workflow = drawn(
        {
            "none": ("Several", {"count": 0}),
            "loop": ("While", {"body": {"$subgraph": "b"}, "number": 0, "kept": "@none.numbers"}),
        },
        subgraphs={"b": body},
        outputs={"out": {"from": "loop.kept"}},
    )
    assert engine.run(workflow).outputs == {"out": [1, 2, 3]}


def test_a_while_runs_again_from_the_round_that_changed(engine: Engine) -> None:
    """Rounds are cached by their state: a larger limit is in the body, but the additions are the same."""
    engine.run(while_(50, number=0))
    seen = Seen()
    assert engine.run(while_(52, number=0), emit=seen.append).outputs == {"out": 52}
    added = [each for each in seen.of("node_started") if each.endswith("/add")]
    assert added == ["loop/50/add", "loop/51/add"]


# Lazies


def test_500_nested_lazies_that_are_named(engine: Engine) -> None:
    """
    n0 ──(lazy)──▶ n1 ──(lazy)──▶ … n499
    """
    nodes: dict[str, Any] = {"fail": "Fail", "n0": ("Number", {"value": 3})}
    nodes |= {
        f"n{i}": (
            "Either",
            {"condition": True, "yes": f"@n{i - 1}.{'value' if i > 1 else 'number'}", "no": "@fail.value"},
        )
        for i in range(1, 501)
    }
    assert engine.run(drawn(nodes, outputs={"out": {"from": "n500.value"}})).outputs == {"out": 3}


def test_lazies_that_ask_within_their_call_are_told_when_they_nest_too_deep(engine: Engine) -> None:
    nodes: dict[str, Any] = {"n0": ("Number", {"value": 3})}
    nodes |= {
        f"n{i}": (
            "Pick",
            {"condition": True, "if_true": f"@n{i - 1}.{'value' if i > 1 else 'number'}", "if_false": "@n0.number"},
        )
        for i in range(1, 501)
    }
    assert engine.run(drawn(nodes, outputs={"out": {"from": "n30.value"}})).outputs == {"out": 3}
    engine = Engine(engine.registry, engine.settings)
    with pytest.raises(NodeFailed, match="Give the nodes 'wants='"):
        engine.run(drawn(nodes, outputs={"out": {"from": "n500.value"}}))


def test_wants_that_fail_or_name_nonsense_are_the_nodes_failure(engine: Engine) -> None:
    @node("Nonsense", category="test", outputs="value", wants=lambda which: {"x": "no_such"}[which])
    def nonsense(which: str, a: Lazy[float]) -> float:
        """Name nonsense."""
        return a.get()

    engine = Engine(Registry([arithmetic.pack, NodePack("nonsense", functions=[nonsense])]), engine.settings)
    for which, message in (("x", "names 'no_such', which is no lazy input"), ("y", "KeyError: 'y'")):
        nodes = {"one": "Number", "n": ("Nonsense", {"which": which, "a": "@one.number"})}
        with pytest.raises(NodeFailed, match=message):
            engine.run(drawn(nodes, outputs={"out": {"from": "n.value"}}))


# Late keys


def test_a_key_that_depends_on_a_linked_value_is_made_when_the_value_is_known(settings: Settings) -> None:
    """
    which ──▶ look (its fingerprint reads the linked name) ──▶ count ──▶ out
    """
    world = {"a": 1, "b": 1}
    calls = []

    @node("Which", category="test", outputs="name")
    def which(name: str) -> str:
        """Give a name."""
        return name

    @node("Look", category="test", outputs="value", fingerprint=lambda name: world[name])
    def look(name: str) -> float:
        """Look a number up."""
        calls.append(name)
        return world[name]

    engine = Engine(Registry([arithmetic.pack, waiting.pack, NodePack("look", functions=[which, look])]), settings)
    workflow = drawn(
        {
            "which": ("Which", {"name": "a"}),
            "look": ("Look", {"name": "@which.name"}),
            "count": ("Add", {"a": "@look.value"}),
        },
        outputs={"out": {"from": "count.sum"}},
    )
    assert engine.run(workflow).outputs == {"out": 1}
    seen = Seen()
    engine.run(workflow, emit=seen.append)
    assert (seen.of("node_started"), calls) == ([], ["a"])
    world["a"] = 5
    seen = Seen()
    assert engine.run(workflow, emit=seen.append).outputs == {"out": 5}
    assert seen.of("node_started") == ["look", "count"]


# Immutable values


def test_the_debug_mode_fails_a_node_that_changes_its_input(settings: Settings) -> None:
    @node("Picture", category="test", outputs="image")
    def picture() -> Image:
        """Make a picture."""
        return Image(torch.zeros(1, 2, 2, 3))

    @node("Spoil", category="test", outputs="image")
    def spoil(ctx: Context, image: Image) -> Image:
        """Change the picture that others share."""
        image.add_(1)
        return image

    registry = Registry([waiting.pack, NodePack("spoil", functions=[picture, spoil])])
    engine = Engine(registry, replace(settings, check_immutable=True))
    with pytest.raises(NodeFailed, match="input 'image': the node changed this input's value"):
        engine.run(drawn({"p": "Picture", "s": ("Spoil", {"image": "@p.image"})}, outputs={"o": {"from": "s.image"}}))
    with pytest.raises(NodeFailed, match="input 'numbers': the node changed"):
        engine.run(
            drawn({"n": "Several", "g": ("Grow", {"numbers": "@n.numbers"})}, outputs={"o": {"from": "g.numbers"}})
        )


def test_a_blocked_body_leaves_its_item_out(engine: Engine) -> None:
    body = graph({"odd": "Odd"}, {"item": {"type": "FLOAT", "to": ["odd.value"]}}, {"sum": "odd.value"})
    assert engine.run(for_each("@several.numbers", body)).outputs == {"out": [1]}
    assert not isinstance(engine.run(for_each("@several.numbers", body)).outputs["out"], Blocked)


def test_the_workflows_inputs_lead_to_what_a_body_adds(engine: Engine) -> None:
    workflow = drawn(
        {"loop": ("While", {"body": {"$subgraph": "body"}})},
        subgraphs={"body": document_of_body(5)},
        inputs={"start": {"type": "FLOAT", "default": 2, "to": ["loop.number"]}},
        outputs={"out": {"from": "loop.number"}},
    )
    assert engine.run(workflow).outputs == {"out": 5}
    assert engine.run(workflow.with_settings({"start": 9})).outputs == {"out": 10}
    wrong = workflow.model_dump(by_alias=True, exclude_defaults=True)
    wrong["inputs"]["start"]["to"] = ["loop.nmber"]
    with pytest.raises(InvalidWorkflow, match="input 'nmber': it has no such input"):
        engine.run(parse_workflow(json.dumps({"version": 1, **wrong, "format": "graphengine"})))
