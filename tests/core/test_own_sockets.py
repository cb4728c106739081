"""Nodes whose sockets follow from a literal of their own."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from graphengine import Blocked, InputError, NodePack, node
from graphengine.authoring.testing import run_node
from graphengine.config import Settings
from graphengine.core.definition import InputDefinition, OutputDefinition, Sockets
from graphengine.core.graph import build_graph, check
from graphengine.core.registry import Registry
from graphengine.engine import Engine
from graphengine.errors import DefinitionError, InvalidWorkflow, Problem
from tests.drawn import drawn
from tests.packs import arithmetic

SUM = Sockets(
    inputs=(
        InputDefinition(name="first", type="FLOAT"),
        InputDefinition(name="second", type="FLOAT", required=False, default=1.0, maximum=10),
    ),
    outputs=(OutputDefinition(name="sum", type="FLOAT"), OutputDefinition(name="rest", type="FLOAT")),
)
TEXT = Sockets(
    inputs=(
        InputDefinition(name="text", type="STRING", unless=("words",)),
        InputDefinition(name="words", type="STRING", required=False),
    ),
    outputs=(OutputDefinition(name="length", type="INT"),),
)


def _sockets(form: str) -> Sockets:
    if form == "none":
        raise InputError("form", "there is no such form.", "Choose 'sum'.")
    return SUM if form == "sum" else TEXT


@node("Form", category="test", sockets=_sockets)
def form(form: Literal["sum", "text", "none"] = "sum", **given: Any) -> dict[str, Any]:  # Any: what the form asks for
    """Fill in a form.

    Args:
        form: Which.
    """
    if form == "sum":
        return {"sum": given["first"] + given["second"]}
    return {"length": len(given["text"] or given["words"])}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry([arithmetic.pack, NodePack("forms", functions=[form])])


def _problems(registry: Registry, settings: Settings, *, knows: bool = True, **nodes: Any) -> list[Problem]:
    function_of = registry.function if knows else None
    return check(drawn(nodes), registry.definitions, settings, function_of=function_of)


def test_a_node_has_the_sockets_of_its_choice(registry: Registry, settings: Settings) -> None:
    """
    one ──▶ form (sum) ──▶ out
    """
    workflow = drawn(
        {
            "one": ("Number", {"value": 2}),
            "form": ("Form", {"first": "@one.number"}),
            "out": ("Show", {"value": "@form.sum"}),
        },
        outputs={"sum": {"from": "form.sum"}},
    )
    graph = build_graph(workflow, registry.definitions, settings, function_of=registry.function)
    assert [each.name for each in graph.nodes["form"].definition.inputs] == ["form", "first", "second"]
    assert graph.nodes["form"].literals == {"form": "sum", "second": 1.0}
    assert Engine(registry, settings).run(workflow).outputs == {"sum": 3.0}


def test_what_the_choice_asks_for_is_checked(registry: Registry, settings: Settings) -> None:
    found = _problems(
        registry, settings, form=("Form", {"secnd": 1, "second": 11}), out=("Show", {"value": "@form.length"})
    )
    assert sorted((each.code, each.input) for each in found) == [
        ("dangling_link", "value"),
        ("missing_input", "first"),
        ("unknown_input", "secnd"),
        ("value_too_large", "second"),
    ]


@pytest.mark.parametrize("given", ["text", "words"])
def test_one_of_two_inputs_is_enough(registry: Registry, settings: Settings, given: str) -> None:
    shown = ("Show", {"value": "@form.length"})
    assert _problems(registry, settings, form=("Form", {"form": "text", given: "four"}), out=shown) == []
    (missing,) = _problems(registry, settings, form=("Form", {"form": "text"}), out=shown)
    assert (missing.input, missing.remedy) == ("text", "Give it a STRING, or give 'words' instead.")


def test_a_refused_choice_is_the_only_problem(registry: Registry, settings: Settings) -> None:
    form = ("Form", {"form": "none", "first": 1, "anything": "@one.number"})
    found = _problems(registry, settings, one="Number", form=form, out=("Show", {"value": "@form.sum"}))
    assert [(each.code, each.input, each.message) for each in found] == [("refused", "form", "there is no such form.")]


def test_a_choice_cannot_be_linked(registry: Registry, settings: Settings) -> None:
    found = _problems(registry, settings, pick="Choose", form=("Form", {"form": "@pick.text", "first": 1}))
    assert "Choose it at the node itself." in [each.remedy for each in found]


def test_without_the_code_whatever_is_written_may_be_right(registry: Registry, settings: Settings) -> None:
    form = ("Form", {"anything": 1})
    assert _problems(registry, settings, knows=False, form=form, out=("Show", {"value": "@form.sum"})) == []
    workflow = drawn({"form": form}, outputs={"sum": {"from": "form.sum"}})
    assert check(workflow, registry.definitions, settings) == []


def test_an_output_that_is_left_out_blocks_who_reads_it(registry: Registry, settings: Settings) -> None:
    workflow = drawn({"form": ("Form", {"first": 1})}, outputs={"rest": {"from": "form.rest"}})
    assert isinstance(Engine(registry, settings).run(workflow).outputs["rest"], Blocked)


def test_another_choice_makes_another_graph(registry: Registry, settings: Settings) -> None:
    """What was planned for the sum must not be taken for the text."""
    engine = Engine(registry, settings)
    out = ("Show", {"value": "@form.length"})
    with pytest.raises(InvalidWorkflow, match="has no output 'length'"):
        engine.run(drawn({"form": ("Form", {"form": "sum", "first": 1}), "out": out}))
    ran = engine.run(
        drawn({"form": ("Form", {"form": "text", "text": "four"}), "out": out}, outputs={"n": {"from": "form.length"}})
    )
    assert ran.outputs == {"n": 4}


def test_run_node_knows_the_sockets_too() -> None:
    assert run_node(form, first=1.0)["sum"] == 2.0
    with pytest.raises(InputError, match="no such input"):
        run_node(form, first=1.0, thrid=1.0)


def test_sockets_follow_from_inputs_that_are_there() -> None:
    with pytest.raises(DefinitionError, match="'other' is no input"):

        @node("Wrong", category="test", sockets=lambda other: Sockets())
        def wrong(**given: Any) -> dict[str, Any]:  # Any: what it asks for
            """Do nothing."""
            return given
