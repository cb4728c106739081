"""Requests that mean harm, or make no sense."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tests.faults.measured import Result, Scale
from tests.faults.processes import faulty_server, only_worker
from tests.server import hostile_bytes, hostile_requests
from tests.server.hostile_requests import API, Case, request
from tests.server.running import Reply, one_node
from tests.server.test_hostile import exchange

__all__ = ["foreign_pages", "hostile_requests_row"]

_FULL_OR_STOPPING = (503, 507)
_UPGRADE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
)


def hostile_requests_row(folder: Path, scale: Scale) -> Result:
    """Row 6: everything that ``tests.server`` knows of hostile requests."""
    cases = [*hostile_requests.CASES, *hostile_bytes.CASES]
    failed = unstructured = 0
    with faulty_server(folder) as server:
        before = only_worker(server)
        for case in cases:
            reply = exchange(server, case)
            if reply is None:
                unstructured += case.is_whole
                continue
            failed += _is_failure(reply)
            unstructured += reply.status >= 400 and not _is_structured(reply)
        after = only_worker(server)
        works = server.end_of(server.submit(one_node("t.Say")))["state"] == "done"
        deaths = int((before["pid"], before["starts"]) != (after["pid"], after["starts"])) + (not works)
    return Result(
        f"{failed} x 5xx, {deaths} deaths, {unstructured} without a structured body ({len(cases)} requests)",
        not (failed or deaths or unstructured),
    )


def _is_failure(reply: Reply) -> bool:
    return reply.status >= 500 and reply.status not in _FULL_OR_STOPPING


def _is_structured(reply: Reply) -> bool:
    if "x-content-type-options" not in reply.headers:  # what is no HTTP, aiohttp answers by itself, and hangs up
        return reply.status == 400
    return reply.headers.get("content-type") == "application/problem+json" and bool(reply.code)


def foreign_pages(folder: Path, scale: Scale) -> Result:
    """Row 18: what a browser sends for a page of somebody else's."""
    sent = list(_foreign_requests())
    let_in = []
    with faulty_server(folder) as server:
        for case in sent:
            reply = exchange(server, case)
            if reply is None or reply.status not in (403, 421):
                let_in.append(case.name)
        counts = server.ask("GET", "/queue").json["counts"]
    jobs = sum(counts.values())
    return Result(f"{len(sent) - len(let_in)} of {len(sent)} refused, {jobs} jobs made", not let_in and not jobs)


def _foreign_requests() -> Iterator[Case]:
    job = json.dumps({"workflow": one_node("t.Say")}).encode()
    changes = [
        ("POST", "/jobs", job),
        ("POST", "/queue/pause", b""),
        ("POST", "/jobs/prune", b'{"keep": 0}'),
        ("PUT", "/workflows/x", job),
        ("DELETE", "/workflows/x?version=1", b""),
        ("POST", "/assets", b"--q\r\n\r\nx\r\n--q--\r\n"),
    ]
    origins = [
        b"Origin: http://evil.example",
        b"Origin: null",
        b"Origin: http://localhost.evil.example",
        b"Origin: http://localhost:1",
        b"Sec-Fetch-Site: cross-site",
        b"Sec-Fetch-Site: same-site",
    ]
    for method, path, body in changes:
        for origin in origins:
            for type_ in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
                sent = request(method, API + path, body, headers=origin + b"\r\n", type_=type_)
                yield Case(f"{method} {path} {origin!r} {type_}", sent)
        for host in (b"evil.example", b"localhost.evil.example", b"127.0.0.1.evil.example", b"0.0.0.0"):
            sent = request(method, API + path, body).replace(b"Host: localhost", b"Host: " + host)
            yield Case(f"{method} {path} {host!r}", sent)
    for line in (*origins[:4], b"Sec-Fetch-Site: cross-site"):
        yield Case(f"websocket {line!r}", request("GET", f"{API}/events", headers=_UPGRADE + line + b"\r\n"))
    yield Case(
        "websocket of another host",
        request("GET", f"{API}/events", headers=_UPGRADE).replace(b"Host: localhost", b"Host: evil.example"),
    )
