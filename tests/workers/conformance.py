"""What every kind of worker must do; a kind's own test module inherits it and says how one is made. ::

class TestMyWorker(WorkerConformance):
    make = staticmethod(MyWorker)
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from graphengine.errors import GraphEngineError
from graphengine.workers.messages import Cancel, Finished, Happened, Message, Run
from graphengine.workers.worker import MakeWorker, Worker, WorkerGone, WorkerOptions
from tests.workers.documents import PACK, chain, one
from tests.workers.world import silent

__all__ = ["Heard", "WorkerConformance"]

_PATIENCE_S = 60.0


class Heard:
    """What a worker said."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._news = asyncio.Event()

    def __call__(self, message: Message) -> None:
        self.messages.append(message)
        self._news.set()

    async def end_of(self, job: str) -> Finished:
        """Wait until an attempt at a job is over."""
        return await asyncio.wait_for(self._find(lambda each: isinstance(each, Finished) and each.job == job), 60)

    async def event(self, job: str, kind: str) -> None:
        """Wait for an event of a job."""
        fits = partial(_tells_of, job, kind)
        await asyncio.wait_for(self._find(fits), _PATIENCE_S)

    def types(self, job: str) -> list[str]:
        """Name the events of a job, in order."""
        return _types([each for each in self.messages if getattr(each, "job", "") == job])

    async def _find(self, fits: Callable[[Message], bool]) -> Any:  # Any: the message that the caller asked for
        while True:
            for each in self.messages:
                if fits(each):
                    return each
            self._news.clear()
            await self._news.wait()


def _tells_of(job: str, kind: str, message: Message) -> bool:
    return getattr(message, "job", "") == job and kind in _types([message])


def _types(messages: Sequence[Message]) -> list[str]:
    return [event[0] for each in messages if isinstance(each, Happened | Finished) for event in each.events]


@dataclass
class SharedWorker:
    """One that tests use one after the other, each for jobs of other names."""

    runner: asyncio.Runner
    worker: Worker
    heard: Heard
    options: WorkerOptions

    def run(self, use: Callable[[Worker, Heard, WorkerOptions], Coroutine[Any, Any, None]]) -> None:  # Any: as typed
        """Run a test's coroutine."""
        self.runner.run(use(self.worker, self.heard, self.options))


class WorkerConformance:
    """Tests of the ``Worker`` protocol."""

    make: ClassVar[staticmethod[[WorkerOptions, Callable[[Message], None]], Worker]]

    @pytest.fixture
    def options(self, tmp_path: Path) -> WorkerOptions:
        return _options(tmp_path)

    @pytest.fixture(scope="class")
    @classmethod
    def shared(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedWorker]:
        with asyncio.Runner() as runner:
            options = _options(tmp_path_factory.mktemp("worker"))
            started = _started(cls.make, options)
            worker, heard = runner.run(started.__aenter__())
            yield SharedWorker(runner, worker, heard, options)
            runner.run(started.__aexit__(None, None, None))

    def test_starts_runs_asks_and_stops(self, options: WorkerOptions) -> None:
        async def use(worker: Worker, heard: Heard) -> None:
            worker.send(_run(options, "a", chain(3)))
            finished = await heard.end_of("a")
            assert (finished.state, finished.error, finished.values) == ("done", None, {"sum": 3})
            assert finished.node_seconds.keys() == {"w.Number", "w.Add"}
            assert heard.types("a") == ["job_started", *["node_started", "node_finished"] * 3]
            assert await worker.ask("ping") == "pong"
            assert (worker.memory_bytes or 0) > 2**20
            ended = await worker.stop(30)
            assert (ended.code, str(ended)) == (0, "exit code 0")
            worker.send(_run(options, "late", chain(3)))
            with pytest.raises(WorkerGone):
                await worker.ask("ping")

        _use(self.make, options, use)

    def test_runs_one_job_after_the_other_and_answers_meanwhile(self, shared: SharedWorker) -> None:
        async def use(worker: Worker, heard: Heard, options: WorkerOptions) -> None:
            worker.send(_run(options, "long", one("Sleep", seconds=30)))
            await heard.event("long", "node_started")
            worker.send(_run(options, "next", one("Say", text="b speaks")))
            plan = await worker.ask("plan", {"workflow": chain(3), "targets": None})
            assert isinstance(plan, dict)
            assert [step["state"] for step in plan["steps"]] == ["run", "run", "run"]
            wrong = await worker.ask("plan", {"workflow": one("Nothing"), "targets": None})
            assert isinstance(wrong, dict)
            assert [each["code"] for each in wrong["missing_nodes"]] == ["unknown_node"]
            assert await worker.ask("check", {"workflow": chain(3)}) == []
            memory = await worker.ask("memory")
            assert isinstance(memory, dict)
            assert memory.keys() == {"cached_results", "cached_bytes", "models"}
            with pytest.raises(GraphEngineError, match="not valid JSON"):
                await worker.ask("plan", {"workflow": "{", "targets": None})
            with pytest.raises(GraphEngineError, match="nobody here can answer 'nonsense'"):
                await worker.ask("nonsense")
            worker.send(Cancel("long", 2))  # of an attempt that is not this one
            assert await worker.ask("ping") == "pong"
            worker.send(Cancel("long", 1))
            assert (await heard.end_of("long")).state == "cancelled"
            assert (await heard.end_of("next")).state == "done"

        shared.run(use)

    def test_a_cancel_that_comes_with_the_job_is_heard(self, shared: SharedWorker) -> None:
        async def use(worker: Worker, heard: Heard, options: WorkerOptions) -> None:
            for number in range(20):
                job = f"{number}"
                worker.send(_run(options, job, one("Sleep", seconds=30)))
                worker.send(Cancel(job, 1))
                assert (await heard.end_of(job)).state == "cancelled"

        shared.run(use)

    def test_prints_go_to_the_log_of_their_job(self, shared: SharedWorker) -> None:
        async def use(worker: Worker, heard: Heard, options: WorkerOptions) -> None:
            places = [worker.log_place[1]]
            for text in ("one", "two"):
                worker.send(_run(options, text, one("Say", text=text, newline=False)))
                await heard.end_of(text)
                places.append(worker.log_place[1])
            log = (options.logs / worker.log_place[0]).read_bytes()
            assert [log[start:end] for start, end in itertools.pairwise(places)] == [b"one", b"two"]

        shared.run(use)

    def test_environment_holds_no_secrets(self, options: WorkerOptions, monkeypatch: pytest.MonkeyPatch) -> None:
        secrets = ["HF_TOKEN", "MY_SECRET", "DB_PASSWORD", "OPENAI_API_KEY", "AWS_ACCESS_KEY_ID", "SESSION_COOKIE"]
        for name in [*secrets, "SSH_AUTH_SOCK", "TOKENIZERS_PARALLELISM"]:
            monkeypatch.setenv(name, "value")
        monkeypatch.setenv("DATABASE_URL", "postgres://me:hidden@host/db")
        monkeypatch.setenv("SOME_URL", "https://host:80/path")

        async def use(worker: Worker, heard: Heard) -> None:
            worker.send(_run(options, "a", one("Environment", "names")))
            names = (await heard.end_of("a")).values["names"].split()
            assert not {*secrets, "SSH_AUTH_SOCK", "DATABASE_URL"}.intersection(names)
            assert {"TOKENIZERS_PARALLELISM", "SOME_URL", "PATH"} <= set(names)

        _use(self.make, options, use)

    def test_its_end_is_told_with_code_and_log(self, options: WorkerOptions) -> None:
        async def use(worker: Worker, heard: Heard) -> None:
            worker.send(_run(options, "a", one("Die", how="exit")))
            asked = asyncio.ensure_future(worker.ask("never"))
            ended = await asyncio.wait_for(worker.exited(), _PATIENCE_S)
            assert (ended.code, str(ended)) == (7, "exit code 7")
            assert "about to die" in ended.log_tail
            assert not any(isinstance(each, Finished) for each in heard.messages)
            assert worker.memory_bytes is None
            await asyncio.gather(asked, return_exceptions=True)

        _use(self.make, options, use)

    def test_is_killed_at_once(self, options: WorkerOptions) -> None:
        async def use(worker: Worker, heard: Heard) -> None:
            worker.send(_run(options, "a", one("HoldInterpreter", seconds=30)))
            await heard.event("a", "node_started")
            await silent(worker)
            asked = asyncio.ensure_future(worker.ask("ping"))
            await asyncio.sleep(0)
            for _ in range(1000):  # again while it ends, which hides its code from nobody
                worker.kill()
            ended = await asyncio.wait_for(worker.exited(), 5)
            assert (ended.code, str(ended)) == (-9, "signal SIGKILL")
            with pytest.raises(WorkerGone):
                await asked
            worker.kill()

        _use(self.make, options, use)

    def test_odd_results_cost_nobody_anything(self, shared: SharedWorker) -> None:
        async def use(worker: Worker, heard: Heard, options: WorkerOptions) -> None:
            worker.send(_run(options, "things", one("Things", "things")))
            assert (await heard.end_of("things")).values == {}
            worker.send(_run(options, "measure", one("Measure")))
            assert (await heard.end_of("measure")).state == "done"
            told = [event for each in heard.messages if isinstance(each, Happened | Finished) for event in each.events]
            values = [json.loads(text).get("values") for _type, _node, text, _jpeg in told]
            assert {"loss": "NaN", "top": "Infinity"} in values
            worker.send(_run(options, "broken", "{"))
            finished = await heard.end_of("broken")
            assert finished.error is not None
            assert (finished.state, finished.error["code"]) == ("failed", "bad_workflow")

        shared.run(use)

    def test_one_that_cant_start_says_why(self, options: WorkerOptions, tmp_path: Path) -> None:
        bad = tmp_path / "bad_pack.py"
        bad.write_text("import os, sys\nprint('no licence found', flush=True)\nos._exit(5)\n")

        async def start() -> None:
            given = WorkerOptions("cpu", options.data, options.output, options.logs, [bad])
            with pytest.raises(WorkerGone, match=r"exit code 5 as it started\. no licence found"):
                await self.make(given, Heard()).start()

        asyncio.run(start())


def _options(folder: Path) -> WorkerOptions:
    return WorkerOptions("cpu", folder / "data", folder / "out", folder / "logs", [PACK])


def _run(options: WorkerOptions, job: str, workflow: str) -> Run:
    return Run(job, 1, workflow, None, str(options.output / job), job, [options.device])


def _use(make: MakeWorker, options: WorkerOptions, use: Callable[[Worker, Heard], Awaitable[None]]) -> None:
    async def main() -> None:
        async with _started(make, options) as (worker, heard):
            await use(worker, heard)

    asyncio.run(main())


@asynccontextmanager
async def _started(make: MakeWorker, options: WorkerOptions) -> Any:  # Any: as contextlib types it
    heard = Heard()
    worker = make(options, heard)
    ready = await worker.start()
    assert (ready.device, dict(ready.failures)) == ("cpu", {})
    assert ready.nodes > 5
    try:
        yield worker, heard
    finally:
        worker.kill()
        await worker.exited()
