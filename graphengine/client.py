"""A server for programs: submit a workflow, follow its job, fetch what it wrote. ::

client = Client("http://127.0.0.1:8188")
job = client.submit(workflow, inputs={"prompt": "a cat"}).job
for path in client.download(client.wait(job.id), Path("output")).values():
    print(path)

Several threads may use one client.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from pydantic import ValidationError

from graphengine.connection import Connection, Patience, ServerError, ServerUnreachable, problems_in
from graphengine.core.definition import NodeDefinition
from graphengine.core.job import Job, JobOutput
from graphengine.core.registry import Definitions
from graphengine.core.workflow import Workflow, workflow_of
from graphengine.downloads import find_download, path_of, save_download
from graphengine.errors import GraphEngineError, Problem

__all__ = ["DEFAULT_URL", "Client", "Log", "ServerError", "ServerUnreachable", "Submitted"]

DEFAULT_URL = "http://127.0.0.1:8188"

_POLL_S = 30.0
_SILENCE_S = 45.0  # a stream says something every 15 s; after these its line is dead
_MOST_ON_A_PAGE = 500
_CHUNK_BYTES = 256 * 1024


class Submitted(NamedTuple):
    """A job that a server took; ``is_new`` is False where its idempotency key had been used before."""

    job: Job
    is_new: bool
    warnings: Sequence[Problem]


class Log(NamedTuple):
    """What a job's last attempt printed; ``truncated`` if only its end is known."""

    text: str
    truncated: bool


class Client:
    """One server, and who asks it. Everything raises ``ServerError`` and ``ServerUnreachable``.

    Args:
        url: Where it listens, without ``/api/v1``.
        token: What lets one in; it appears in no message.
        timeout_s: How long the server may be silent.
        retries: How often in a row a lost connection is made again while waiting for a job or following it.

    Raises:
        GraphEngineError: for what can't be an address or a token.
    """

    def __init__(
        self, url: str = DEFAULT_URL, token: str | None = None, *, timeout_s: float = 30.0, retries: int = 10
    ) -> None:
        self._connection = Connection(url, token, timeout_s)
        self._retries = retries

    @property
    def url(self) -> str:
        """Where the server listens."""
        return self._connection.url

    def submit(
        self,
        workflow: Workflow | Mapping[str, Any],  # Any: JSON
        *,
        inputs: Mapping[str, Any] | None = None,  # Any: JSON
        name: str = "",
        priority: int = 0,
        targets: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> Submitted:
        """Queue a workflow. If the connection is lost meanwhile, the same job is asked for once more.

        Raises:
            ServerError: it can't run; ``problems`` has all reasons.
        """
        key = idempotency_key or secrets.token_hex(16)
        body: dict[str, object] = {"name": name, "priority": priority, "idempotency_key": key}
        body |= {"inputs": dict(inputs or {}), "targets": None if targets is None else list(targets)}
        sent = _dumps(body, workflow)
        try:
            answer = self._connection.json("POST", "/jobs", sent)
        except ServerUnreachable:
            answer = self._connection.json("POST", "/jobs", sent)
        return Submitted(self._job(answer), bool(answer.get("is_new", True)), problems_in(answer.get("warnings", ())))

    def job(self, job_id: str) -> Job:
        """Give a job as it is now."""
        return self._job(self._connection.json("GET", _path(job_id)))

    def jobs(self, *, states: Sequence[str] = (), text: str = "", limit: int = 50) -> list[Job]:
        """List jobs, the newest first.

        Args:
            states: Only jobs in one of these; all if there are none.
            text: Only jobs whose name contains it.
        """
        found: list[Job] = []
        before: list[tuple[str, object]] = []
        while True:
            query = [*(("state", each) for each in states), ("text", text), *before]
            query.append(("limit", min(limit - len(found), _MOST_ON_A_PAGE)))
            page = self._connection.json("GET", f"/jobs?{urlencode(query)}")
            found += [self._job({"job": each}) for each in page.get("jobs", ())]
            if page.get("next") is None or len(found) >= limit:
                return found
            before = [("before", page["next"])]

    def wait(self, job_id: str, timeout_s: float | None = None) -> Job:
        """Wait until a job has ended, and give it; after the timeout, as it is then."""
        patience = Patience(self._retries)
        deadline = float("inf") if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left = min(max(deadline - time.monotonic(), 0.0), _POLL_S)
            try:
                path = f"{_path(job_id)}?wait={left:.3f}"
                job = self._job(self._connection.json("GET", path, timeout_s=left))
            except GraphEngineError as error:
                patience.spend(error)
                continue
            patience.renew()
            if job.is_over or time.monotonic() >= deadline:
                return job

    def events(self, job_id: str, after: int = 0) -> Iterator[dict[str, Any]]:  # Any: each event type's own fields
        """Give what happens in a job, from a number on, until it has ended; a lost connection is made again."""
        patience = Patience(self._retries)
        while True:
            lost: GraphEngineError = ServerUnreachable(f"the connection to {self.url} was lost.")
            try:
                for number, event in self._stream(job_id, after):
                    patience.renew()
                    after = number
                    yield event
                    if event["type"] == "job_ended":
                        return
                job = self.job(job_id)  # a server that stops ends its streams in order
                if job.is_over and job.last_event <= after:
                    return
            except GraphEngineError as error:
                lost = error
            patience.spend(lost)

    def cancel(self, job_id: str) -> Job:
        """Stop a job: at once while it waits, and soon if it runs."""
        return self._job(self._connection.json("POST", _path(job_id, "/cancel")))

    def retry(self, job_id: str) -> Job:
        """Queue a job that ended once more, and give the new one."""
        return self._job(self._connection.json("POST", _path(job_id, "/retry")))

    def log(self, job_id: str) -> Log:
        """Give what a job's nodes printed, up to its last MiB."""
        answer = self._connection.json("GET", _path(job_id, "/log"))
        return Log(str(answer.get("text", "")), bool(answer.get("truncated")))

    def workflow(self, job_id: str) -> Workflow:
        """Give the workflow that a job runs, with its settings."""
        return workflow_of(self._connection.json("GET", _path(job_id, "/workflow")), f"job {job_id}")

    def nodes(self) -> Definitions:
        """Give the definitions of the server's nodes."""
        answer = self._connection.json("GET", "/nodes")
        try:
            nodes = answer["nodes"].values()
            return Definitions.collect([NodeDefinition.model_validate(each, extra="ignore") for each in nodes])
        except (ValidationError, KeyError, AttributeError):
            raise self._connection.strange() from None

    def download(self, job: Job, folder: Path) -> dict[JobOutput, Path]:
        """Fetch the files that a job wrote into a folder: each whole or not at all.

        As in a run on this machine, a numbered picture gets the next free number, another file takes the place of one
        of its name, and what is there already stays. Previews and folders remain with the server.

        Raises:
            GraphEngineError: a file can't be written.
        """
        fetched: dict[JobOutput, Path] = {}
        for output in job.outputs:
            if output.asset and not output.temporary:
                path = path_of(output, folder)
                there = find_download(output, path, fetched.values())
                saved = there or save_download(output, path, self._chunks(f"/assets/{output.asset}"))
                if saved is None:
                    raise ServerUnreachable(f"{output.path} did not arrive whole from {self.url}.", "Fetch it again.")
                fetched[output] = saved
        return fetched

    def _chunks(self, path: str) -> Iterator[bytes]:
        with self._connection.open("GET", path) as answer:
            while chunk := answer.read(_CHUNK_BYTES):
                yield chunk

    def _stream(self, job_id: str, after: int) -> Iterator[tuple[int, dict[str, Any]]]:  # Any: as in events
        """Read server-sent events, only whole ones, until the connection ends."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        number, data = after, b""
        with self._connection.open("GET", _path(job_id, "/events"), headers=headers, timeout_s=_SILENCE_S) as answer:
            for line in answer:
                field, _, value = line.strip().partition(b": ")
                if field == b"id":
                    number = int(value)
                elif field == b"data":
                    data = value
                elif line == b"\n" and data:
                    event = json.loads(data)
                    data = b""
                    if "type" in event:  # one without says that this reader was too slow
                        yield number, event

    def _job(self, answer: Mapping[str, Any]) -> Job:  # Any: JSON
        """Read a job; the server leaves out what is None, and a newer one may tell more."""
        try:
            return Job.model_validate({**dict.fromkeys(Job.model_fields), **answer["job"]}, extra="ignore")
        except (ValidationError, KeyError, TypeError):
            raise self._connection.strange() from None


def _path(job_id: str, what: str = "") -> str:
    return f"/jobs/{quote(job_id, safe='')}{what}"


def _dumps(body: Mapping[str, object], workflow: Workflow | Mapping[str, Any]) -> bytes:  # Any: JSON
    try:
        document = json.loads(workflow.dump(compact=True)) if isinstance(workflow, Workflow) else dict(workflow)
        return json.dumps({**body, "workflow": document}, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise GraphEngineError(
            f"the workflow can't be sent as JSON: {error}.\n  Give finite numbers, texts, lists and objects."
        ) from None
