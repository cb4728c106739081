"""What ``check`` finds, in which words, and what it lets pass."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from graphengine import NodePack, node
from graphengine.config import Settings
from graphengine.core.graph import FileValue, build_graph, check
from graphengine.core.registry import Definitions, PackFailure, Registry
from graphengine.core.workflow import Workflow, parse_workflow
from graphengine.errors import FileFormatError, InvalidWorkflow, Problem, describe_problems
from tests.core.conftest import SHOWN, Found
from tests.drawn import document, drawn
from tests.packs import arithmetic as arithmetic_pack

# Rendering


def test_problems_are_rendered_with_place_and_remedy(registry: Registry, settings: Settings) -> None:
    """
    paint ──▶ frame     a PICTURE where a COVER is asked for
    """
    workflow = drawn(
        {"sampler": ("Divide", {"a": 1, "b": 0}), "paint": "Paint", "frame": ("Frame", {"cover": "@paint.picture"})},
        outputs={"sum": {"from": "sampler.quotient"}},
    )
    with pytest.raises(InvalidWorkflow) as caught:
        build_graph(
            workflow, registry.definitions, settings, targets=["sampler", "frame"], source="workflows/inpaint.json"
        )
    assert str(caught.value) == (
        "workflows/inpaint.json: 2 problems\n"
        "\n"
        "  node 'sampler' (Divide), input 'b': 0 is too small.\n"
        "    Choose a value of at least 1.\n"
        "\n"
        "  node 'frame' (Frame), input 'cover': linked to 'paint.picture', a PICTURE; it takes a COVER.\n"
        "    Put a CoverOf node between them."
    )


def test_a_problem_is_data_too(found: Found) -> None:
    (problem,) = found({"x": ("Number", {"value": 2e9}), **SHOWN})
    assert problem.as_json() == {
        "code": "value_too_large",
        "node": "x",
        "node_type": "Number",
        "input": "value",
        "message": "2000000000.0 is too large.",
        "remedy": "Choose a value from -1000000000.0 to 1000000000.0.",
    }


def test_one_problem_is_counted_as_one() -> None:
    assert describe_problems([Problem("x", "it is wrong.")], "a.json") == "a.json: 1 problem\n\n  It is wrong."


def test_every_kind_of_problem_is_reported_at_once(registry: Registry, settings: Settings) -> None:
    doc = document(
        {
            "unknown": "Addd",
            "missing": "Add",
            "typo": ("Add", {"a": 1, "bb": 2}),
            "type": ("Add", {"a": "one"}),
            "small": ("Divide", {"a": 1, "b": 0}),
            "large": ("Number", {"value": 1e10}),
            "choice": ("Choose", {"colour": "gren"}),
            "multiple": ("Choose", {"size": 12}),
            "file": ("Read", {"path": "none.txt", "title": "long title"}),
            "short": ("Read", {"path": "none.txt", "title": "a"}),
            "no_node": ("Add", {"a": "@nobody.sum"}),
            "no_output": ("Add", {"a": "@typo.total"}),
            "bad_link": ("Add", {"a": {"$link": 3}}),
            "socket": ("Frame", {"cover": "@p.picture"}),
            "literal": ("Frame", {"cover": 3}),
            "p": "Paint",
            "c1": ("Add", {"a": "@c2.sum"}),
            "c2": ("Add", {"a": "@c1.sum"}),
            "own": ("Uneven", {"low": 2, "high": 1}),
            "sub": "subgraph:inner",
            "muted": "Whole",
            "reader": ("Divide", {"a": "@muted.number", "b": 1}),
            "old": "Renamed",
            "new": "Whole",
        },
        inputs={
            "astray": {"type": "INT", "to": ["nobody.a"]},
            "double": {"type": "INT", "default": 3, "to": ["no_node.a"]},
            "range": {"type": "INT", "default": 5, "max": 3, "to": ["new.value"]},
            "again": {"type": "INT", "default": 5, "to": ["new.value"]},
        },
        outputs={"lost": {"from": "nobody.sum"}},
    )
    doc["nodes"]["muted"]["mode"] = "muted"
    doc["nodes"]["new"]["type_version"] = 2
    definitions = registry.definitions
    problems = check(
        parse_workflow(json.dumps(doc)), definitions, settings, targets=["nowhere"], function_of=registry.function
    )
    expected = {
        ("unknown", "unknown_node"),
        ("missing", "missing_input"),
        ("typo", "unknown_input"),
        ("type", "wrong_type"),
        ("small", "value_too_small"),
        ("large", "value_too_large"),
        ("choice", "not_a_choice"),
        ("multiple", "not_a_multiple"),
        ("file", "file_not_found"),
        ("file", "text_too_long"),
        ("short", "file_not_found"),
        ("short", "text_too_short"),
        ("no_node", "dangling_link"),
        ("no_output", "dangling_link"),
        ("bad_link", "malformed_link"),
        ("socket", "wrong_link_type"),
        ("literal", "not_linked"),
        ("c1", "cycle"),
        ("own", "refused"),
        ("sub", "unknown_subgraph"),
        ("reader", "muted_source"),
        ("new", "newer_version"),
        (None, "dangling_link"),
        (None, "linked_twice"),
        (None, "value_too_large"),
        (None, "unknown_target"),
    }
    assert {(problem.node, problem.code) for problem in problems} == expected
    assert len(problems) == len(expected) + 2  # two declared inputs linked twice, and a declared output astray too
    assert all(problem.message.endswith(".") and problem.remedy for problem in problems)
    assert json.loads(json.dumps([problem.as_json() for problem in problems]))


# Kinds of nodes


def test_an_unknown_node_is_met_with_the_nearest_name(found: Found) -> None:
    (problem,) = found({"x": "nmber", "out": ("Show", {"value": "@x.number"})})
    assert problem.message == "there is no node 'nmber'."
    assert problem.remedy.startswith("Did you mean 'Number'? ")
    assert problem.extra == {"nearest": "Number"}


def test_a_node_of_a_pack_that_failed_to_load_names_the_pack(registry: Registry, settings: Settings) -> None:
    failure = PackFailure("foo", "ImportError: no bar", ("foo.Blur",))
    definitions = Definitions(registry.definitions.by_id, (failure,))
    problems = check(drawn({"a": "foo.Blur", "b": "Unheard"}), definitions, settings)
    assert problems[0].message == "'foo.Blur' comes with pack 'foo', which failed to load: ImportError: no bar"
    assert "Pack 'foo' failed to load: ImportError: no bar" in problems[1].remedy


def test_a_former_name_still_finds_the_node(registry: Registry, settings: Settings) -> None:
    doc = document({"x": "OldName"}, outputs={"out": {"from": "x.value"}})
    doc["nodes"]["x"]["type_version"] = 3
    assert check(parse_workflow(json.dumps(doc)), registry.definitions, settings) == []


def test_an_older_version_needs_the_functions_that_bring_it_up_to_date(
    found: Found, registry: Registry, settings: Settings
) -> None:
    assert found({"x": "Renamed"}, outputs={"out": {"from": "x.value"}}) == []
    (old,) = check(drawn({"x": "Renamed"}, outputs={"out": {"from": "x.value"}}), registry.definitions, settings)
    assert old.message == "it was saved with version 1 of Renamed, and version 3 is installed."


def test_a_deprecated_node_is_a_warning_that_names_what_replaces_it(registry: Registry, settings: Settings) -> None:
    @node("Old", category="test", outputs="value", status="deprecated", replaced_by="Whole")
    def old(value: int = 0) -> int:
        """Be old."""
        return value

    registry = Registry([arithmetic_pack.pack, NodePack("old", functions=[old])])
    workflow = drawn({"x": "Old"}, outputs={"out": {"from": "x.value"}})
    (problem,) = check(workflow, registry.definitions, settings, function_of=registry.function)
    assert (problem.code, problem.warning, problem.remedy) == ("deprecated", True, "Use a Whole node instead.")
    build_graph(workflow, registry.definitions, settings)


def test_what_is_wrong_outside_the_targets_ancestry_is_a_warning(found: Found) -> None:
    """
    one ──▶ shown        half ──(nobody)──▶ aside
    """
    nodes = {**SHOWN, "half": "Add", "aside": ("Add", {"a": "@half.sum", "b": "@nobody.sum"})}
    problems = found({"x": "Whole", **nodes})
    assert {(each.node, each.warning) for each in problems} == {("half", True), ("aside", True)}
    problems = found({"x": "Whole", **nodes}, targets=["aside"])
    assert {(each.node, each.warning) for each in problems} == {("half", False), ("aside", False)}


# Values


@pytest.mark.parametrize(
    ("kind", "name", "value", "message", "remedy"),
    [
        ("Whole", "value", 1.5, "1.5 is not a whole number.", "Give it a whole number."),
        ("Whole", "value", True, "true is not a whole number.", "Give it a whole number."),
        ("Whole", "value", None, "null is not a whole number.", "Give it a whole number."),
        ("Whole", "value", "7", "'7' is not a whole number.", "Give it a whole number."),
        ("Whole", "value", ["a", 0], "['a', 0] is not a whole number.", "Give it a whole number."),
        ("Number", "value", False, "false is not a number.", "Give it a number."),
        ("Number", "value", 10**400, "is not a number.", "Give it a number."),
        ("ReadText", "path", 3, "3 is not a text.", "Give it a text."),
        ("Pick", "condition", 1, "1 is not true or false.", "Give it true or false."),
        ("Choose", "colour", "gren", "'gren' is not one of its choices.", "Did you mean 'green'? Choose one of: red,"),
        ("Choose", "size", 12, "12 is not a multiple of 8.", "Choose 8 or 16, say."),
        ("Choose", "size", 2**70 + 4, "is not a multiple of 8.", "Choose "),
        ("Choose", "size", 10**400 + 4, "is not a multiple of 8.", "Choose "),
        ("Paint", "width", 60, "60 is not a multiple of 8.", "Choose 56 or 64, say."),
        ("CoverOf", "threshold", 0, "0.0 is too small.", "Choose a value above 0 and below 1."),
        ("CoverOf", "threshold", 1, "1.0 is too large.", "Choose a value above 0 and below 1."),
        ("Paint", "width", 65, "65 is too large.", "Choose a value from 8 to 64."),
        ("Paint", "width", 10**4000, "is too large.", "Choose a value from 8 to 64."),
        (
            "Frame",
            "cover",
            "x",
            "it takes a link to a COVER, not the value 'x'.",
            'Write it as {"$link": "node.output"}.',
        ),
        (
            "Pick",
            "if_true",
            3,
            "it takes a link to any output, not the value 3.",
            'Write it as {"$link": "node.output"}.',
        ),
    ],
)
def test_a_wrong_value_is_answered(
    found: Found, kind: str, name: str, value: object, message: str, remedy: str
) -> None:
    problem = next(each for each in found({"x": (kind, {name: value})}) if each.input == name)
    assert problem.message.endswith(message)
    assert len(problem.message) < 120
    assert problem.remedy.startswith(remedy)
    assert (problem.node, problem.node_type) == ("x", kind)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused(registry: Registry, settings: Settings, value: float) -> None:
    """A file can't hold one, but a setting can."""
    workflow = drawn({"x": "Number", **SHOWN}).with_settings({"x.value": value})
    (problem,) = check(workflow, registry.definitions, settings)
    assert problem.message == f"{value} is not a number."


@pytest.mark.parametrize(
    ("kind", "name", "value", "literal"),
    [
        ("Number", "value", 7, 7.0),
        ("Whole", "value", 7.0, 7),
        ("Whole", "value", 2**64 - 1, 2**64 - 1),
        ("Any", "value", 7, 7),
        ("Any", "value", ["a", 0], ["a", 0]),
        ("Any", "value", {"a": {"$link": "x.y"}}, {"a": {"$link": "x.y"}}),
        ("Frame", "either", None, None),
        ("Choose", "size", 2**80, 2**80),
    ],
)
def test_a_right_value_is_brought_to_its_type(
    registry: Registry, settings: Settings, kind: str, name: str, value: object, literal: object
) -> None:
    nodes: dict[str, Any] = {"p": "Paint", "c": ("CoverOf", {"picture": "@p.picture"}), "x": (kind, {name: value})}
    if kind == "Frame":
        nodes["x"][1]["cover"] = "@c.cover"
    nodes["out"] = ("Show", {"value": "@x." + registry.definitions.by_id[kind].outputs[0].name})
    graph = build_graph(drawn(nodes), registry.definitions, settings)
    assert repr(graph.nodes["x"].literals[name]) == repr(literal)


def test_defaults_fill_what_is_not_given(registry: Registry, settings: Settings) -> None:
    graph = build_graph(drawn({"x": "Number", **SHOWN}), registry.definitions, settings)
    assert graph.nodes["x"].literals == {"value": 0.0}


def test_an_unknown_input_is_found_although_others_are_left_out(found: Found) -> None:
    (problem,) = found({"x": ("Add", {"a": 1, "bb": 2}), "out": ("Show", {"value": "@x.sum"})})
    assert (problem.code, problem.input) == ("unknown_input", "bb")
    assert problem.remedy == "Did you mean 'b'? Its inputs: a, b."


# Files


def test_a_file_is_found_in_its_folder_and_beside_the_workflow(registry: Registry, tmp_path: Path) -> None:
    texts, beside = tmp_path / "root" / "texts", tmp_path / "beside"
    for folder in (texts, beside):
        folder.mkdir(parents=True)
    (texts / "one.txt").write_text("1")
    (beside / "two.txt").write_text("2")
    settings = Settings(tmp_path, tmp_path, roots=(tmp_path / "root",), beside=(beside,))
    nodes = {id_: ("Read", {"path": f"{id_}.txt"}) for id_ in ("one", "two")}
    graph = build_graph(drawn(nodes, outputs={"a": {"from": "one.text"}}), registry.definitions, settings)
    paths = [graph.nodes[id_].literals["path"] for id_ in ("one", "two")]
    assert [type(path) for path in paths] == [FileValue, FileValue]
    assert [path.path for path in paths] == [texts / "one.txt", beside / "two.txt"]


def test_a_missing_file_is_answered_with_those_there_are(registry: Registry, settings: Settings) -> None:
    texts = settings.roots[0] / "texts"
    workflow = drawn({"r": ("Read", {"path": "letter.txt"})}, outputs={"a": {"from": "r.text"}})
    (problem,) = check(workflow, registry.definitions, settings)
    assert problem.message == "there is no file 'letter.txt'."
    assert problem.remedy.startswith("There is none in the folders for texts yet. ")
    texts.mkdir(parents=True)
    (texts / "letters.txt").write_text("")
    (problem,) = check(workflow, registry.definitions, settings)
    assert problem.remedy.startswith("Did you mean 'letters.txt'? Choose one of: letters.txt.")


def test_files_that_only_end_alike_are_not_alike(registry: Registry, settings: Settings) -> None:
    texts = settings.roots[0] / "texts"
    texts.mkdir(parents=True)
    for name in ("pointer.safetensors", "dreamshape.txt"):
        (texts / name).write_text("")
    for given, remedy in (
        ("castle.safetensors", "Choose one of"),
        ("dreamshaper.txt", "Did you mean 'dreamshape.txt'?"),
    ):
        workflow = drawn({"r": ("Read", {"path": given})}, outputs={"a": {"from": "r.text"}})
        (problem,) = check(workflow, registry.definitions, settings)
        assert problem.remedy.startswith(remedy)


@pytest.mark.parametrize("name", ["../secret.txt", "a/../../secret.txt", ".", "", "a\0b", "x" * 5000, "link.txt"])
def test_a_server_finds_no_file_outside_its_folders(registry: Registry, settings: Settings, name: str) -> None:
    texts = settings.roots[0] / "texts"
    texts.mkdir(parents=True)
    (texts.parent / "secret.txt").write_text("secret")
    (texts / "link.txt").symlink_to(texts.parent / "secret.txt")
    for given in (name, str(texts.parent / "secret.txt")):
        workflow = drawn({"r": ("Read", {"path": given})}, outputs={"a": {"from": "r.text"}})
        assert [each.code for each in check(workflow, registry.definitions, settings)] == ["file_not_found"]


def test_a_files_version_changes_when_it_is_written_again(registry: Registry, settings: Settings) -> None:
    text = settings.roots[0] / "texts" / "a.txt"
    text.parent.mkdir(parents=True)
    workflow = drawn({"r": ("Read", {"path": "a.txt"})}, outputs={"a": {"from": "r.text"}})
    versions = []
    for content in ("1", "22"):
        text.write_text(content)
        versions.append(build_graph(workflow, registry.definitions, settings).nodes["r"].literals["path"].version)
    assert versions[0] != versions[1]


# Nodes' own checks


def test_a_nodes_own_check_is_reported_at_its_input(found: Found) -> None:
    (problem,) = found({"x": ("Uneven", {"low": 3, "high": 1}), "out": ("Show", {"value": "@x.value"})})
    assert str(problem) == "node 'x' (Uneven), input 'high': 1 is below low, 3.\n  Exchange them."


def test_a_nodes_own_check_waits_for_linked_values(found: Found) -> None:
    nodes = {"n": "Whole", "x": ("Uneven", {"low": 3, "high": "@n.number"}), "out": ("Show", {"value": "@x.value"})}
    assert found(nodes) == []


def test_a_nodes_own_check_is_spared_wrong_values(found: Found) -> None:
    problems = found({"x": ("Uneven", {"low": "three", "high": 1}), "out": ("Show", {"value": "@x.value"})})
    assert [problem.code for problem in problems] == ["wrong_type"]


def test_a_nodes_own_check_sees_files_as_paths(registry: Registry, settings: Settings) -> None:
    file = settings.roots[0] / "texts" / "a.bin"
    file.parent.mkdir(parents=True)
    file.write_text("")
    workflow = drawn({"r": ("Read", {"path": "a.bin"})}, outputs={"a": {"from": "r.text"}})
    (problem,) = check(workflow, registry.definitions, settings, function_of=registry.function)
    assert problem.message == "a.bin holds no text."


# Size and noise


def test_thousands_of_problems_are_found_in_seconds(registry: Registry, settings: Settings) -> None:
    """Guessing what was meant costs time for each wrong name, so there must be an end to it."""
    nodes = {f"node-{i}": ("Ad", {"a": f"@nod-{i}.sum"}) for i in range(1000)}
    nodes |= {f"sum-{i}": ("Add", {"a": f"@nod-{i}.sum"}) for i in range(1000)}
    problems = check(drawn(nodes), registry.definitions, settings)
    assert len(problems) == 2000


def test_a_damaged_workflow_never_ends_in_a_traceback(registry: Registry, settings: Settings) -> None:
    """Only problems and our own refusals may come of 2,000 random mutations of a sound document."""
    chance = random.Random(7)
    sound = document(
        {
            "n": ("Number", {"value": 3}),
            "w": ("Whole", {"value": 2**64 - 1}),
            "sum": ("Add", {"a": "@n.number", "b": "@w.number"}),
            "pick": ("Pick", {"condition": True, "if_true": "@n.number", "if_false": "@sum.sum"}),
            "paint": ("Paint", {"width": 16}),
            "cover": ("CoverOf", {"picture": "@paint.picture", "threshold": 0.25}),
            "crop": ("Crop", {"value": "@cover.cover"}),
            "read": ("Read", {"path": "a.txt"}),
            "own": ("Uneven", {"low": 1, "high": 2}),
            "choose": ("Choose", {"colour": "red", "size": 16}),
            "out": ("Show", {"value": "@pick.value"}),
        },
        inputs={"s": {"type": "FLOAT", "default": 1, "min": 0, "to": ["n.value"]}},
        outputs={"result": {"from": "sum.sum", "doc": ""}},
        ui={"nodes": {}},
    )
    outcomes = {"sound": 0, "problems": 0, "refused": 0}
    for _ in range(2000):
        doc = copy.deepcopy(sound)
        for _ in range(chance.randrange(1, 4)):
            mutate(doc, chance)
        try:
            workflow = parse_workflow(json.dumps(doc))
        except (FileFormatError, InvalidWorkflow):
            outcomes["refused"] += 1
            continue
        targets = chance.choice([None, ["out"], ["gone", "sum"]])
        problems = check(workflow, registry.definitions, settings, targets=targets, function_of=registry.function)
        assert all(str(problem) and json.dumps(problem.as_json()) for problem in problems)
        assert Workflow.model_validate(workflow) == parse_workflow(workflow.dump())
        outcomes["problems" if problems else "sound"] += 1
    assert min(outcomes["problems"], outcomes["refused"]) > 300


NOISE: list[Any] = [  # Any: JSON
    *(None, True, False, 0, -1, 7.5, 1e308, -1e308, 2**64, 10**400, "", "x", "a.b", "sum.sum", "*", "$T", "INT|FLOAT"),
    *([], {}, [1, 2], {"$link": 3}, {"$link": "nodot"}, {"$link": "n.number", "x": 1}, {"$link": "n.number"}),
    *(
        {"$link": "out.value"},
        {"$subgraph": "x"},
        {"$link": "."},
        "subgraph:x",
        "Add",
        "Show",
        "muted",
        "\0",
        "é" * 300,
    ),
]


def mutate(doc: Any, chance: random.Random) -> None:  # Any: JSON
    """Replace, remove, rename or add one thing at a random place."""
    place = doc
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = chance.choice(keys)
        if not isinstance(place[key], dict | list) or not place[key] or chance.random() < 0.2:
            break
        place = place[key]
    noise = copy.deepcopy(chance.choice(NOISE))
    match chance.randrange(4), place:
        case (0, dict()):
            place[str(chance.choice(["x-new", "value", "a", "type_version", "títle"]))] = noise
        case (1, dict()):
            place[chance.choice(["a", "b.c", "", "value"])] = place.pop(key)
        case (2, _):
            del place[key]
        case _:
            place[key] = noise
