from __future__ import annotations

import pytest

from graphengine import Lazy
from graphengine_nodes.logic import switch


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
