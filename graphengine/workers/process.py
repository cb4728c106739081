"""A worker's own process: ``python -m graphengine.workers.process``, started by the supervisor.

    main thread      loads packs, then runs one job after the other
    control thread   reads the pipe: cancels, answers pings; ends the process when the pipe closes
    answer thread    answers questions that may take a while, such as what a run would do
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
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

from graphengine.core.events import WrittenEvent
from graphengine.errors import GraphEngineError
from graphengine.orphans import end_with_parent
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
    Watch,
    encode,
    read_frame,
)

if TYPE_CHECKING:
    from graphengine.workers.job_runner import JobRunner

__all__ = ["main"]

_SEND_EVERY_S = 0.015
_REST_AFTER_S = 0.1
_F_SETSIG = 10  # Linux's; Python has no name for it


def main() -> None:
    """Run jobs until the pipe closes or says to stop."""
    code = 1
    try:
        _serve(json.loads(sys.argv[1]))
        code = 0
    except BaseException:  # a border: the supervisor starts another one
        traceback.print_exc()
    _flush_prints()
    os._exit(code)  # packs may have left threads that would keep the process


def _serve(options: Mapping[str, Any]) -> None:  # Any: JSON
    channel_in, channel_out = _take_over_pipes()
    _die_with_parent(options["lifeline"])
    outbox = Outbox(channel_out)
    from graphengine.workers.job_runner import JobRunner

    runner = JobRunner.from_options(options, outbox.add)
    control = _Control(channel_in, outbox, runner)
    control.start()
    failures = {failure.pack: failure.error for failure in runner.registry.definitions.failures}
    outbox.send(Ready(os.getpid(), options["device"], len(runner.registry.definitions.by_id), failures))
    while (message := control.next_task()) is not None:
        _do(message, runner, outbox)
    runner.close()


def _do(message: Message, runner: JobRunner, outbox: Outbox) -> None:
    match message:
        case Run():
            finished = runner.run(message)
            _flush_prints()  # the job's part of the log ends here
            outbox.finish(finished)
        case FreeMemory():
            runner.free_memory()
        case ReloadPacks():
            try:
                runner.reload_packs()
            except OSError:  # a pack's files are being replaced; there is news when that is done
                traceback.print_exc()


def _flush_prints() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # the disk is full, or a node closed it
            stream.flush()


def _take_over_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep the pipes to ourselves and send all that is printed to the log, which standard error is already."""
    channel_in, channel_out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(os.fdopen(number, "wb", closefd=False), "utf-8", "replace", line_buffering=True)
        for number in (1, 2)
    )
    faulthandler.enable(sys.stderr)
    return channel_in, channel_out


def _die_with_parent(lifeline: int) -> None:
    """Ask the kernel, where it can, to kill us when the server dies, even while a node holds the interpreter."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the server, which tells us
    end_with_parent(int(os.environ["GRAPHENGINE_PARENT"]))
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            _hold_on_to(lifeline)


def _hold_on_to(lifeline: int) -> None:
    """Have our process group killed, all that nodes started included, when the server's end of a pipe closes.

    Nothing is ever written to it, so the first thing that happens there is its end. The kernel tells of it by the
    signal that is asked for here.
    """
    import fcntl

    if os.getpgrp() == os.getpid():
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, _F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


class Outbox:
    """Sends messages; events of one node's progress that wait are replaced by the newest."""

    def __init__(self, channel: BinaryIO) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._waiting: list[WrittenEvent] = []
        self._replaceable: dict[tuple[str, str], int] = {}
        self._job = ("", 0)
        self._filled = threading.Event()
        threading.Thread(target=self._send_regularly, name="sender", daemon=True).start()

    def send(self, message: Message) -> None:
        """Send one message now, after what waits."""
        with self._lock:
            self._flush()
            self._write(message)

    def add(self, job: str, attempt: int, event: WrittenEvent) -> None:
        """Add an event of an attempt, to be sent soon."""
        with self._lock:
            if self._job != (job, attempt):
                self._flush()
                self._job = (job, attempt)
            if event[0] in ("node_progress", "node_preview"):
                self._replace(event)
            else:
                self._waiting.append(event)
                self._replaceable.clear()  # nothing moves across it
        if not self._filled.is_set():
            self._filled.set()

    def finish(self, finished: Finished) -> None:
        """Send the end of an attempt with the events that wait, in one message."""
        with self._lock:
            if self._job != (finished.job, finished.attempt):  # a thread that an earlier job left speaks of that one
                self._flush()
            events, self._waiting = self._waiting, []
            self._replaceable.clear()
            self._write(replace(finished, events=events))

    def _replace(self, event: WrittenEvent) -> None:
        key = event[:2]
        place = self._replaceable.get(key)
        if place is None:
            self._replaceable[key] = len(self._waiting)
            self._waiting.append(event)
        else:
            self._waiting[place] = event

    def _send_regularly(self) -> None:
        """Send what waits, again and again while there is something: to be woken costs the thread that runs nodes."""
        while True:
            self._filled.wait()
            time.sleep(_SEND_EVERY_S)
            with self._lock:
                if not self._waiting:
                    self._filled.clear()
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
    """What must work while a job runs."""

    def __init__(self, channel: BinaryIO, outbox: Outbox, runner: JobRunner) -> None:
        self._tasks: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._questions: queue.SimpleQueue[Ask] = queue.SimpleQueue()
        self._channel = channel
        self._outbox = outbox
        self._runner = runner
        self._answers: Mapping[str, Callable[[Any], Any]] = runner.answers()  # Any: JSON

    def start(self) -> None:
        """Begin to listen."""
        threading.Thread(target=self._listen, name="control", daemon=True).start()
        threading.Thread(target=self._answer_all, name="answers", daemon=True).start()

    def next_task(self) -> Message | None:
        """Wait for what to do next, and use the time if that takes a moment; None for the end."""
        try:
            return self._tasks.get(timeout=_REST_AFTER_S)
        except queue.Empty:
            self._runner.rest()
            return self._tasks.get()

    def _listen(self) -> None:
        """Read messages until the pipe closes."""
        code = 1
        try:
            while (message := read_frame(self._channel)) is not None:
                self._hear(message)
            code = 0
        except BaseException:  # a border: nothing could stop a job any more
            traceback.print_exc()
        finally:
            os._exit(code)

    def _hear(self, message: Message) -> None:
        match message:
            case Cancel():
                self._runner.cancel(message.job, message.attempt)
            case Watch():
                self._runner.watch(message)
            case Ask(what="ping"):
                self._outbox.send(Answer(message.number, "pong"))
            case Ask():
                self._questions.put(message)
            case Stop():
                self._tasks.put(None)
            case _:
                self._tasks.put(message)

    def _answer_all(self) -> None:
        while True:
            question = self._questions.get()
            self._outbox.send(self._answer(question))

    def _answer(self, question: Ask) -> Answer:
        answer = self._answers.get(question.what)
        if answer is None:
            return Answer(question.number, None, f"nobody here can answer {question.what!r}.")
        try:
            return Answer(question.number, answer(question.about))
        except GraphEngineError as error:
            return Answer(question.number, None, str(error))
        except BaseException as error:  # a border: a pack's code may raise anything, and call exit()
            traceback.print_exc()
            return Answer(question.number, None, f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
