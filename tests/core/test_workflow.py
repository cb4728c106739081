"""The workflow file: what is read, what is refused, and that nothing is lost on the way."""

from __future__ import annotations

import json
import math
import random
import string
from typing import Any

import pytest

from graphengine.core.workflow import Workflow, link_of, parse_workflow, split_reference
from graphengine.errors import FileFormatError, InvalidWorkflow
from tests.drawn import Document, document, drawn

FULL: Document = {
    "$schema": "https://example.org/schema.json",
    "format": "graphengine",
    "version": 1,
    "meta": {"name": "Leuchtturm 灯台 🗼", "tags": ["a", "b"]},
    "inputs": {"seed": {"type": "INT", "default": 2**64 - 1, "min": 0, "max": 2**64 - 1, "to": ["a.value"]}},
    "outputs": {"sum": {"from": "b.sum", "doc": "The sum."}},
    "nodes": {
        "b": {"type": "Add", "type_version": 1, "inputs": {"a": {"$link": "a.number"}, "b": 0.1}, "title": "Σ „sum“"},
        "a": {"type": "Number", "type_version": 3, "inputs": {"value": 7, "pair": ["a", 0]}, "mode": "muted"},
    },
    "subgraphs": {"inner": {"nodes": {}}},
    "lock": {"packs": {"arithmetic": "1"}},
    "ui": {"nodes": {"a": {"pos": [0.5, -3]}}},
    "x-other": {"kept": [1, 1.0, True, None, "é"]},
}


def refusal(content: str | bytes) -> str:
    with pytest.raises(FileFormatError) as caught:
        parse_workflow(content, "my.json")
    return str(caught.value)


def problems(doc: Document) -> list[str]:
    with pytest.raises(InvalidWorkflow) as caught:
        parse_workflow(json.dumps(doc), "my.json")
    return [str(each) for each in caught.value.problems]


# Round trips


def test_every_field_survives_a_round_trip() -> None:
    assert json.loads(parse_workflow(json.dumps(FULL)).dump()) == FULL


def test_the_canonical_form_is_stable_sorted_and_ends_lines_with_lf() -> None:
    text = parse_workflow(json.dumps(FULL)).dump()
    assert parse_workflow(text).dump() == text
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert "\r" not in text


def test_the_order_of_the_file_does_not_change_the_canonical_form() -> None:
    shuffled = dict(reversed(FULL.items()))
    shuffled["nodes"] = dict(reversed(FULL["nodes"].items()))
    assert parse_workflow(json.dumps(shuffled)).dump() == parse_workflow(json.dumps(FULL)).dump()


@pytest.mark.parametrize(
    "value",
    [7, 7.0, 0.1, 1e-300, -0.0, 2**53 + 1, 2**64 - 1, -(2**63), 10**30, True, None, "", ["a", 0], [["a", 0]], {"k": 1}],
    ids=repr,
)
def test_literals_keep_their_value_and_their_type(value: object) -> None:
    workflow = drawn({"a": ("Number", {"value": value})})
    again = parse_workflow(workflow.dump()).nodes["a"].inputs["value"]
    assert repr(again) == repr(value)


def test_a_declared_seed_keeps_all_64_bits() -> None:
    seed = parse_workflow(parse_workflow(json.dumps(FULL)).dump()).inputs["seed"]
    assert (seed.default, seed.max) == (2**64 - 1, 2**64 - 1)
    assert type(seed.max) is int


def test_generated_workflows_survive_a_round_trip() -> None:
    chance = random.Random(20)
    for _ in range(1000):
        workflow = parse_workflow(json.dumps(generated(chance)))
        text = workflow.dump()
        assert parse_workflow(text) == workflow
        assert parse_workflow(text.encode()).dump() == text


def generated(chance: random.Random) -> Document:
    ids = [identifier(chance) for _ in range(chance.randrange(8))]
    nodes: Document = {id_: {"type": text(chance), "inputs": inputs(chance, ids)} for id_ in ids}
    for node in nodes.values():
        if chance.random() < 0.3:
            node["title"] = text(chance)
        if chance.random() < 0.3:
            node["mode"] = chance.choice(["normal", "muted", "bypassed"])
        if chance.random() < 0.5:
            node["type_version"] = chance.randrange(1, 5)
    doc: Document = {"format": "graphengine", "version": 1, "nodes": nodes}
    for part in ("meta", "lock", "ui", "x-mine"):
        if chance.random() < 0.3:
            doc[part] = {text(chance): value(chance, 3)}
    if ids:
        doc["inputs"] = {"setting": {"type": "INT", "default": value(chance, 1), "to": [f"{chance.choice(ids)}.x"]}}
        doc["outputs"] = {"result": {"from": f"{chance.choice(ids)}.y"}}
    return doc


def identifier(chance: random.Random) -> str:
    return "".join(chance.choices(string.ascii_letters + string.digits + "_:-", k=chance.randrange(1, 6)))


def text(chance: random.Random) -> str:
    return "".join(chance.choices('ab\n"\\/é灯🗼\u2028\x7f$.', k=chance.randrange(5)))


def inputs(chance: random.Random, ids: list[str]) -> dict[str, Any]:  # Any: JSON
    links = {identifier(chance): {"$link": f"{chance.choice(ids)}.{text(chance)}."} for _ in range(chance.randrange(3))}
    return links | {text(chance): value(chance, 2) for _ in range(chance.randrange(3))}


def value(chance: random.Random, depth: int) -> Any:  # Any: JSON
    plain: list[object] = [None, True, 0, -1, 2**64 - 1, chance.random(), 1e300 * chance.random(), text(chance)]
    if depth and chance.random() < 0.4:
        return [value(chance, depth - 1) for _ in range(chance.randrange(4))]
    if depth and chance.random() < 0.3:
        return {text(chance): value(chance, depth - 1) for _ in range(chance.randrange(3))}
    return chance.choice(plain)


# Links


def test_a_two_element_list_is_a_value_and_no_link() -> None:
    assert link_of(["a", 0]) is None
    assert link_of({"$link": "a.b"}) == ("a", "b")


def test_a_reference_splits_at_its_first_dot() -> None:
    assert split_reference("node.name.with.dots") == ("node", "name.with.dots")


def test_a_node_lists_its_links() -> None:
    node = drawn({"b": ("Add", {"a": "@one.number", "b": 2})}).nodes["b"]
    assert list(node.links) == [("a", ("one", "number"))]


# Files that aren't ours


def test_bad_json_is_refused_with_line_and_column() -> None:
    assert refusal('{\n  "format": graphengine\n}').startswith(
        "my.json: it is not valid JSON: Expecting value, line 2, column 13. "
    )


@pytest.mark.parametrize("content", ["", "   \n", b""], ids=["empty", "blank", "no bytes"])
def test_an_empty_file_is_called_empty(content: str | bytes) -> None:
    assert refusal(content) == "my.json: the file is empty. Give a workflow (JSON) or a PNG made by one."


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'{"a": "\xe9"}', b"\x80\x04pickle"])
def test_what_is_no_utf8_is_refused(content: bytes) -> None:
    assert "it is not a text file" in refusal(content)


def test_a_byte_order_mark_is_no_hindrance() -> None:
    text = json.dumps(FULL)
    assert parse_workflow(b"\xef\xbb\xbf" + text.encode()) == parse_workflow(text)


@pytest.mark.parametrize(
    ("document", "whose"),
    [
        ({"last_node_id": 1, "nodes": [], "links": [], "version": 0.4}, "a ComfyUI workflow as its editor saves it"),
        ({"3": {"class_type": "KSampler", "inputs": {}}}, "a ComfyUI prompt (API format)"),
        ({"prompt": {"3": {"class_type": "KSampler", "inputs": {}}}}, "a ComfyUI prompt (API format)"),
        ({"name": "x", "nodes": [], "edges": [], "form": {}}, "an InvokeAI workflow"),
        ({"id": "g", "nodes": {}, "edges": []}, "an InvokeAI workflow"),
        ({"_class_name": "UNet2DConditionModel"}, "a diffusers configuration ('UNet2DConditionModel')"),
        ({"format": "other"}, "the field \"format\" is 'other'"),
        ({}, 'the field "format" is missing'),
        ([1, 2], "it is JSON, but a list and no workflow"),
        (None, "it is JSON, but null and no workflow"),
        ("text", "it is JSON, but a text and no workflow"),
    ],
    ids=[
        "comfy-ui",
        "comfy-api",
        "comfy-post",
        "invoke",
        "invoke-graph",
        "diffusers",
        "other",
        "none",
        "list",
        "null",
        "text",
    ],
)
def test_another_programs_file_is_named(document: object, whose: str) -> None:
    message = refusal(json.dumps(document))
    assert message.startswith("my.json: it is ")
    assert whose in message


def test_a_long_foreign_format_is_not_repeated_in_full() -> None:
    assert len(refusal(json.dumps({"format": ["x" * 1000] * 1000}))) < 500


def test_a_future_version_asks_for_an_upgrade() -> None:
    message = refusal('{"format": "graphengine", "version": 2, "nodes": [1]}')
    assert "it is in format version 2, and this graphengine reads up to 1. Upgrade graphengine" in message


@pytest.mark.parametrize("version", [0, "1", True, 1.5, None, [1]], ids=repr)
def test_a_version_that_never_was_is_refused(version: object) -> None:
    (problem,) = problems(document({}) | {"version": version})
    assert problem.startswith("Field 'version': ")


@pytest.mark.parametrize("field", ["version", "nodes"])
def test_a_file_without_its_version_or_nodes_is_refused(field: str) -> None:
    doc = document({})
    del doc[field]
    assert problems(doc) == [f"Field {field!r}: this is missing.\n  Add it."]


# JSON that other readers would misread


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused_by_name(number: str) -> None:
    assert f"{number} is no number in JSON" in refusal('{"format": "graphengine", "x-a": [' + number + "]}")


def test_a_number_beyond_floats_is_refused() -> None:
    assert "the number 1e999 is too large" in refusal('{"format": "graphengine", "x-a": 1e999}')


def test_an_endless_integer_is_refused() -> None:
    message = refusal('{"format": "graphengine", "x-a": ' + "9" * 5000 + "}")
    assert "a number has too many digits" in message
    assert len(message) < 300


def test_a_node_id_that_stands_twice_is_refused_by_name() -> None:
    message = refusal('{"format": "graphengine", "nodes": {"a": {"type": "X"}, "b": {}, "a": {"type": "Y"}}}')
    assert "the name 'a' stands twice in one object" in message


@pytest.mark.parametrize("depth", [150, 400, 990, 100_000])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_deep_nesting_is_refused(depth: int, brackets: str) -> None:
    opening = '{"a":' if brackets == "{}" else "["
    deep = opening * depth + "1" + brackets[1] * depth
    assert "it is nested too deeply" in refusal('{"format": "graphengine", "version": 1, "x-deep": ' + deep + "}")


def test_nesting_that_a_person_would_write_is_read_and_written() -> None:
    deep: Any = 1  # Any: JSON
    for _ in range(90):
        deep = [deep]
    workflow = drawn({"a": ("Number", {"value": deep})})
    assert parse_workflow(workflow.dump()) == workflow


def test_half_a_surrogate_pair_is_refused() -> None:
    r"""It can be written in JSON as ``\ud800``, but no text file, picture or terminal can hold it."""
    assert "half a character" in refusal('{"format": "graphengine", "version": 1, "nodes": {}, "x-a": "\\ud800"}')


# The fields of our own format


def test_all_wrong_fields_are_reported_at_once_with_their_places() -> None:
    doc = document({"a": "Number", "b": "Add"})
    doc["nodes"]["a"]["colour"] = "red"
    doc["nodes"]["b"]["mode"] = "asleep"
    doc["nodes"]["not valid"] = {"type": "X"}
    doc["nodes"]["c"] = {}
    doc["outputs"] = {"sum": {"from": "nodot"}}
    found = problems(doc)
    assert len(found) == 5
    assert (
        "node 'a': field 'colour': there is no such field.\n  Take it out; a program's own data goes into 'ui'."
        in found
    )
    assert any("node 'b': field 'mode'" in each and "'normal', 'muted' or 'bypassed'" in each for each in found)
    assert any("'not valid' can't be a name here" in each and "letters, digits" in each for each in found)
    assert "node 'c': field 'type': this is missing.\n  Add it." in found
    assert any("Field 'outputs.sum.from': 'nodot' can't be a name here" in each for each in found)


def test_an_unmarked_field_at_the_top_is_refused_by_name() -> None:
    (problem,) = problems(document({}) | {"nodez": {}})
    assert "Unknown field 'nodez'" in problem
    assert "'x-'" in problem


@pytest.mark.parametrize("name", ["schema_url", "__proto__", "model_config", "dump"])
def test_names_of_the_program_are_no_fields_of_the_file(name: str) -> None:
    (problem,) = problems(document({}) | {name: "x"})
    assert f"Unknown field {name!r}" in problem


def test_a_declared_output_says_from_and_nothing_else() -> None:
    assert len(problems(document({}, outputs={"a": {"source": "b.c"}}))) == 2


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"nodes": []}, "Field 'nodes'"),
        ({"nodes": {"a": None}}, "node 'a'"),
        ({"nodes": {"a": {"type": 3}}}, "node 'a': field 'type'"),
        ({"nodes": {"a": {"type": "X", "inputs": []}}}, "node 'a': field 'inputs'"),
        ({"nodes": {"a": {"type": "X", "type_version": 0}}}, "node 'a': field 'type_version'"),
        ({"nodes": {"a": {"type": "X", "type_version": "1"}}}, "node 'a': field 'type_version'"),
        ({"nodes": {"a": {"type": "X", "type_version": True}}}, "node 'a': field 'type_version'"),
        ({"nodes": {"a": {"type": "X", "type_version": 1.5}}}, "node 'a': field 'type_version'"),
        ({"inputs": {"a": {"type": "INT", "min": "1"}}}, "Field 'inputs.a.min'"),
        ({"inputs": {"a": {"type": "INT", "to": "a.b"}}}, "Field 'inputs.a.to'"),
        ({"inputs": {"a": {"type": "INT", "to": ["nodot"]}}}, "Field 'inputs.a.to.0'"),
        ({"ui": 3}, "Field 'ui'"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_field_of_the_wrong_type_is_one_problem_in_plain_words(change: Document, place: str) -> None:
    (problem,) = problems(document({}) | change)
    assert problem.startswith(f"{place}: ")
    assert not any(word in problem for word in ("instance of", "dictionary", "pydantic", "tuple", "float"))


# Settings


def test_a_declared_input_can_be_set() -> None:
    workflow = drawn({"a": "Number"}, inputs={"n": {"type": "FLOAT", "default": 1, "to": ["a.value"]}})
    assert workflow.with_settings({"n": 5}).inputs["n"].default == 5
    assert workflow.inputs["n"].default == 1


def test_a_nodes_input_can_be_set_and_wins_over_the_declared_one() -> None:
    declared = {"n": {"type": "FLOAT", "default": 1, "to": ["a.value", "b.value"]}}
    workflow = drawn({"a": "Number", "b": "Number"}, inputs=declared).with_settings({"a.value": 5})
    assert workflow.nodes["a"].inputs == {"value": 5}
    assert workflow.inputs["n"].to == ("b.value",)


def test_unknown_settings_are_reported_together() -> None:
    workflow = drawn({"a": "Number"}, inputs={"prompt": {"type": "STRING"}})
    with pytest.raises(InvalidWorkflow) as caught:
        workflow.with_settings({"promt": "x", "b.value": 1, "a": 2})
    assert [each.input for each in caught.value.problems] == ["promt", "b.value", "a"]
    assert "Did you mean 'prompt'?" in caught.value.problems[0].remedy
    assert "there is no node 'b'" in caught.value.problems[1].message


def test_a_workflow_with_settings_can_be_saved_and_read() -> None:
    workflow = drawn({"a": "Number"}, inputs={"n": {"type": "FLOAT", "to": ["a.value"]}})
    changed = workflow.with_settings({"n": 0.25, "a.value": {"$link": "a.number"}})
    assert parse_workflow(changed.dump()) == changed


def test_a_workflow_can_not_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        drawn({}).version = 1


def test_a_number_that_json_lacks_is_not_written() -> None:
    workflow = Workflow.model_validate(FULL).with_settings({"seed": math.nan})
    with pytest.raises(ValueError, match="JSON"):
        workflow.dump()
