"""What a run would do and why: states, reasons, estimates, root causes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pytest

from graphengine import FilesIn, NodePack, node
from graphengine.config import Settings
from graphengine.core.registry import Registry
from graphengine.engine import Engine
from graphengine.engine.explain import PlanReport, WhyReport, explain_node, explain_plan
from graphengine.engine.record import Record
from graphengine.errors import GraphEngineError, InvalidWorkflow
from tests.drawn import chain, drawn
from tests.packs import arithmetic as arithmetic_pack

MakeEngine = Callable[..., Engine]


@pytest.fixture
def engine_with(settings: Settings) -> MakeEngine:
    """Make an engine that has run nothing, over one record."""

    def engine_with(*functions: Any, version: str = "1", **changes: Any) -> Engine:  # Any: node functions; settings
        packs = [NodePack("own", functions=functions, version=version), arithmetic_pack.pack]
        return Engine(Registry(packs), replace(settings, **changes), Record(settings.record_file))

    return engine_with


@node("Read", category="test", outputs="text")
def read(file: Annotated[str, FilesIn("texts")]) -> str:
    """Read a text file."""
    return Path(file).read_text()


@node("OnDevice", category="test", outputs="value", device="gpu")
def on_device(value: float = 0.0) -> float:
    """Compute on the device."""
    return value


def summed(value: float = 1, to: float = 2) -> dict[str, Any]:  # Any: drawings
    """one ──▶ sum ──▶ out"""
    return {
        "one": ("Number", {"value": value}),
        "sum": ("Add", {"a": "@one.number", "b": to}),
        "out": ("Show", {"value": "@sum.sum"}),
    }


def states(report: PlanReport) -> dict[str, str]:
    return {step.node: step.state for step in report.steps}


def why(engine: Engine, nodes: dict[str, Any], name: str = "out", **parts: Any) -> WhyReport:  # Any: drawings
    return explain_node(engine, drawn(nodes, **parts), name, path=Path("w.json"))


def ran(engine: Engine, nodes: dict[str, Any], **parts: Any) -> None:  # Any: drawings
    engine.run(drawn(nodes, **parts), path=Path("w.json"))


# plan


def test_a_workflow_that_never_ran_runs_all_at_unknown_cost(engine_with: MakeEngine) -> None:
    report = explain_plan(engine_with(), drawn(summed()))
    assert [step.node for step in report.steps] == ["one", "sum", "out"]
    assert states(report) == {"one": "run", "sum": "run", "out": "run"}
    assert {step.reason for step in report.steps} == {"this workflow has not run yet"}
    assert (report.unknown, report.seconds, report.is_sound) == (3, 0.0, True)


def test_a_cached_node_hides_its_ancestors(engine_with: MakeEngine) -> None:
    engine = engine_with()
    engine.run(drawn(summed()))
    assert states(explain_plan(engine, drawn(summed()))) == {"one": "unneeded", "sum": "unneeded", "out": "cached"}
    changed = explain_plan(engine, drawn(summed(to=5)))
    assert states(changed) == {"one": "cached", "sum": "run", "out": "run"}
    reason = "changed since the last run: node 'sum' (Add), input 'b': 2.0 → 5.0"
    assert [step.reason for step in changed.to_run] == [reason, reason]


def test_estimates_come_from_earlier_runs_or_from_nodes_of_the_kind(engine_with: MakeEngine) -> None:
    engine = engine_with()
    assert engine.record is not None
    plan = engine.plan(drawn(summed()))
    sizes = {step.key: 100 for step in plan.steps if step.key is not None}
    seconds = {"one": 2.0, "sum": 3.0}
    engine.record.keep("other", plan, environment="", seconds=seconds, sizes=sizes)
    report = explain_plan(engine, drawn(summed()))
    assert (report.seconds, report.size_bytes, report.unknown) == (5.0, 200, 1)


def test_sizes_of_what_is_cached_are_told_too(engine_with: MakeEngine) -> None:
    engine = engine_with()
    engine.run(drawn(summed()))
    steps = {step.node: step for step in explain_plan(engine, drawn(summed())).steps}
    assert steps["sum"].state == "unneeded"
    assert steps["sum"].size_bytes


def test_lazy_branches_run_only_if_asked_for(engine_with: MakeEngine) -> None:
    """
    yes, no ··▶ pick ──▶ out
    """
    pick = {"condition": True, "if_true": "@yes.number", "if_false": "@no.number"}
    nodes = {"yes": "Number", "no": "Number", "pick": ("Pick", pick), "out": ("Show", {"value": "@pick.value"})}
    report = explain_plan(engine_with(), drawn(nodes))
    assert states(report) == {"yes": "maybe", "no": "maybe", "pick": "run", "out": "run"}
    assert report.unknown == 2


def test_what_is_never_kept_says_so(engine_with: MakeEngine) -> None:
    engine = engine_with()
    nodes = {"tick": "Tick", "out": ("Show", {"value": "@tick.value"})}
    engine.run(drawn(nodes))
    reasons = [step.reason for step in explain_plan(engine, drawn(nodes)).steps]
    assert reasons == [
        "its results are never kept",
        "changed since the last run: node 'tick' (Tick): it runs each time, as its results are never kept",
    ]


def test_only_what_depends_on_a_change_has_changed(engine_with: MakeEngine) -> None:
    """
    tick ──▶ one        Each runs again, as nothing of 'tick' is kept; only 'two' would give something else.
      └────▶ two
    """
    engine = engine_with()
    nodes: dict[str, Any] = {"tick": "Tick", "one": ("Add", {"a": "@tick.value", "b": 1})}  # Any: drawings
    nodes["two"] = ("Add", {"a": "@tick.value", "b": 2})
    shown = {f"show_{name}": ("Show", {"value": f"@{name}.sum"}) for name in ("one", "two")}
    assert {step.changed for step in explain_plan(engine, drawn(nodes | shown)).steps} == {True}
    engine.run(drawn(nodes | shown))
    steps = explain_plan(engine, drawn(nodes | shown)).steps
    assert {(step.state, step.changed) for step in steps} == {("run", False)}
    nodes["two"] = ("Add", {"a": "@tick.value", "b": 3})
    changed = {step.node for step in explain_plan(engine, drawn(nodes | shown)).steps if step.changed}
    assert changed == {"two", "show_two"}


def test_a_key_that_is_made_during_the_run_says_so(engine_with: MakeEngine) -> None:
    engine = engine_with()
    nodes = {"path": ("ReadText", {"path": "a"}), "late": ("ReadText", {"path": "@path.text"})}
    nodes |= {"out": ("Show", {"value": "@late.text"})}
    engine.run(drawn(nodes))
    steps = {step.node: step for step in explain_plan(engine, drawn(nodes)).steps}
    assert (steps["path"].state, steps["late"].state) == ("cached", "run")
    assert "depends on a value that is computed during the run" in steps["late"].reason


def test_what_is_missing_is_listed_with_the_rest(engine_with: MakeEngine) -> None:
    nodes = {
        "gone": ("Read", {"file": "gone.txt"}),
        "odd": "Nonsense",
        "wrong": ("Add", {"a": "x"}),
        "out": ("Show", {"value": "@gone.text"}),
    }
    report = explain_plan(engine_with(read), drawn(nodes), targets=["out", "odd", "wrong"])
    assert not report.is_sound
    assert report.steps == ()
    assert [each.node for each in report.missing_files] == ["gone"]
    assert [each.node for each in report.missing_nodes] == ["odd"]
    assert [each.node for each in report.problems] == ["wrong"]


def test_reports_are_plain_data(engine_with: MakeEngine) -> None:
    engine = engine_with()
    ran(engine, summed())
    assert json.loads(json.dumps(explain_plan(engine, drawn(summed(to=5))).as_json()))["type"] == "plan"
    report = json.loads(json.dumps(why(engine, summed(value=5)).as_json()))
    assert report["causes"] == [
        {
            "change": {
                "what": "value",
                "node": "one",
                "node_type": "Number",
                "input": "value",
                "before": "1.0",
                "after": "5.0",
            },
            "path": [["out", "value"], ["sum", "a"]],
        }
    ]


def test_long_chains_are_planned_and_explained(engine_with: MakeEngine) -> None:
    engine = engine_with(cache_bytes=0)
    workflow = chain(3000)
    engine.run(workflow)
    changed = workflow.with_settings({"n0.b": 5})
    assert len(explain_plan(engine, changed).to_run) == 3000
    (cause,) = explain_node(engine, changed, "n2999").causes
    assert (cause.change.node, len(cause.path)) == ("n0", 2999)


# why


def test_a_new_workflow_says_so(engine_with: MakeEngine) -> None:
    assert why(engine_with(), summed()).state == "new"


def test_an_unchanged_node_is_cached_or_not_stored(engine_with: MakeEngine) -> None:
    engine = engine_with()
    ran(engine, summed())
    assert why(engine, summed()).state == "cached"
    assert why(engine_with(), summed()).state == "not_stored"


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        (summed(value=3), "node 'one' (Number), input 'value': 1.0 → 3.0"),
        (summed(to=7), "node 'sum' (Add), input 'b': 2.0 → 7.0"),
        (
            summed() | {"sum": ("Add", {"a": 1, "b": 2})},
            "node 'sum' (Add), input 'a': linked to one.number → 1.0",
        ),
        (
            summed() | {"two": "Number", "sum": ("Add", {"a": "@two.number", "b": 2})},
            "node 'sum' (Add), input 'a': linked to one.number → linked to two.number",
        ),
        (
            summed() | {"one": ("Slow", {}), "sum": ("Add", {"a": "@one.value", "b": 2})},
            "node 'one' (Slow): it was of the kind Number in the last run",
        ),
    ],
    ids=["literal", "nearer literal", "link to literal", "link", "kind"],
)
def test_the_change_is_found(engine_with: MakeEngine, nodes: dict[str, Any], said: str) -> None:  # Any: drawings
    engine = engine_with()
    ran(engine, summed())
    report = why(engine, nodes)
    assert report.state == "changed"
    assert said in [str(cause.change) for cause in report.causes]


def test_a_new_node_is_named(engine_with: MakeEngine) -> None:
    engine = engine_with()
    ran(engine, summed())
    report = why(engine, summed() | {"two": ("Number", {"value": 2}), "sum": ("Add", {"a": "@two.number"})})
    assert "node 'two' (Number): it was not there in the last run" in [str(each.change) for each in report.causes]


def test_two_changes_are_both_named_nearest_first(engine_with: MakeEngine) -> None:
    engine = engine_with()
    ran(engine, summed())
    report = why(engine, summed(value=3, to=4))
    assert [(each.change.node, each.path) for each in report.causes] == [
        ("sum", (("out", "value"),)),
        ("one", (("out", "value"), ("sum", "a"))),
    ]


def test_a_node_that_always_runs_is_the_cause(engine_with: MakeEngine) -> None:
    engine = engine_with()
    nodes = {"tick": "Tick", "out": ("Show", {"value": "@tick.value"})}
    ran(engine, nodes)
    (cause,) = why(engine, nodes).causes
    assert cause.change.what == "never_cached"


def test_a_file_that_was_written_again_is_the_cause(engine_with: MakeEngine, tmp_path: Path) -> None:
    file = tmp_path / "models" / "texts" / "a.txt"
    file.parent.mkdir(parents=True)
    file.write_text("a")
    nodes = {"read": ("Read", {"file": "a.txt"}), "out": ("Show", {"value": "@read.text"})}
    engine = engine_with(read)
    ran(engine, nodes)
    file.write_text("b")
    os.utime(file, ns=(1, 1))
    (cause,) = why(engine, nodes).causes
    assert cause.change.what == "file"
    assert str(cause.change) == f"node 'read' (Read), input 'file': {file} was written again"


def test_new_code_is_the_cause(engine_with: MakeEngine) -> None:
    nodes = {"d": ("OnDevice", {"value": 1}), "out": ("Show", {"value": "@d.value"})}
    ran(engine_with(on_device, version="1"), nodes)
    (cause,) = why(engine_with(on_device, version="2"), nodes).causes
    assert str(cause.change) == "node 'd' (OnDevice): the code of its pack changed: own 1 → own 2"
    (cause,) = why(engine_with(on_device, version="1", device="cuda"), nodes).causes
    assert cause.change.what == "environment"


def test_a_fingerprint_that_changed_is_the_cause(engine_with: MakeEngine) -> None:
    weather = ["dry"]

    @node("Weather", category="test", outputs="text", fingerprint=lambda place: weather[0])
    def look_out(place: str = "here") -> str:
        """Look out."""
        return weather[0]

    nodes = {"look": "Weather", "out": ("Show", {"value": "@look.text"})}
    engine = engine_with(look_out)
    ran(engine, nodes)
    weather[0] = "wet"
    (cause,) = why(engine, nodes).causes
    assert str(cause.change) == "node 'look' (Weather): what it reads outside of the workflow changed"


def test_a_late_key_can_only_tell_what_is_known(engine_with: MakeEngine) -> None:
    engine = engine_with()
    nodes = {"path": ("ReadText", {"path": "a"}), "late": ("ReadText", {"path": "@path.text"})}
    ran(engine, nodes, outputs={"text": {"from": "late.text"}})
    assert why(engine, nodes, "late").state == "late"
    nodes["path"] = ("ReadText", {"path": "b"})
    (cause,) = why(engine, nodes, "late").causes
    assert cause.change.node == "path"


def test_a_node_that_isnt_there_is_refused(engine_with: MakeEngine) -> None:
    with pytest.raises(InvalidWorkflow, match="Did you mean 'sum'"):
        why(engine_with(), summed(), "summ")


def test_a_sub_graph_is_asked_about_by_its_nodes(engine_with: MakeEngine) -> None:
    inner = {"nodes": {"n": {"type": "Number"}}, "outputs": {"number": {"from": "n.number"}}}
    nodes = {"sub": "subgraph:inner", "out": ("Show", {"value": "@sub.number"})}
    engine = engine_with()
    ran(engine, nodes, subgraphs={"inner": inner})
    assert why(engine, nodes, "sub/n", subgraphs={"inner": inner}).state == "cached"
    with pytest.raises(GraphEngineError, match=r"is a sub-graph\. Ask for a node in it, as sub/NAME"):
        why(engine, nodes, "sub", subgraphs={"inner": inner})
