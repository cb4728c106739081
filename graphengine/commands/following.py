"""Show a job that runs on a server as a run on this machine is shown."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter, ValidationError

from graphengine.commands.reports import report_error
from graphengine.connection import problems_in
from graphengine.console import EventLines, ProgressDisplay
from graphengine.core.events import AnyEvent, Event, JobFinished, NodeShowed
from graphengine.core.job import JobError
from graphengine.errors import Cancelled, GraphEngineError, InvalidWorkflow, NodeFailed
from graphengine.many import Case

if TYPE_CHECKING:
    from graphengine.client import Client
    from graphengine.core.job import Job, JobOutput
    from graphengine.core.workflow import Workflow

__all__ = ["CancelOnInterrupt", "Following", "exit_code", "print_values"]

DONE, FAILED = 0, 1

_EVENTS: TypeAdapter[Event] = TypeAdapter(AnyEvent)


class Following:
    """What is shown of a job: bars for people, events for programs, numbered as if it ran here."""

    def __init__(self, workflow: Workflow, *, as_json: bool) -> None:
        self._display = EventLines(sys.stdout) if as_json else ProgressDisplay(workflow)
        self._number = 0

    def __enter__(self) -> Following:
        if isinstance(self._display, ProgressDisplay):
            self._display.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if isinstance(self._display, ProgressDisplay):
            self._display.close()

    def say(self, kind: str, job_id: str, message: str) -> None:
        """Tell what only servers have to tell."""
        self._display.write({"type": kind, "job": job_id, "message": message})

    def follow(self, client: Client, job_id: str, *, shows_files: bool) -> Job:
        """Show events until the job has ended, and give it.

        Args:
            shows_files: Show the files that it writes as the server names them, below the job's folder there.
        """
        for event in client.events(job_id):
            match event["type"]:
                case "job_running" if event.get("attempt", 1) > 1 and isinstance(self._display, ProgressDisplay):
                    self._display.begin(Case(1, {}, ""))
                case "job_warning" | "worker_lost" as kind:
                    self.say(kind, job_id, str(event.get("message", "")))
                case "node_showed" if not shows_files:
                    continue
                case _:
                    self._show(event)
        return client.job(job_id)

    def finish(self, job: Job, fetched: Mapping[JobOutput, Path]) -> None:
        """Tell of the files that were fetched, and of the end, which on the server came before them."""
        for output, path in fetched.items():
            self._show(NodeShowed(number=0, node=output.node, path=str(path)).model_dump())
        seconds = (job.finished or 0.0) - (job.started or job.finished or 0.0)
        state: Literal["done", "failed", "cancelled"] = "failed"  # which poisoned ones are as well
        if job.state == "done" or job.state == "cancelled":
            state = job.state
        self._show(JobFinished(number=0, state=state, seconds=max(seconds, 0.0)).model_dump())

    def _show(self, fields: Mapping[str, Any]) -> None:  # Any: each event type's own fields
        """Show what is an event of a run here as well."""
        with suppress(ValidationError):
            event = _EVENTS.validate_python({**fields, "number": self._number + 1})
            self._number = event.number
            self._display.show(event)


class CancelOnInterrupt:
    """Let the first Ctrl-C stop a job in order, and the second end this program at once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._job_id = ""
        self._asked = False

    def __enter__(self) -> CancelOnInterrupt:
        self._before = signal.signal(signal.SIGINT, self._stop)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        signal.signal(signal.SIGINT, self._before)

    def cancels(self, job_id: str) -> None:
        """Say which job it is; if Ctrl-C came before that was known, it is stopped now."""
        self._job_id = job_id
        if self._asked:
            self._cancel()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.stderr.write("Stopping the job (Ctrl-C again leaves at once).\n")
        self._asked = True
        if self._job_id:  # beside what this interrupts, which goes on to hear of the job's end
            threading.Thread(target=self._cancel, daemon=True).start()

    def _cancel(self) -> None:
        with suppress(GraphEngineError):  # it ended just now, or the server doesn't answer, which is told elsewhere
            self._client.cancel(self._job_id)


def print_values(job: Job) -> None:
    """Print the job's declared outputs that are a line of text."""
    for name, value in job.values.items():
        if isinstance(value, bool | int | float | str):
            print(f"{name}: {value}")


def exit_code(job: Job, source: str, *, as_json: bool) -> int:
    """Say how a job ended, and why, as it is said of a run here.

    Raises:
        Cancelled: somebody stopped it.
        InvalidWorkflow: its worker found problems that the server didn't see.
    """
    if job.state == "done":
        return DONE
    if job.state == "cancelled":
        raise Cancelled
    error = job.error or JobError(code="failed", message="its server doesn't say why.")
    if error.code == "invalid_workflow":
        raise InvalidWorkflow(problems_in(error.extra.get("problems", ())), source)
    if "node" in error.extra:
        if not as_json:  # programs have heard of it as an event
            _report_node(error)
    else:
        remedy = f"\n  {error.remedy}" if error.remedy else ""
        report_error(GraphEngineError(f"job {job.id} failed: {error.message}{remedy}"), as_json=as_json)
    return FAILED


def _report_node(error: JobError) -> None:
    """Show where in its code a node broke, unless it refused its input in words of its own."""
    where = error.extra
    trace = str(where.get("traceback", ""))
    is_refusal = any(line.startswith("graphengine.errors.") for line in trace.splitlines())
    if trace and not is_refusal:
        sys.stderr.write(f"{trace}\n")
    failed = NodeFailed(str(where["node"]), str(where.get("node_type")), where.get("inputs", {}), error.message)
    sys.stderr.write(f"{failed}\n" + (f"  {error.remedy}\n" if error.remedy else ""))
