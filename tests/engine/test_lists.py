"""Lists: a node that takes one value and gets a list runs once per item."""

from __future__ import annotations

from typing import Any

import pytest

from graphengine.authoring.context import Blocked
from graphengine.config import Settings
from graphengine.core.graph import check
from graphengine.core.registry import Registry
from graphengine.engine import Engine
from graphengine.errors import NodeFailed
from graphengine_nodes import pack as built_in
from tests.drawn import Seen, drawn
from tests.packs import arithmetic, waiting


@pytest.fixture
def engine(settings: Settings) -> Engine:
    return Engine(Registry([arithmetic.pack, waiting.pack, built_in]), settings)


def result(engine: Engine, nodes: dict[str, Any], source: str) -> Any:  # Any: the output's own type
    return engine.run(drawn(nodes, outputs={"out": {"from": source}})).outputs["out"]


def test_a_node_runs_once_per_item(engine: Engine) -> None:
    """
    several [0 1 2] ──▶ add 10 ──▶ total
    """
    nodes = {"several": "Several", "add": ("Add", {"a": "@several.numbers", "b": 10})}
    assert result(engine, nodes, "add.sum") == [10, 11, 12]
    assert result(engine, nodes | {"total": ("Total", {"numbers": "@add.sum"})}, "total.sum") == 33


def test_shorter_lists_repeat_their_last_item(engine: Engine) -> None:
    nodes = {
        "long": ("Several", {"count": 4}),
        "short": ("Several", {"count": 2, "start": 10}),
        "add": ("Add", {"a": "@long.numbers", "b": "@short.numbers"}),
    }
    assert result(engine, nodes, "add.sum") == [10, 12, 13, 14]


def test_an_empty_list_gives_empty_lists_and_calls_nothing(engine: Engine) -> None:
    nodes = {
        "none": ("Several", {"count": 0}),
        "some": "Several",
        "fail": ("Fail", {"value": "@none.numbers"}),
        "add": ("Add", {"a": "@fail.value", "b": "@some.numbers"}),
    }
    assert result(engine, nodes, "add.sum") == []


def test_lists_made_per_item_are_joined_into_one(engine: Engine) -> None:
    """
    several [0 1 2] ──▶ several, starting there ──▶ one flat list
    """
    nodes = {"starts": "Several", "each": ("Several", {"count": 2, "start": "@starts.numbers"})}
    assert result(engine, nodes, "each.numbers") == [0, 1, 1, 2, 2, 3]


def test_one_value_for_a_list_input_is_a_list_of_one(engine: Engine) -> None:
    nodes = {"one": ("Number", {"value": 4}), "total": ("Total", {"numbers": "@one.number"})}
    assert result(engine, nodes, "total.sum") == 4


def test_a_literal_list_is_checked_item_by_item(engine: Engine) -> None:
    assert result(engine, {"total": ("Total", {"numbers": [1, 2.5]})}, "total.sum") == 3.5
    definitions = engine.registry.definitions
    (problem,) = check(drawn({"t": ("Total", {"numbers": [1, "two"]})}), definitions, engine.settings)
    assert problem.message == "item 1: 'two' is not a number."
    (problem,) = check(drawn({"t": ("Total", {"numbers": 3})}), definitions, engine.settings)
    assert (problem.message, problem.remedy) == ("3 is not a list.", "Write a list: [3].")


def test_a_list_does_not_fit_where_its_items_would_not(engine: Engine) -> None:
    nodes = {"several": "Several", "unpack": ("Unpack", {"box": "@several.numbers"})}
    (problem,) = check(drawn(nodes), engine.registry.definitions, engine.settings)
    assert problem.message == "linked to 'several.numbers', a FLOAT; it takes a BOX."
    assert problem.remedy == "Put a Pack node between them."


def test_a_lazy_input_gets_its_list_whole(engine: Engine) -> None:
    """
    several ──(lazy)──▶ either ──▶ total
    """
    nodes = {
        "several": "Several",
        "other": ("Several", {"start": 5}),
        "either": ("Either", {"condition": False, "yes": "@several.numbers", "no": "@other.numbers"}),
        "total": ("Total", {"numbers": "@either.value"}),
    }
    assert result(engine, nodes, "total.sum") == 18


def test_a_list_of_conditions_chooses_per_item(engine: Engine) -> None:
    nodes = {
        "several": ("Several", {"count": 4}),
        "below": ("Below", {"value": "@several.numbers", "limit": 2}),
        "yes": ("Number", {"value": 1}),
        "no": ("Number", {"value": 0}),
        "either": ("Either", {"condition": "@below.below", "yes": "@yes.number", "no": "@no.number"}),
    }
    assert result(engine, nodes, "either.value") == [1, 1, 0, 0]


def test_a_failing_item_fails_the_node(engine: Engine) -> None:
    nodes = {"several": "Several", "fail": ("Fail", {"value": "@several.numbers"})}
    with pytest.raises(NodeFailed, match="it broke"):
        result(engine, nodes, "fail.value")


def test_the_second_run_finds_lists_in_the_cache(engine: Engine) -> None:
    workflow = drawn(
        {"several": "Several", "add": ("Add", {"a": "@several.numbers"})}, outputs={"out": {"from": "add.sum"}}
    )
    engine.run(workflow)
    seen = Seen()
    assert engine.run(workflow, emit=seen.append).outputs == {"out": [0, 1, 2]}
    assert seen.of("node_started") == []


# Blocked values


def test_what_reads_a_blocked_value_is_skipped(engine: Engine) -> None:
    """
    two ──▶ odd ──▶ add ──▶ out      2 is even
    """
    seen = Seen()
    workflow = drawn(
        {"odd": ("Odd", {"value": 2}), "add": ("Add", {"a": "@odd.value"})}, outputs={"out": {"from": "add.sum"}}
    )
    assert engine.run(workflow, emit=seen.append).outputs == {"out": Blocked("2 is even")}
    assert seen.of("node_skipped") == ["add"]
    assert seen.of("node_started") == ["odd"]


def test_blocked_items_block_their_own_calls(engine: Engine) -> None:
    nodes = {
        "several": "Several",
        "odd": ("Odd", {"value": "@several.numbers"}),
        "add": ("Add", {"a": "@odd.value", "b": 10}),
    }
    assert result(engine, nodes, "add.sum") == [Blocked("0 is even"), 11, Blocked("2 is even")]
    nodes["total"] = ("Total", {"numbers": "@add.sum"})
    assert result(engine, nodes, "total.sum") == Blocked("0 is even")


def test_a_lazy_input_that_is_blocked_blocks_its_reader(engine: Engine) -> None:
    nodes = {
        "odd": ("Odd", {"value": 2}),
        "one": "Number",
        "pick": ("Pick", {"condition": True, "if_true": "@odd.value", "if_false": "@one.number"}),
    }
    assert result(engine, nodes, "pick.value") == Blocked("2 is even")
    nodes["pick"] = ("Pick", {"condition": False, "if_true": "@odd.value", "if_false": "@one.number"})
    assert result(engine, nodes, "pick.value") == 0


def test_block_passes_its_value_on_when_it_is_off(engine: Engine) -> None:
    for condition, expected in ((False, 4), (True, Blocked("no need"))):
        nodes = {
            "four": ("Number", {"value": 4}),
            "block": ("Block", {"value": "@four.number", "condition": condition, "message": "no need"}),
        }
        assert result(engine, nodes, "block.value") == expected
