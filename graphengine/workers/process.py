"""A worker's own process: ``python -m graphengine.workers.process``, started by the supervisor.

    main thread      loads packs, then runs one job after the other
    control thread   reads the pipe: cancels, answers questions; ends the process when the pipe closes
    sender thread    sends what happens every few milliseconds, so that a busy graph does not flood the pipe

Standard output belongs to the pipe: what nodes print goes to the log, as does what the interpreter says in a crash.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from graphengine.workers.messages import (
    Answer,
    Ask,
    Cancel,
    Finished,
    FreeMemory,
    Happened,
    Message,
    Ready,
    ReloadPacks,
    Run,
    Stop,
    encode,
    read_frame,
)

if TYPE_CHECKING:
    from graphengine.workers.job_runner import JobRunner

__all__ = ["main"]

_SEND_EVERY_S = 0.015
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run jobs until the pipe closes or says to stop."""
    options = json.loads(sys.argv[1])
    channel_in, channel_out = _take_over_pipes(Path(options["log"]))
    _die_with_parent()
    outbox = Outbox(channel_out)
    from graphengine.workers.job_runner import JobRunner

    runner = JobRunner.from_options(options, outbox.add)
    control = _Control(channel_in, outbox, runner)
    threading.Thread(target=control.listen, name="control", daemon=True).start()
    failures = {failure.pack: failure.error for failure in runner.registry.definitions.failures}
    outbox.send(Ready(os.getpid(), options["device"], len(runner.registry.definitions.by_id), failures))
    while (message := control.tasks.get()) is not None:
        _do(message, runner, outbox)
    runner.close()
    os._exit(0)  # packs may have left threads that would keep the process


def _do(message: Message, runner: JobRunner, outbox: Outbox) -> None:
    match message:
        case Run():
            finished = runner.run(message)
            outbox.finish(finished)
        case FreeMemory():
            runner.free_memory()
        case ReloadPacks():
            runner.reload_packs()


def _take_over_pipes(log: Path) -> tuple[BinaryIO, BinaryIO]:
    """Keep the pipes to ourselves and send all that is printed to the log."""
    channel_in, channel_out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    log.parent.mkdir(parents=True, exist_ok=True)
    log_file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log_file, 1), (log_file, 2)):
        os.dup2(source, target)
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(os.fdopen(number, "wb", closefd=False), "utf-8", "replace", line_buffering=True)
        for number in (1, 2)
    )
    faulthandler.enable(sys.stderr)
    return channel_in, channel_out


def _die_with_parent() -> None:
    """Ask the kernel, where it can, to kill us when the server dies, even while a node holds the interpreter."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the server, which tells us
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1 and os.environ.get("GRAPHENGINE_PARENT") != "1":  # it died before we asked
        os._exit(1)


class Outbox:
    """Sends messages; events of one node's progress that wait are replaced by the newest."""

    def __init__(self, channel: BinaryIO) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._waiting: list[dict[str, Any]] = []  # Any: JSON and JPEG bytes
        self._replaceable: dict[tuple[str, str], int] = {}
        self._job = ("", 0)
        self._filled = threading.Event()
        threading.Thread(target=self._send_regularly, name="sender", daemon=True).start()

    def send(self, message: Message) -> None:
        """Send one message now, after what waits."""
        with self._lock:
            self._flush()
            self._write(message)

    def begin(self, job: str, attempt: int) -> None:
        """Say which attempt the next events belong to."""
        with self._lock:
            self._job = (job, attempt)

    def add(self, job: str, attempt: int, event: dict[str, Any]) -> None:  # Any: as above
        """Add an event of an attempt, to be sent soon."""
        with self._lock:
            if self._job != (job, attempt):
                self._flush()
                self._job = (job, attempt)
            if event["type"] in ("node_progress", "node_preview"):
                self._replace(event)
            else:
                self._waiting.append(event)
                self._replaceable.clear()  # nothing moves across it
        if not self._filled.is_set():
            self._filled.set()

    def finish(self, finished: Finished) -> None:
        """Send the end of an attempt with the events that wait, in one message."""
        with self._lock:
            events, self._waiting = self._waiting, []
            self._replaceable.clear()
            fields = {name: getattr(finished, name) for name in finished.__dataclass_fields__}
            self._write(Finished(**(fields | {"events": events})))

    def _replace(self, event: dict[str, Any]) -> None:  # Any: as above
        key = (event["type"], event["node"])
        place = self._replaceable.get(key)
        if place is None:
            self._replaceable[key] = len(self._waiting)
            self._waiting.append(event)
        else:
            self._waiting[place] = event

    def _send_regularly(self) -> None:
        while True:
            self._filled.wait()
            threading.Event().wait(_SEND_EVERY_S)
            self._filled.clear()
            with self._lock:
                self._flush()

    def _flush(self) -> None:
        if self._waiting:
            events, self._waiting = self._waiting, []
            self._replaceable.clear()
            self._write(Happened(*self._job, events))

    def _write(self, message: Message) -> None:
        try:
            frame = memoryview(encode(message))
            while frame:
                frame = frame[self._channel.write(frame) or 0 :]
        except OSError:  # the server is gone
            os._exit(1)


class _Control:
    """The control thread: what must work while a job runs."""

    def __init__(self, channel: BinaryIO, outbox: Outbox, runner: JobRunner) -> None:
        self.tasks: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._channel = channel
        self._outbox = outbox
        self._runner = runner
        self._answers: Mapping[str, Callable[[Any], Any]] = runner.answers()  # Any: JSON

    def listen(self) -> None:
        """Read messages until the pipe closes."""
        while (message := read_frame(self._channel)) is not None:
            match message:
                case Cancel():
                    self._runner.cancel(message.job, message.attempt)
                case Ask():
                    self._outbox.send(self._answer(message))
                case Stop():
                    self.tasks.put(None)
                case _:
                    self.tasks.put(message)
        os._exit(0)

    def _answer(self, question: Ask) -> Answer:
        try:
            return Answer(question.number, self._answers[question.what](question.about))
        except Exception as error:  # a border: a pack's code may raise anything
            traceback.print_exc()
            return Answer(question.number, None, f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
