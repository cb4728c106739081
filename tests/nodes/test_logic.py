from __future__ import annotations

import pytest

from graphengine import GraphEngineError, Lazy
from graphengine.authoring.testing import run_node
from graphengine_nodes.logic import calculate, compare, round_, switch


def never() -> str:
    raise AssertionError("the unchosen branch was computed")


@pytest.mark.parametrize("condition", [True, False])
def test_unchosen_branch_is_never_computed(condition: bool) -> None:
    chosen, other = Lazy(lambda: "chosen"), Lazy(never)
    if_true, if_false = (chosen, other) if condition else (other, chosen)
    assert switch(condition, if_true=if_true, if_false=if_false) == "chosen"


def test_both_branches_have_one_type_and_wait_to_be_asked() -> None:
    inputs = switch.definition.inputs_by_name
    assert list(inputs) == ["condition", "if_true", "if_false"]
    assert inputs["if_true"].type == inputs["if_false"].type == switch.definition.outputs[0].type
    assert inputs["if_true"].lazy
    assert inputs["if_false"].lazy


@pytest.mark.parametrize(
    ("relation", "below", "equal", "above"),
    [
        ("<", True, False, False),
        ("<=", True, True, False),
        ("==", False, True, False),
        ("!=", True, False, True),
        (">=", False, True, True),
        (">", False, False, True),
    ],
)
def test_numbers_are_compared(relation: str, below: bool, equal: bool, above: bool) -> None:
    results = [run_node(compare, a=a, b=2.0, relation=relation) for a in (1.0, 2.0, 3.0)]
    assert results == [below, equal, above]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [("+", 9), ("-", 5), ("*", 14), ("/", 3.5), ("//", 3), ("%", 1), ("**", 49), ("min", 2), ("max", 7)],
)
def test_numbers_are_calculated_with(operation: str, expected: float) -> None:
    assert run_node(calculate, a=7.0, b=2.0, operation=operation) == expected


@pytest.mark.parametrize(
    ("a", "b", "operation", "message"),
    [
        (1.0, 0.0, "/", "nothing can be divided by 0"),
        (1.0, 0.0, "%", "nothing can be divided by 0"),
        (0.0, -1.0, "**", "is no number that fits"),
        (10.0, 1000.0, "**", "is no number that fits"),
        (-1.0, 0.5, "**", "is no finite number"),
        (1e308, 10.0, "*", "is no finite number"),
    ],
)
def test_what_is_no_number_is_refused(a: float, b: float, operation: str, message: str) -> None:
    with pytest.raises(GraphEngineError, match=message):
        run_node(calculate, a=a, b=b, operation=operation)


@pytest.mark.parametrize(("to", "expected"), [("nearest", 2), ("below", 1), ("above", 2)])
def test_numbers_are_rounded(to: str, expected: int) -> None:
    assert run_node(round_, number=1.6, to=to) == expected
