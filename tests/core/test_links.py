"""What ``check`` finds wrong with links: their ends, their types, the cycles they close."""

from __future__ import annotations

import pytest

from tests.core.conftest import Found

# Links


@pytest.mark.parametrize(
    "link",
    [
        {"$link": 3},
        {"$link": "nodot"},
        {"$link": "node."},
        {"$link": "x.number", "more": 1},
        {"$link": None},
        {"$link": []},
    ],
    ids=str,
)
@pytest.mark.parametrize(("kind", "name"), [("Add", "a"), ("Frame", "cover"), ("Any", "value"), ("Show", "value")])
def test_a_malformed_link_is_no_value(found: Found, kind: str, name: str, link: object) -> None:
    problem = next(each for each in found({"x": "Number", "y": (kind, {name: link})}) if each.node == "y")
    assert problem.code == "malformed_link"
    assert problem.remedy == 'Write {"$link": "node.output"}, and nothing else beside it.'


def test_a_dangling_link_names_both_ends_and_the_nearest_node(found: Found) -> None:
    (problem,) = found({"first": "Number", "out": ("Show", {"value": "@frist.number"})})
    assert problem.message == "linked to 'frist.number', but there is no node 'frist'."
    assert problem.remedy == "Did you mean 'first'? Link it to a node of the file."


def test_a_link_to_a_missing_output_lists_the_outputs(found: Found) -> None:
    (problem,) = found({"d": ("Divide", {"a": 1, "b": 1}), "out": ("Show", {"value": "@d.rest"})})
    assert problem.message == "linked to 'd.rest', but a Divide has no output 'rest'."
    assert problem.remedy == "Its outputs: quotient, remainder."


def test_a_link_to_an_unknown_kind_is_not_blamed_as_well(found: Found) -> None:
    (problem,) = found({"x": "Nothing", "out": ("Show", {"value": "@x.anything"})})
    assert problem.code == "unknown_node"


def test_a_whole_number_may_feed_a_number_but_not_the_reverse(found: Found) -> None:
    assert found({"x": "Whole", "sum": ("Add", {"a": "@x.number"}), "out": ("Show", {"value": "@sum.sum"})}) == []
    (problem,) = found(
        {"x": "Number", "d": ("Divide", {"a": "@x.number", "b": 1}), "out": ("Show", {"value": "@d.quotient"})}
    )
    assert problem.message == "linked to 'x.number', a FLOAT; it takes an INT."


def test_a_union_takes_each_of_its_members_only(found: Found) -> None:
    base = {"p": "Paint", "c": ("CoverOf", {"picture": "@p.picture"}), "n": "Number"}
    for link in ("@p.picture", "@c.cover"):
        assert found({**base, "out": ("Frame", {"cover": "@c.cover", "either": link})}, targets=["out"]) == []
    (problem,) = found({**base, "out": ("Frame", {"cover": "@c.cover", "either": "@n.number"})}, targets=["out"])
    assert problem.message == "linked to 'n.number', a FLOAT; it takes a PICTURE or COVER."


def test_a_type_variable_binds_once_for_all_its_inputs(found: Found) -> None:
    """
    paint ──▶ crop.value      both must be of one type
    cover ──▶ crop.other
    """
    base = {"p": "Paint", "c": ("CoverOf", {"picture": "@p.picture"})}
    (problem,) = found({**base, "x": ("Crop", {"value": "@p.picture", "other": "@c.cover"})}, targets=["x"])
    assert (problem.input, problem.code) == ("other", "wrong_link_type")


def test_a_type_variable_carries_its_type_onwards(found: Found) -> None:
    """
    paint ──▶ crop ──▶ crop ──▶ frame     a PICTURE arrives where a COVER is asked for
    """
    nodes = {
        "f": ("Frame", {"cover": "@c2.cropped"}),
        "c2": ("Crop", {"value": "@c1.cropped"}),
        "c1": ("Crop", {"value": "@p.picture"}),
        "p": "Paint",
    }
    (problem,) = found(nodes, targets=["f"])
    assert problem.message == "linked to 'c2.cropped', a PICTURE; it takes a COVER."


def test_a_type_variable_takes_what_it_is_constrained_to(found: Found) -> None:
    (problem,) = found({"n": "Number", "x": ("Crop", {"value": "@n.number"})}, targets=["x"])
    assert problem.message == "linked to 'n.number', a FLOAT; it takes a PICTURE or COVER."


# Cycles


def test_a_cycle_names_its_nodes_in_order(found: Found) -> None:
    """
    before ──▶ a ──▶ b ──▶ c ──▶ out
               ▲───────────┘
    """
    nodes = {
        "c": ("Add", {"a": "@b.sum"}),
        "before": "Number",
        "b": ("Add", {"a": "@a.sum"}),
        "a": ("Add", {"a": "@c.sum", "b": "@before.number"}),
        "out": ("Show", {"value": "@c.sum"}),
    }
    (problem,) = found(nodes)
    assert problem.message == "the nodes feed each other in a circle: a → b → c → a."
    assert problem.as_json()["cycle"] == ["a", "b", "c"]


def test_a_node_that_feeds_itself_is_a_cycle(found: Found) -> None:
    (problem,) = found({"a": ("Add", {"a": "@a.sum"}), "out": ("Show", {"value": "@a.sum"})})
    assert problem.message == "the nodes feed each other in a circle: a → a."


def test_two_cycles_are_two_problems(found: Found) -> None:
    problems = found({f"{ab}{i}": ("Add", {"a": f"@{ab}{1 - i}.sum"}) for ab in "ab" for i in range(2)}, targets=["a0"])
    assert [problem.extra["cycle"] for problem in problems] in (
        [["a0", "a1"], ["b0", "b1"]],
        [["b0", "b1"], ["a0", "a1"]],
    )


def test_types_are_checked_beside_a_cycle_too(found: Found) -> None:
    """
    a ⇄ b        paint ──▶ crop ──▶ frame
    """
    nodes = {
        "frame": ("Frame", {"cover": "@crop.cropped"}),
        "crop": ("Crop", {"value": "@paint.picture"}),
        "paint": "Paint",
        "a": ("Add", {"a": "@b.sum"}),
        "b": ("Add", {"a": "@a.sum"}),
    }
    assert [problem.code for problem in found(nodes, targets=["a"])] == ["cycle", "wrong_link_type"]


def test_a_long_cycle_is_shortened_in_the_message_only(found: Found) -> None:
    size = 5000
    nodes = {f"n{i}": ("Add", {"a": f"@n{(i - 1) % size}.sum"}) for i in range(size)}
    (problem,) = found(nodes, targets=["n0"])
    assert problem.message.endswith(
        "circle: n0 → n1 → n2 → n3 → n4 → n5 → … → n4995 → n4996 → n4997 → n4998 → n4999 → n0."
    )
    assert problem.extra["cycle"] == [f"n{i}" for i in range(size)]
