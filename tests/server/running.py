"""A real server in a process of its own, and plain requests to it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

from graphengine.server.tokens import TokenStore
from tests.known_definitions import share_definitions

__all__ = ["PACK", "Json", "Reply", "Server", "one_node", "running", "workflow"]

PACK = Path(__file__).parent / "served_pack.py"
PREFIX = "/api/v1"

Json = Any  # Any: JSON

_START_S = 90.0
_STOP_S = 8.0


@dataclass(frozen=True)
class Reply:
    """What the server answered; header names are small."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem, which has to be one in its form."""
        assert self.headers["content-type"] == "application/problem+json", (self.status, self.headers, self.body)
        problem = self.json
        assert problem["status"] == self.status
        assert {"type", "title", "code"} <= problem.keys()
        return str(problem["code"])


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        tokens: By name, which is the owner's too.
    """

    host: str
    port: int
    data: Path
    pid: int
    tokens: Mapping[str, str] = field(default_factory=dict)

    def ask(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        as_: str | None = None,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request below the API's prefix, or anywhere if the path starts with two slashes.

        Args:
            body: Sent as JSON, unless it is None.
            as_: Whose token to send.
            raw: A body that is sent as it is.
        """
        with self.open(method, path, body, as_=as_, raw=raw, headers=headers) as answer:
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    @contextmanager
    def open(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        as_: str | None = None,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[HTTPResponse]:
        """Send a request as ``ask`` does, and read the answer oneself."""
        sent = dict(headers or {})
        if body is not None:
            raw = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        if as_ is not None:
            sent["Authorization"] = f"Bearer {self.tokens[as_]}"
        connection = HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path[1:] if path.startswith("//") else PREFIX + path, raw, sent)
            with connection.getresponse() as answer:
                yield answer
        finally:
            connection.close()

    def submit(self, document: Json, *, as_: str | None = None, **fields: Json) -> str:
        """Queue a workflow, and give the job's id."""
        reply = self.ask("POST", "/jobs", {"workflow": document, **fields}, as_=as_)
        assert reply.status == 201, reply.body
        return str(reply.json["job"]["id"])

    def job(self, id_: str, *, as_: str | None = None) -> Json:
        """Give a job."""
        return self.ask("GET", f"/jobs/{id_}", as_=as_).json["job"]

    def end_of(self, id_: str, *, as_: str | None = None) -> Json:
        """Wait for a job's end, and give the job."""
        job = self.ask("GET", f"/jobs/{id_}?wait=25", as_=as_).json["job"]
        assert job["finished"] is not None, job
        return job

    def until_running(self, id_: str, *, as_: str | None = None) -> None:
        """Wait until a job runs."""
        until(lambda: self.job(id_, as_=as_)["state"] == "running")


def until(condition: Any, seconds: float = 15.0) -> None:  # Any: a function whose truth counts
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to be in time"
        time.sleep(0.02)


def workflow(nodes: Mapping[str, tuple[str, Json]], **fields: Json) -> Json:
    """Make a workflow of nodes: id, type and inputs."""
    shown = {id_: {"type": type_, "inputs": dict(inputs)} for id_, (type_, inputs) in nodes.items()}
    return {"format": "graphengine", "version": 1, "nodes": shown, **fields}


def one_node(type_: str, **inputs: Json) -> Json:
    """Make a workflow of one node, ``n``."""
    return workflow({"n": (type_, inputs)})


@contextmanager
def running(folder: Path, *options: str, owners: tuple[str, ...] = ()) -> Iterator[Server]:
    """Start a server, wait until its worker is there, and end it in any case.

    Args:
        owners: Each gets a token.
    """
    data = share_definitions(folder / "data")
    store = TokenStore(data / "tokens.json")
    tokens = {name: store.create(name) for name in owners}
    words = ["-m", "graphengine", "serve", "--data", str(data), "--port", "0", "--pack", str(PACK), "--grace", "0.5"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *words, *options], stdout=subprocess.PIPE, stderr=log, start_new_session=True
        )
    try:
        place = urlsplit(_address(process, folder / "server.log"))
        server = Server(str(place.hostname), int(place.port or 0), data, process.pid, tokens)
        first = next(iter(tokens), None)
        until(lambda: _is_ready(server, first), _START_S)
        yield server
    finally:
        _end(process)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Read where it listens; a thread reads on, so that a full pipe never holds it up."""
    lines: SimpleQueue[bytes] = SimpleQueue()
    assert process.stdout is not None

    def read(stream: Any) -> None:  # Any: the pipe
        for line in stream:
            lines.put(line)
        lines.put(b"")

    threading.Thread(target=read, args=(process.stdout,), daemon=True).start()
    with contextlib.suppress(Empty):
        while line := lines.get(timeout=_START_S):
            if line.startswith(b"graphengine listens on "):
                return line.split()[3].decode()
    raise AssertionError(f"the server didn't start: {log.read_text(errors='replace')[-3000:]}")


def _is_ready(server: Server, owner: str | None) -> bool:
    with contextlib.suppress(ConnectionError):
        workers = server.ask("GET", "/system", as_=owner).json["workers"]
        return all(worker["state"] in ("idle", "busy") for worker in workers)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # its session is its own: whatever it left behind
    if process.stdout is not None:
        process.stdout.close()
