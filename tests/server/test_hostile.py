"""Whatever comes over the wire: no mistake of the server's, no dead process, and an answer that programs can read."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import hostile_bytes, hostile_requests
from tests.server.hostile_requests import Case
from tests.server.running import Reply, Server, one_node

ROOT = Path(__file__).parents[2]

_ANSWER_S = 20.0
_NO_ANSWER_S = 0.1


@pytest.fixture(scope="module")
def unharmed(server: Server) -> Iterator[Server]:
    """The server, which has to be as it was after all that."""
    (before,) = server.ask("GET", "/system").json["workers"]
    yield server
    (after,) = server.ask("GET", "/system").json["workers"]
    assert (after["pid"], after["starts"]) == (before["pid"], before["starts"])
    assert server.end_of(server.submit(one_node("t.Say")))["state"] == "done"
    log = (server.data.parent / "server.log").read_text(errors="replace")
    assert not re.search(r"ERROR [A-Z]+ /.* failed", log)  # what ``catch_errors`` says of a mistake


def exchange(server: Server, case: Case) -> Reply | None:
    """Send bytes and read the first answer; None if there is none."""
    with socket.create_connection((server.host, server.port), timeout=_ANSWER_S) as connection:
        with contextlib.suppress(ConnectionError):  # it may hang up before it has heard all
            connection.sendall(case.sent)
        connection.settimeout(_ANSWER_S if case.is_whole else _NO_ANSWER_S)
        heard = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            while not _is_whole(heard) and (more := connection.recv(65536)):
                heard += more
    return _parse(heard) if heard else None


def _is_whole(heard: bytes) -> bool:
    head, end, body = heard.partition(b"\r\n\r\n")
    if not end:
        return False
    lines = [line.lower() for line in head.split(b"\r\n")]
    length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), None)
    return lines[0].split()[1] in (b"101", b"204", b"304") or (length is not None and len(body) >= length)


def _parse(heard: bytes) -> Reply:
    head, _, body = heard.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    assert first.startswith("HTTP/"), heard[:200]
    pairs = (line.partition(":") for line in lines)
    return Reply(int(first.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}, body)


@pytest.mark.parametrize("case", [*hostile_requests.CASES, *hostile_bytes.CASES], ids=lambda case: ascii(case.name))
def test_hostile_request_is_answered_and_harms_nothing(unharmed: Server, case: Case) -> None:
    reply = exchange(unharmed, case)
    assert reply is not None or not case.is_whole
    if reply is None:
        return
    assert reply.status < 500 or reply.status in (503, 507), reply.body
    assert b"Traceback" not in reply.body
    assert str(ROOT).encode() not in reply.body
    if reply.status >= 400:
        assert reply.code
        assert reply.headers["x-content-type-options"] == "nosniff"


def test_slow_and_silent_connections_hold_nobody_up(unharmed: Server) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            held = stack.enter_context(socket.create_connection((unharmed.host, unharmed.port), timeout=5))
            held.sendall(b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n")
        assert unharmed.ask("GET", "//healthz").status == 200
