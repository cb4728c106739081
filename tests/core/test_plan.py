"""Order and cache keys: what they depend on, and what they must not depend on."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from graphengine.authoring import NodePack
from graphengine.config import Settings
from graphengine.core.graph import build_graph
from graphengine.core.plan import Plan, fingerprints, make_plan
from graphengine.core.registry import Registry
from graphengine.core.workflow import Workflow
from tests.drawn import drawn
from tests.packs import arithmetic as arithmetic_pack
from tests.packs import typed

MakePlan = Callable[..., Plan]


@pytest.fixture
def plan(settings: Settings) -> MakePlan:
    def plan(workflow: Workflow, *, packs: list[NodePack] | None = None, **options: Any) -> Plan:  # Any: make_plan's
        registry = Registry(packs or [arithmetic_pack.pack, typed.pack])
        graph = build_graph(workflow, registry.definitions, settings)
        return make_plan(graph, fingerprint_of=lambda kind: registry.function(kind).fingerprint, **options)

    return plan


def keys(plan: Plan) -> dict[str, bytes | None]:
    return {step.node.id: step.key for step in plan.steps}


def order(plan: Plan) -> list[str]:
    return [step.node.id for step in plan.steps]


def key_of(plan: MakePlan, kind: str, inputs: Mapping[str, Any], output: str) -> bytes | None:
    return plan(drawn({"x": (kind, inputs)}, outputs={"out": {"from": f"x.{output}"}})).steps[-1].key


SUM = {
    "one": ("Number", {"value": 1}),
    "sum": ("Add", {"a": "@one.number", "b": 2}),
    "out": ("Show", {"value": "@sum.sum"}),
}


def test_keys_ignore_ids_titles_layout_meta_and_order(plan: MakePlan) -> None:
    renamed = {
        "z": ("Show", {"value": "@y.sum"}),
        "y": ("Add", {"b": 2, "a": "@x.number"}),
        "x": ("Number", {"value": 1.0}),
    }
    first = keys(plan(drawn(SUM, meta={"name": "first"}, ui={"nodes": {"one": {"pos": [1, 2]}}})))
    second = keys(plan(drawn(renamed)))
    assert [first["one"], first["sum"], first["out"]] == [second["x"], second["y"], second["z"]]
    assert len(set(first.values())) == 3


def test_a_default_written_out_is_the_same_key(plan: MakePlan) -> None:
    assert key_of(plan, "Number", {}, "number") == key_of(plan, "Number", {"value": 0.0}, "number")


def test_a_literal_changes_its_node_and_all_after_it_only(plan: MakePlan) -> None:
    """
    one ──▶ sum ──▶ out
    """
    changed = {**SUM, "sum": ("Add", {"a": "@one.number", "b": 3})}
    before, after = keys(plan(drawn(SUM))), keys(plan(drawn(changed)))
    assert before["one"] == after["one"]
    assert before["sum"] != after["sum"]
    assert before["out"] != after["out"]


def test_which_output_is_read_changes_the_key(plan: MakePlan) -> None:
    divided = {"d": ("Divide", {"a": 7, "b": 2})}
    plans = [plan(drawn({**divided, "out": ("Show", {"value": f"@d.{name}"})})) for name in ("quotient", "remainder")]
    assert keys(plans[0])["d"] == keys(plans[1])["d"]
    assert keys(plans[0])["out"] != keys(plans[1])["out"]


def test_which_input_reads_changes_the_key(plan: MakePlan) -> None:
    base = {"n": "Number", "m": ("Number", {"value": 1})}
    plans = [
        plan(
            drawn(
                {**base, "s": ("Add", {"a": f"@{a}.number", "b": f"@{b}.number"}), "o": ("Show", {"value": "@s.sum"})}
            )
        )
        for a, b in ("nm", "mn")
    ]
    assert keys(plans[0])["s"] != keys(plans[1])["s"]


@pytest.mark.parametrize("value", [1, 1.0, True, "1", [1], [1.0], {"1": 1}, None, "None", "True"], ids=repr)
def test_values_of_any_type_have_keys_of_their_own(plan: MakePlan, value: object) -> None:
    others = [1, 1.0, True, "1", [1], [1.0], {"1": 1}, None, "None", "True", ["list", 1], [[1]], "[1]"]
    mine = key_of(plan, "Any", {"value": value}, "value")
    assert [repr(each) for each in others if key_of(plan, "Any", {"value": each}, "value") == mine] == [repr(value)]


def test_the_order_of_names_in_a_value_is_no_difference(plan: MakePlan) -> None:
    values = [{"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}]
    assert len({key_of(plan, "Any", {"value": value}, "value") for value in values}) == 1


def test_seven_and_seven_point_zero_are_one_number(plan: MakePlan) -> None:
    assert key_of(plan, "Number", {"value": 7}, "number") == key_of(plan, "Number", {"value": 7.0}, "number")


def test_the_packs_version_is_part_of_the_key(plan: MakePlan) -> None:
    versions = [NodePack("arithmetic", modules=arithmetic_pack.pack.modules, version=version) for version in "12"]
    found = [keys(plan(drawn(SUM), packs=[pack])) for pack in [*versions, versions[0]]]
    assert found[0]["one"] != found[1]["one"]
    assert found[0] == found[2]


def test_a_files_name_and_version_are_part_of_the_key(plan: MakePlan, settings: Settings) -> None:
    texts = settings.roots[0] / "texts"
    texts.mkdir(parents=True)

    def key(name: str) -> bytes | None:
        return key_of(plan, "Read", {"path": name}, "text")

    for name in ("a.txt", "b.txt"):
        (texts / name).write_text("1")
        os.utime(texts / name, ns=(0, 0))
    first = key("a.txt")
    assert key("a.txt") == first
    assert key("b.txt") != first
    (texts / "a.txt").write_text("2")
    assert key("a.txt") != first


def test_files_of_one_name_in_two_folders_differ(plan: MakePlan, settings: Settings) -> None:
    found = []
    for folder in ("first", "second"):
        file = settings.roots[0] / "texts" / folder / "a.txt"
        file.parent.mkdir(parents=True)
        file.write_text(folder[:5])
        os.utime(file, ns=(0, 0))  # unpacked from an archive, files often have equal times
        found.append(key_of(plan, "Read", {"path": f"{folder}/a.txt"}, "text"))
    assert found[0] != found[1]


def test_the_numeric_environment_counts_for_accelerator_nodes_only(plan: MakePlan) -> None:
    from graphengine import node

    @node("OnGpu", category="test", device="gpu", outputs="value")
    def on_gpu(value: float = 0.0) -> float:
        """Work on the accelerator."""
        return value

    pack = NodePack("gpu", modules=arithmetic_pack.pack.modules, functions=[on_gpu], version="1")
    nodes = {"one": "Number", "work": ("OnGpu", {"value": "@one.number"}), "out": ("Show", {"value": "@work.value"})}
    first, second = (keys(plan(drawn(nodes), packs=[pack], environment=each)) for each in ("cpu", "cuda"))
    assert first["one"] == second["one"]
    assert first["work"] != second["work"]
    assert first["out"] != second["out"]


def test_what_comes_after_an_uncacheable_node_has_no_key(plan: MakePlan) -> None:
    """
    tick ──▶ sum ──▶ out     'tick' may give another number each time
    one ──▶ shown
    """
    nodes = {
        "tick": "Tick",
        "sum": ("Add", {"a": "@tick.value"}),
        "out": ("Show", {"value": "@sum.sum"}),
        "one": "Number",
        "shown": ("Show", {"value": "@one.number"}),
    }
    found = keys(plan(drawn(nodes)))
    assert [found[id_] for id_ in ("tick", "sum", "out")] == [None, None, None]
    assert found["shown"] is not None


def test_a_fingerprint_changes_the_key() -> None:
    from graphengine import node

    state = ["a"]

    @node("Reads", category="test", fingerprint=lambda value: [state[0], value], outputs="value")
    def reads(value: int = 0, other: int = 0) -> int:
        """Depend on more than the inputs."""
        return value

    registry = Registry([NodePack("p", functions=[reads], version="1"), arithmetic_pack.pack])
    settings = Settings(Path(), Path())

    def key(nodes: Mapping[str, Any]) -> bytes | None:
        graph = build_graph(drawn(nodes, outputs={"o": {"from": "x.value"}}), registry.definitions, settings)
        return make_plan(graph, fingerprint_of=lambda kind: registry.function(kind).fingerprint).steps[-1].key

    first = key({"x": "Reads"})
    assert key({"x": "Reads"}) == first
    state[0] = "b"
    assert key({"x": "Reads"}) not in (first, None)
    assert key({"x": ("Reads", {"value": "@n.number"}), "n": "Whole"}) is None  # the value isn't known yet
    assert key({"x": ("Reads", {"other": "@n.number"}), "n": "Whole"}) is not None


def test_a_fingerprint_may_ask_for_files_and_leave_out_what_is_linked(tmp_path: Path) -> None:
    from graphengine import node

    def version(files: Settings, value: int = 7) -> list[object]:
        return [files.file_names("letters"), value]

    @node("Reads", category="test", fingerprint=version, outputs="value")
    def reads(value: int = 0) -> int:
        """Depend on files that no input names."""
        return value

    registry = Registry([NodePack("p", functions=[reads], version="1"), arithmetic_pack.pack])
    settings = Settings(Path(), Path(), roots=(tmp_path,))
    (tmp_path / "letters").mkdir()

    def key(nodes: Mapping[str, Any]) -> bytes | None:
        graph = build_graph(drawn(nodes, outputs={"o": {"from": "x.value"}}), registry.definitions, settings)
        return make_plan(graph, fingerprint_of=fingerprints(registry.function, settings)).steps[-1].key

    linked = {"x": ("Reads", {"value": "@n.number"}), "n": "Whole"}
    first = key({"x": "Reads"}), key(linked)
    assert None not in first
    (tmp_path / "letters" / "a.txt").touch()
    second = key({"x": "Reads"}), key(linked)
    assert None not in second
    assert second[0] != first[0]
    assert second[1] != first[1]


# Order


def test_ancestors_come_first_and_each_node_once(plan: MakePlan) -> None:
    """Random graphs of 40 nodes, each linked to up to two earlier ones, in a shuffled file."""
    chance = random.Random(3)
    for _ in range(20):
        nodes: dict[str, Any] = {"n0": "Number"}
        for i in range(1, 40):
            links = {name: f"@n{chance.randrange(i)}.sum" for name in chance.choice([["a"], ["a", "b"]])}
            nodes[f"n{i}"] = ("Add", links)
        nodes["n0"] = ("Add", {"a": 1})
        shuffled = dict(chance.sample(list(nodes.items()), len(nodes)))
        made = plan(drawn(shuffled, outputs={"out": {"from": "n39.sum"}}))
        assert len(set(order(made))) == len(made.steps)
        for step in made.steps:
            assert all(source < step.ordinal for source, _ in step.sources.values())
            assert made.steps[step.ordinal] is step
        assert sum(made.readers) == sum(len(step.sources) for step in made.steps)


def test_the_first_target_is_finished_before_the_next_is_begun(plan: MakePlan) -> None:
    """
    a0 ──▶ a1 ──▶ a2 (shown)
    b0 ──▶ b1 ──▶ b2 (shown)
    """
    nodes: dict[str, Any] = {}
    for i, branch in itertools.product(range(2), "ab"):
        nodes[f"{branch}{i}"] = ("Add", {"a": f"@{branch}0.sum" if i else 1})
    nodes |= {f"{branch}2": ("Show", {"value": f"@{branch}1.sum"}) for branch in "ab"}
    assert order(plan(drawn(nodes))) == ["a0", "a1", "a2", "b0", "b1", "b2"]
    made = plan(drawn(nodes), targets=["b2", "a2"])
    assert order(made) == ["b0", "b1", "b2", "a0", "a1", "a2"]


def test_only_what_the_targets_need_is_planned(plan: MakePlan) -> None:
    made = plan(drawn({**SUM, "unused": "Tick"}), targets=["sum", "sum"])
    assert order(made) == ["one", "sum"]
    assert made.targets == (1,)


def test_declared_outputs_belong_to_the_plan_when_their_node_is_a_target(plan: MakePlan) -> None:
    workflow = drawn(SUM, outputs={"first": {"from": "one.number"}, "total": {"from": "sum.sum"}})
    assert set(plan(workflow).outputs) == {"first", "total"}
    assert plan(workflow, targets=["sum"]).outputs == {"total": (1, 0)}


def test_lazy_inputs_are_marked_when_they_are_linked(plan: MakePlan) -> None:
    nodes = {"n": "Number", "p": ("Pick", {"condition": True, "if_true": "@n.number", "if_false": "@n.number"})}
    made = plan(drawn(nodes, outputs={"out": {"from": "p.value"}}))
    assert made.steps[-1].lazy == {"if_true", "if_false"}
    assert made.readers == (2, 0)
