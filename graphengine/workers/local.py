"""A worker that is a process of this host, spoken to over its standard input and output.

It leads a process group of its own, so that what its nodes started ends with it. Besides its standard streams it has
a "lifeline", a pipe that nothing is ever written to: when the server dies, however it does, the kernel closes the
other end and kills the group, even while a node holds the interpreter.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import sys
from collections.abc import Callable
from typing import Any

from graphengine.errors import GraphEngineError
from graphengine.workers.logs import log_name, tail_of
from graphengine.workers.messages import HEADER_BYTES, Answer, Ask, Message, Ready, Stop, decode, encode, frame_size
from graphengine.workers.worker import Exit, Worker, WorkerGone, WorkerOptions

__all__ = ["Exit", "LocalWorker", "Worker", "WorkerGone", "WorkerOptions"]

logger = logging.getLogger(__name__)

_SECRET = re.compile(
    r"TOKEN(?!IZER)|SECRET|PASSW|PASSPHRASE|CREDENTIAL|COOKIE|KEY(_ID)?$|(^|_)(AUTH|PAT)(_|$)", re.IGNORECASE
)
_URL_WITH_PASSWORD = re.compile(r"://[^/@\s:]*:[^/@\s]+@")
_READY_TIMEOUT_S = 300
_DRAIN_S = 0.5  # for what a process said before it ended; it is in the pipe already


class LocalWorker:
    """A worker process of this host.

    Args:
        hear: Told of each message that answers no question.
    """

    def __init__(self, options: WorkerOptions, hear: Callable[[Message], None]) -> None:
        self.device = options.device
        self._options = options
        self._hear = hear
        self._log = options.logs / log_name(options.device)
        self._process: asyncio.subprocess.Process | None = None
        self._lifeline: int | None = None
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[Ready] = loop.create_future()
        self._code: asyncio.Future[int] = loop.create_future()
        self._questions: dict[int, asyncio.Future[Any]] = {}  # Any: JSON
        self._asked = 0
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> Ready:
        """Start the process and wait until its packs are loaded.

        Raises:
            WorkerGone: it ended before that, or took too long; nothing of it is left.
        """
        await self._spawn()
        self._reading = asyncio.create_task(self._read())
        started: list[asyncio.Future[Any]] = [self._ready, self._code]  # Any: of two types
        try:
            done, _ = await asyncio.wait(started, timeout=_READY_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            if self._ready.done() and self._ready.exception() is None:
                return self._ready.result()
        except asyncio.CancelledError:
            self.kill()
            await self.exited()
            raise
        self.kill()
        ended = await self.exited()
        if not done:
            raise WorkerGone(f"the worker for {self.device} was not ready after {_READY_TIMEOUT_S} s.")
        raise WorkerGone(f"the worker for {self.device} ended with {ended} as it started. {ended.log_tail}".strip())

    def send(self, message: Message) -> None:
        """Tell it something; what a process that has ended is told is lost."""
        if self._process is not None and self._process.stdin is not None and not self._code.done():
            with contextlib.suppress(ConnectionError, RuntimeError):
                self._process.stdin.write(encode(message))

    async def ask(self, what: str, about: object = None, *, timeout_s: float = 10) -> object:
        """Ask it something while it may be running a job.

        Raises:
            WorkerGone: it ended.
            TimeoutError: it did not answer in time.
            GraphEngineError: it could not answer.
        """
        if self._reading is None or self._reading.done():
            raise WorkerGone(f"the worker for {self.device} has ended.")
        self._asked += 1
        question = Ask(self._asked, what, about)
        future = self._questions[question.number] = asyncio.get_running_loop().create_future()
        self.send(question)
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

        if self._process is None or self._code.done():
            return None
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.Error:
            return None

    def kill(self) -> None:
        """End the process at once, with all that its nodes started."""
        if self._process is not None and not self._code.done():
            _kill_with_group(self._process.pid)

    async def exited(self) -> Exit:
        """Wait until the process has ended and what it said before was passed on."""
        assert self._process is not None, "start it first"
        assert self._reading is not None, "start it first"
        code = await asyncio.shield(self._code)
        await asyncio.wait([self._reading], timeout=_DRAIN_S)
        self._reading.cancel()  # what its nodes started may hold the pipe open
        await asyncio.wait([self._reading])
        self._process._transport.close()  # type: ignore[attr-defined]  # asyncio has no public way to let go of pipes
        return Exit(code, tail_of(self._log))

    async def stop(self, grace_s: float) -> Exit:
        """Ask it to end after its job, and end it after that time."""
        self.send(Stop())
        await asyncio.wait([self._code], timeout=grace_s)
        self.kill()
        return await self.exited()

    async def _spawn(self) -> None:
        # The kernel also ends a worker when the thread ends that started it: this must be the main one.
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as ours:
            log = self._open_log()
            ours.callback(os.close, log)
            theirs, self._lifeline = os.pipe()
            ours.callback(os.close, theirs)
            try:
                transport, protocol = await loop.subprocess_exec(
                    lambda: _Watcher(loop, self._ended),
                    sys.executable,
                    "-P",  # files of the current folder hide no module
                    "-m",
                    "graphengine.workers.process",
                    json.dumps(self._given(theirs)),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                    env=_environment(),
                    pass_fds=() if os.name == "nt" else (theirs,),
                    process_group=0,
                )
            except BaseException:
                self._let_go()
                raise
        self._process = asyncio.subprocess.Process(transport, protocol, loop)

    def _given(self, lifeline: int) -> dict[str, object]:
        return {
            "device": self.device,
            "precision": self._options.precision,
            "device_bytes": self._options.device_bytes,
            "data": str(self._options.data),
            "output": str(self._options.output),
            "packs": [str(pack) for pack in self._options.packs],
            "lifeline": lifeline,
        }

    def _open_log(self) -> int:
        """Open its log, for what it says from its first moment on."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        return os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _ended(self, pid: int, code: int) -> None:
        """Note that the process has ended, and end what its nodes left."""
        _kill_group(pid)
        self._code.set_result(code)
        self._let_go()

    def _let_go(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None

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
        except Exception:  # a border: it says what is no message, so nothing it says can be trusted any more
            logger.exception("the worker for %s said what can't be understood and is ended", self.device)
            self.kill()
        finally:
            self._give_up_questions()

    def _give_up_questions(self) -> None:
        gone = WorkerGone(f"the worker for {self.device} ended.")
        for future in (self._ready, *self._questions.values()):
            if not future.done():
                future.set_exception(gone)
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


class _Watcher(asyncio.subprocess.SubprocessStreamProtocol):
    """Tells of a process's end at once: ``Process.wait`` waits for its pipes as well, which others may hold open."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ended: Callable[[int, int], None]) -> None:
        super().__init__(limit=2**16, loop=loop)
        self._tell = ended

    def process_exited(self) -> None:
        """Called by asyncio."""
        transport = self._transport  # type: ignore[attr-defined]  # of asyncio's own class
        self._tell(transport.get_pid(), transport.get_returncode())
        super().process_exited()


def _kill_with_group(leader: int) -> None:
    """End a process and what it started.

    Not by ``Process.kill``: that looks first whether the process has ended, and who looks first is told its exit code,
    which asyncio then waits for in vain.
    """
    _kill_group(leader)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(leader, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)  # a node may have left the group


def _kill_group(leader: int) -> None:
    if os.name != "nt":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)


def _environment() -> dict[str, str]:
    """Give the environment without what looks like a secret: packs' code needs none of the server's."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not _SECRET.search(name) and (name.lower().endswith("_proxy") or not _URL_WITH_PASSWORD.search(value))
    }
    kept["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    kept["GRAPHENGINE_PARENT"] = str(os.getpid())
    return kept
