"""A worker as the supervisor sees it: a process of this host, spoken to over its standard input and output."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from graphengine.errors import GraphEngineError
from graphengine.workers.messages import (
    HEADER_BYTES,
    Answer,
    Ask,
    Message,
    Ready,
    Stop,
    decode,
    encode,
    frame_size,
)

__all__ = ["Exit", "LocalWorker", "Worker", "WorkerGone", "WorkerOptions"]

_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|PRIVATE_KEY|COOKIE", re.IGNORECASE)
_READY_TIMEOUT_S = 300
_TAIL_BYTES = 4000


class WorkerGone(GraphEngineError):
    """The worker ended, or can't be reached."""


@dataclass(frozen=True)
class WorkerOptions:
    """What a worker is started with.

    Attributes:
        packs: Files and folders with nodes, besides what is installed and in the data folder.
        logs: The folder for its log.
    """

    device: str
    data: Path
    output: Path
    logs: Path
    packs: Sequence[Path] = ()


@dataclass(frozen=True)
class Exit:
    """How a worker's process ended.

    Attributes:
        code: Its exit code; negative: the signal that ended it.
        log_tail: What it wrote last.
    """

    code: int
    log_tail: str

    def __str__(self) -> str:
        if self.code >= 0:
            return f"exit code {self.code}"
        try:
            name = signal.Signals(-self.code).name
        except ValueError:
            name = f"signal {-self.code}"
        return f"signal {name}" if not name.startswith("signal") else name


class Worker(Protocol):
    """Runs jobs, one at a time; what it has to say comes to the callback it was made with."""

    device: str

    async def start(self) -> Ready:
        """Start it and wait until jobs may come."""

    def send(self, message: Message) -> None:
        """Tell it something; what a worker that is gone is told is lost."""

    async def ask(self, what: str, about: object = None, *, timeout_s: float = 10) -> object:
        """Ask it something while it may be running a job."""

    @property
    def log_place(self) -> tuple[str, int]:
        """The name of its log, and how much has been written there."""

    @property
    def memory_bytes(self) -> int | None:
        """The memory that it takes; None if that can't be told."""

    def kill(self) -> None:
        """End it at once."""

    async def exited(self) -> Exit:
        """Wait until it has ended."""

    async def stop(self, grace_s: float) -> Exit:
        """Ask it to end after its job, and end it after that time."""


class LocalWorker:
    """A worker process of this host.

    Args:
        hear: Told of each message that answers no question.
    """

    def __init__(self, options: WorkerOptions, hear: Callable[[Message], None]) -> None:
        self.device = options.device
        self._options = options
        self._hear = hear
        self._log = options.logs / f"worker-{options.device.replace(':', '-')}-{time.time_ns() // 1_000_000}.log"
        self._process: asyncio.subprocess.Process | None = None
        self._ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self._questions: dict[int, asyncio.Future[Any]] = {}  # Any: JSON
        self._asked = 0
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> Ready:
        """Start the process and wait until its packs are loaded.

        Raises:
            WorkerGone: it ended before that, or took too long.
        """
        given = {
            "device": self.device,
            "data": str(self._options.data),
            "output": str(self._options.output),
            "packs": [str(pack) for pack in self._options.packs],
            "log": str(self._log),
        }
        # The kernel ends a worker when the thread ends that started it: this must be the main one.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # files of the current folder hide no module
            "-m",
            "graphengine.workers.process",
            json.dumps(given),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=_environment(),
        )
        self._reading = asyncio.create_task(self._read())
        try:
            return await asyncio.wait_for(asyncio.shield(self._ready), _READY_TIMEOUT_S)
        except TimeoutError:
            self.kill()
            raise WorkerGone(f"the worker for {self.device} was not ready after {_READY_TIMEOUT_S} s.") from None

    def send(self, message: Message) -> None:
        """Tell it something; what a process that has ended is told is lost."""
        if self._process is not None and self._process.stdin is not None and self._process.returncode is None:
            with contextlib.suppress(ConnectionError, RuntimeError):
                self._process.stdin.write(encode(message))

    async def ask(self, what: str, about: object = None, *, timeout_s: float = 10) -> object:
        """Ask it something while it may be running a job.

        Raises:
            WorkerGone: it ended.
            TimeoutError: it did not answer in time.
            GraphEngineError: it could not answer.
        """
        self._asked += 1
        question = Ask(self._asked, what, about)
        future = self._questions[question.number] = asyncio.get_running_loop().create_future()
        self.send(question)
        if self._reading is None or self._reading.done():
            raise WorkerGone(f"the worker for {self.device} has ended.")
        try:
            return await asyncio.wait_for(future, timeout_s)
        finally:
            self._questions.pop(question.number, None)

    @property
    def log_place(self) -> tuple[str, int]:
        """The name of its log, and how many bytes have been written there."""
        try:
            return self._log.name, self._log.stat().st_size
        except OSError:
            return self._log.name, 0

    @property
    def pid(self) -> int | None:
        """Its process id."""
        return None if self._process is None else self._process.pid

    @property
    def memory_bytes(self) -> int | None:
        """The memory that is resident; None if the process has ended."""
        import psutil

        if self._process is None or self._process.returncode is not None:
            return None
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.Error:
            return None

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def exited(self) -> Exit:
        """Wait until the process has ended."""
        assert self._process is not None, "start it first"
        code = await self._process.wait()
        if self._reading is not None:  # what it said last comes before that it ended
            await asyncio.wait([self._reading], timeout=1)
        return Exit(code, self._log_tail())

    async def stop(self, grace_s: float) -> Exit:
        """Ask it to end after its job, and end it after that time."""
        self.send(Stop())
        ended = asyncio.ensure_future(self.exited())
        done, _ = await asyncio.wait([ended], timeout=grace_s)
        if not done:
            self.kill()
        return await ended

    async def _read(self) -> None:
        """Pass on what it says until the pipe closes."""
        assert self._process is not None
        stream = self._process.stdout
        assert stream is not None
        try:
            while True:
                size = frame_size(await stream.readexactly(HEADER_BYTES))
                self._take(decode(await stream.readexactly(size)))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it ended
        except ValueError:  # not one of our frames: it can't be understood any more
            self.kill()
        gone = WorkerGone(f"the worker for {self.device} ended. {self._log_tail()}".strip())
        for future in (self._ready, *self._questions.values()):
            if not future.done():
                future.set_exception(gone)
        if self._ready.done():
            self._ready.exception()  # it may be that nobody waits for it any more

    def _take(self, message: Message) -> None:
        match message:
            case Ready():
                if not self._ready.done():
                    self._ready.set_result(message)
            case Answer():
                future = self._questions.pop(message.number, None)
                if future is not None and not future.done():
                    if message.error:
                        future.set_exception(GraphEngineError(message.error))
                    else:
                        future.set_result(message.body)
            case _:
                self._hear(message)

    def _log_tail(self) -> str:
        try:
            with self._log.open("rb") as file:
                file.seek(max(0, self._log.stat().st_size - _TAIL_BYTES))
                return file.read().decode(errors="replace").strip()
        except OSError:
            return ""


def _environment() -> dict[str, str]:
    """Give the environment without what looks like a secret: packs' code needs none of the server's."""
    kept = {name: value for name, value in os.environ.items() if not _SECRET.search(name)}
    kept["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    kept["GRAPHENGINE_PARENT"] = str(os.getpid())
    return kept
