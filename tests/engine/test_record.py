"""The record of runs: what is kept, for how long, and what happens when it can't be."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from graphengine.config import Settings
from graphengine.core.events import NodeFinished
from graphengine.core.plan import Plan
from graphengine.core.registry import Registry
from graphengine.engine import Engine
from graphengine.engine.record import DeferredRecord, Record, Stopwatch, Timing, note_of, workflow_id
from graphengine.errors import NodeFailed
from tests.drawn import drawn

Keep = Callable[..., None]


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(tmp_path / "data" / "record.sqlite")


@pytest.fixture
def recording(arithmetic: Registry, settings: Settings, record: Record) -> Engine:
    return Engine(arithmetic, settings, record)


def keep(record: Record, name: str, plan: Plan, seconds: dict[str, float] | None = None, **more: bool) -> None:
    record.keep(name, plan, environment="cpu", seconds=seconds or {}, sizes={}, **more)


SUM = {
    "one": ("Number", {"value": 1}),
    "sum": ("Add", {"a": "@one.number", "b": 2}),
    "out": ("Show", {"value": "@sum.sum"}),
}


def test_a_run_is_recorded_with_what_its_keys_are_made_of(recording: Engine, record: Record, tmp_path: Path) -> None:
    file = tmp_path / "sum.json"
    recording.run(drawn(SUM), path=file)
    last = record.last_run(str(file))
    assert last is not None
    assert last.environment == recording.environment
    node = last.nodes["sum"]
    assert (node.type, node.version, node.pack) == ("Add", 1, "arithmetic")
    assert (node.literals, node.sources) == ({"b": 2.0}, {"a": ("one", "number")})
    keys = [step.key.hex() for step in recording.plan(drawn(SUM)).steps if step.key is not None]
    assert [each.key for each in last.nodes.values()] == keys
    assert last.timings.keys() == {"one", "sum", "out"}
    assert last.timings["sum"].size_bytes is not None
    assert record.kinds()["Add"].typical_seconds == last.timings["sum"].typical_seconds


def test_an_unknown_workflow_has_no_record(record: Record) -> None:
    assert record.last_run("never") is None
    assert record.kinds() == {}


def test_a_failed_run_is_recorded_up_to_the_failure(recording: Engine, record: Record) -> None:
    workflow = drawn({"one": "Number", "f": ("Fail", {"value": "@one.number"}), "out": ("Show", {"value": "@f.value"})})
    with pytest.raises(NodeFailed):
        recording.run(workflow)
    last = record.last_run(workflow_id(workflow))
    assert last is not None
    assert last.nodes.keys() == {"one", "f", "out"}
    assert last.timings.keys() == {"one"}


def test_what_is_cached_keeps_its_times(recording: Engine, record: Record) -> None:
    recording.run(drawn(SUM))
    first = record.last_run(workflow_id(drawn(SUM)))
    recording.run(drawn(SUM))
    assert first is not None
    assert record.last_run(workflow_id(drawn(SUM))) == first


def test_the_last_times_are_kept_and_their_median_is_typical(recording: Engine, record: Record) -> None:
    plan = recording.plan(drawn(SUM))
    for seconds in (100.0, 1.0, 9.0, 3.0, 4.0, 5.0):
        keep(record, "w", plan, {"sum": seconds})
    last = record.last_run("w")
    assert last is not None
    assert last.timings["sum"] == Timing((1.0, 9.0, 3.0, 4.0, 5.0), None)
    assert last.timings["sum"].typical_seconds == 4.0


def test_a_run_for_some_targets_leaves_the_rest_as_it_was(recording: Engine, record: Record) -> None:
    recording.run(drawn(SUM))
    changed = {**SUM, "one": ("Number", {"value": 5})}
    recording.run(drawn(changed), targets=["one"])
    last = record.last_run(workflow_id(drawn(SUM)))
    assert last is not None
    assert last.nodes.keys() == {"one", "sum", "out"}
    assert last.nodes["one"].literals == {"value": 5.0}


def test_nodes_that_are_gone_are_forgotten(recording: Engine, record: Record) -> None:
    keep(record, "w", recording.plan(drawn(SUM)), {"sum": 1.0})
    keep(record, "w", recording.plan(drawn({"out": ("Show", {"value": "@one.number"}), "one": "Number"})))
    last = record.last_run("w")
    assert last is not None
    assert last.nodes.keys() == {"one", "out"}
    assert not last.timings


def test_workflows_that_were_not_used_for_long_are_forgotten(recording: Engine, record: Record) -> None:
    plan = recording.plan(drawn(SUM))
    for number in range(203):
        keep(record, f"w{number}", plan)
    assert [record.last_run(f"w{number}") is not None for number in (0, 2, 3, 202)] == [False, False, True, True]


def test_time_in_nodes_that_a_node_made_is_its_own(recording: Engine) -> None:
    stopwatch = Stopwatch.of(recording.plan(drawn(SUM)))
    show = stopwatch.watching(lambda event: None)
    for node, seconds in (("sum/0/inner", 2.0), ("sum/1/deep/inner", 3.0), ("sum", 0.5), ("elsewhere/x", 9.0)):
        show(NodeFinished(number=1, node=node, seconds=seconds))
    assert stopwatch.seconds == {"sum": 5.5}


def test_without_a_file_a_workflow_is_known_by_its_shape() -> None:
    other_value = {**SUM, "one": ("Number", {"value": 7})}
    other_link = {**SUM, "out": ("Show", {"value": "@one.number"})}
    assert workflow_id(drawn(SUM)) == workflow_id(drawn(dict(reversed(SUM.items())))) == workflow_id(drawn(other_value))
    assert workflow_id(drawn(SUM)) != workflow_id(drawn(other_link))


def test_long_literals_are_noted_by_their_beginning() -> None:
    long, other = "x" * 5000, "x" * 4999 + "y"
    assert note_of("short") == "short"
    assert note_of(long) != note_of(other)
    assert len(repr(note_of(long))) < 400
    assert note_of([1, 2]) != note_of([1, 3])


@pytest.mark.parametrize("harm", ["no database", "a newer version", "a folder", "beside a file"])
def test_a_record_that_cant_be_used_is_warned_about_once(
    arithmetic: Registry, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    path = tmp_path / "record.sqlite"
    match harm:
        case "no database":
            path.write_bytes(b"no database" * 1000)
        case "a newer version":
            with sqlite3.connect(path) as database:
                database.execute("PRAGMA user_version = 99")
            database.close()
        case "a folder":
            path.mkdir()
        case _:
            path.write_text("a file")
            path = path / "record.sqlite"
    engine = Engine(arithmetic, settings, Record(path))
    for _ in range(2):
        assert engine.run(drawn(SUM, outputs={"total": {"from": "sum.sum"}})).outputs["total"] == 3
    assert engine.record is not None
    assert engine.record.last_run("w") is None
    assert [each.levelname for each in caplog.records] == ["WARNING"]
    assert "the record of runs can't be used" in caplog.text


def test_two_runs_may_write_at_once(recording: Engine, record: Record, tmp_path: Path) -> None:
    plan = recording.plan(drawn(SUM))

    def write(name: str) -> None:
        own = Record(tmp_path / "data" / "record.sqlite")
        for _ in range(20):
            keep(own, name, plan, {"sum": 1.0})

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for name in "ab":
        last = record.last_run(name)
        assert last is not None
        assert last.timings["sum"].seconds == (1.0,) * 5


def test_a_deferred_record_writes_the_last_of_equal_runs_when_asked(
    arithmetic: Registry, settings: Settings, tmp_path: Path
) -> None:
    deferred = DeferredRecord(tmp_path / "record.sqlite")
    engine = Engine(arithmetic, settings, deferred)
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    for path in (first, second, first):
        engine.run(drawn(SUM), path=path)
    assert not (tmp_path / "record.sqlite").exists()
    deferred.flush()
    written = Record(tmp_path / "record.sqlite")
    assert {name for name in (first, second) if written.last_run(str(name)) is not None} == {first, second}
    engine.run(drawn(SUM | {"more": ("Show", {"value": "@sum.sum"})}), path=first)
    last = deferred.last_run(str(first))
    assert last is not None
    assert "more" in last.nodes


def test_a_deferred_record_does_not_let_too_much_wait(arithmetic: Registry, settings: Settings, tmp_path: Path) -> None:
    engine = Engine(arithmetic, settings, DeferredRecord(tmp_path / "record.sqlite"))
    for index in range(110):
        engine.run(
            drawn({"one": ("Number", {"value": index}), "out": ("Show", {"value": "@one.number"})}),
            path=tmp_path / f"{index}.json",
        )
    assert Record(tmp_path / "record.sqlite").last_run(str(tmp_path / "5.json")) is not None
