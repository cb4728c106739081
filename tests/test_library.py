"""Workflows as Python functions."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from graphengine import Blocked, Context, Engine, NodePack, Workflow, node, run, run_async
from graphengine.config import Settings
from graphengine.core.registry import Registry
from graphengine.errors import InvalidWorkflow, NodeFailed
from graphengine.library import Result, default_engine
from tests.drawn import document
from tests.packs import arithmetic as arithmetic_pack

SUM = document(
    {
        "one": ("Number", {"value": 1}),
        "sum": ("Add", {"a": "@one.number", "b": 2}),
        "write": ("Write", {"value": "@sum.sum"}),
    },
    inputs={
        "first": {"type": "FLOAT", "default": 1, "to": ["one.value"], "doc": "The first number."},
        "class": {"type": "FLOAT", "default": 2, "to": ["sum.b"]},
        "own-name": {"type": "STRING", "to": ["write.name"]},
    },
    outputs={"total": {"from": "sum.sum"}},
    meta={"description": "Adds."},
)


@node("Write", category="test", output_node=True, outputs="value")
def write(ctx: Context, value: float, name: str = "sum.txt") -> float:
    """Write a number."""
    ctx.outputs.write_text(str(value), name)
    return value


@node("Nothing", category="test", outputs="value")
def nothing(value: float = 0.0) -> float:
    """Give nothing."""
    return Blocked("there is none")  # type: ignore[return-value]  # any output may be blocked


@pytest.fixture
def engine(settings: Settings) -> Engine:
    return Engine(Registry([NodePack("own", functions=[write, nothing], version="1"), arithmetic_pack.pack]), settings)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return saved(tmp_path, SUM)


def saved(folder: Path, doc: dict[str, Any]) -> Path:  # Any: JSON
    path = folder / "sum.json"
    path.write_text(json.dumps(doc), encoding="utf-8")
    return path


def test_a_workflow_is_a_function_of_its_declared_inputs(engine: Engine, file: Path, settings: Settings) -> None:
    add = Workflow.load(file, engine=engine)
    assert (add().total, add(first=5).total, add(**{"class": 10, "sum.a": 1}).total) == (3.0, 7.0, 11.0)
    result = add(first=2, **{"own-name": "other.txt"})
    assert result.outputs == {"total": 4.0}
    assert [path.relative_to(settings.output) for path in result.shown] == [Path("other.txt")]
    assert result.shown[0].read_text() == "4.0"
    assert run(file, engine=engine, first=5).total == 7.0


def test_its_signature_shows_the_declared_inputs(engine: Engine, file: Path) -> None:
    add = Workflow.load(str(file), engine=engine)
    signature = inspect.signature(add)
    assert [str(each) for each in signature.parameters.values()] == ["first: float = 1"]
    assert signature.return_annotation is Result
    assert inspect.getdoc(add) == "Adds."
    assert "first: float = 1" in repr(add)


def test_wrong_inputs_are_refused_before_anything_runs(engine: Engine, file: Path, settings: Settings) -> None:
    add = Workflow.load(file, engine=engine)
    with pytest.raises(InvalidWorkflow, match=r"sum\.json: 1 problem\n\n  input 'frist'.*\n    Did you mean 'first'\?"):
        add(frist=5)
    with pytest.raises(InvalidWorkflow, match="'x' is not a number"):
        add(first="x")
    with pytest.raises(TypeError, match=r"takes its inputs by name, and was given 5 .* Its inputs: first=…, class=…"):
        add(5)
    assert not settings.output.exists()


def test_outputs_that_arent_declared_are_named(engine: Engine, file: Path) -> None:
    result = Workflow.load(file, engine=engine)()
    with pytest.raises(AttributeError, match=r"no output 'totl'\. Did you mean 'total'\? Its outputs: total\."):
        result.totl  # noqa: B018 - the access is the test
    assert copy.copy(result) == result


def test_a_blocked_output_is_there_as_such(engine: Engine, tmp_path: Path) -> None:
    doc = document({"n": "Nothing"}, outputs={"value": {"from": "n.value"}})
    assert run(saved(tmp_path, doc), engine=engine).value == Blocked("there is none")


def test_a_failing_node_raises(engine: Engine, tmp_path: Path) -> None:
    doc = document({"f": "Fail"}, outputs={"value": {"from": "f.value"}})
    with pytest.raises(NodeFailed, match="it broke"):
        run(saved(tmp_path, doc), engine=engine)


def test_shipped_workflows_load_by_name() -> None:
    assert "prompt" in inspect.signature(Workflow.load("text_to_image")).parameters


# asyncio


def test_it_runs_beside_an_event_loop(engine: Engine, file: Path) -> None:
    async def both() -> list[float]:
        add = Workflow.load(file, engine=engine)
        results = await asyncio.gather(add.run_async(first=1), run_async(file, engine=engine, first=10))
        return [result.total for result in results]

    assert asyncio.run(both()) == [3.0, 12.0]


def test_cancelling_the_task_stops_the_run(settings: Settings, tmp_path: Path) -> None:
    began, ended = threading.Event(), threading.Event()

    @node("Endless", category="test", outputs="count")
    def endless(ctx: Context) -> int:
        """Count."""
        try:
            for _ in ctx.progress(range(100_000)):
                began.set()
                time.sleep(0.001)
        finally:
            ended.set()
        return 0

    engine = Engine(Registry([NodePack("own", functions=[endless], version="1")]), settings)
    path = saved(tmp_path, document({"e": "Endless"}, outputs={"count": {"from": "e.count"}}))

    async def start_and_cancel() -> None:
        task = asyncio.ensure_future(run_async(path, engine=engine))
        await asyncio.to_thread(began.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()

    asyncio.run(start_and_cancel())


# Engines


def test_the_process_shares_an_engine_that_is_made_late(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.chdir(tmp_path)
    default_engine.cache_clear()
    Workflow.load(file)
    assert default_engine.cache_info().currsize == 0
    with pytest.raises(InvalidWorkflow, match="there is no node 'Write'"):
        run(file)
    assert default_engine() is default_engine()
    default_engine.cache_clear()


def test_files_beside_a_workflow_are_found_by_engines_that_may_look_there(tmp_path: Path) -> None:
    folder = tmp_path / "workflows"
    folder.mkdir()
    pack = tmp_path / "texts.py"
    pack.write_text(READ, encoding="utf-8")
    (folder / "a.txt").write_text("found")
    path = saved(folder, document({"r": ("texts.Read", {"file": "a.txt"})}, outputs={"text": {"from": "r.text"}}))
    options: Any = {"packs": [pack], "data": tmp_path / "data"}  # Any: of several types
    assert run(path, engine=Engine.for_user(**options, beside=[tmp_path])).text == "found"
    with pytest.raises(InvalidWorkflow, match=r"there is no file 'a\.txt'"):
        run(path, engine=Engine.for_user(**options))


READ = '''
from pathlib import Path
from typing import Annotated
from graphengine import FilesIn, node

@node("texts.Read", category="test", outputs="text")
def read(file: Annotated[str, FilesIn("texts")]) -> str:
    """Read a text."""
    return Path(file).read_text()
'''
