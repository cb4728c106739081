"""What a worker is to the supervisor, wherever it runs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from graphengine.config import Precision
from graphengine.errors import GraphEngineError
from graphengine.workers.messages import Message, Ready

__all__ = ["Exit", "MakeWorker", "Worker", "WorkerGone", "WorkerOptions"]


class WorkerGone(GraphEngineError):
    """The worker ended, or can't be reached."""


@dataclass(frozen=True)
class WorkerOptions:
    """What a worker is started with.

    Attributes:
        packs: Files and folders with nodes, besides what is installed and in the data folder.
        logs: The folder for its log.
        precision: The format of loaded weights, where a node leaves it open.
        device_bytes: How much of the device it may use; all of it if None.
    """

    device: str
    data: Path
    output: Path
    logs: Path
    packs: Sequence[Path] = ()
    precision: Precision = "auto"
    device_bytes: int | None = None


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
            return f"signal {signal.Signals(-self.code).name}"
        except ValueError:
            return f"signal {-self.code}"


class Worker(Protocol):
    """Runs jobs, one at a time; what it has to say comes to the callback it was made with.

    ``tests/workers/conformance.py`` says what every kind of worker must do.
    """

    device: str

    async def start(self) -> Ready:
        """Start it and wait until jobs may come.

        Raises:
            WorkerGone: it ended before that, or took too long; nothing of it is left.
        """

    def send(self, message: Message) -> None:
        """Tell it something; what a worker that is gone is told is lost."""

    async def ask(self, what: str, about: object = None, *, timeout_s: float = 10) -> object:
        """Ask it something while it may be running a job.

        Raises:
            WorkerGone: it ended.
            TimeoutError: it did not answer in time.
            GraphEngineError: it could not answer.
        """

    @property
    def pid(self) -> int | None:
        """Its process; None if it has none on this host."""

    @property
    def log_place(self) -> tuple[str, int]:
        """The name of its log, and how many bytes have been written there."""

    @property
    def memory_bytes(self) -> int | None:
        """The memory that is resident; None if that can't be told."""

    def kill(self) -> None:
        """End it at once, with all processes that its nodes started."""

    async def exited(self) -> Exit:
        """Wait until it has ended and what it said before was passed on; nothing is passed on afterwards."""

    async def stop(self, grace_s: float) -> Exit:
        """Ask it to end after its job, and end it after that time."""


MakeWorker = Callable[[WorkerOptions, Callable[[Message], None]], Worker]
