"""Requests in HTTP that no well-meaning client sends: bodies, fields, paths, queries and headers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import NamedTuple

from tests.server.running import one_node

__all__ = ["API", "CASES", "Case", "request"]

API = "/api/v1"
_SAY = json.dumps(one_node("t.Say"))


class Case(NamedTuple):
    """What is sent.

    Attributes:
        is_whole: Whether an answer has to come; what never ends may be left waiting for its rest.
    """

    name: str
    sent: bytes
    is_whole: bool = True


def request(
    method: str, path: str, body: bytes = b"", *, headers: bytes = b"", type_: str = "application/json"
) -> bytes:
    """Write a request that is in order but for what is given."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n".encode("utf-8", "surrogateescape")
    if body:
        head += f"Content-Type: {type_}\r\nContent-Length: {len(body)}\r\n".encode()
    return head + headers + b"\r\n" + body


def bodies() -> Iterator[Case]:
    """Send what is no JSON, or none that a route takes."""
    texts: dict[str, bytes] = {
        "no json": b"hello",
        "cut off": b'{"workflow": {"format": "gra',
        "deep lists": b"[" * 100_000,
        "deep objects": b'{"a":' * 50_000,
        "deep and closed": b"[" * 5000 + b"]" * 5000,
        "nan": b'{"keep": NaN}',
        "infinity": b'{"older_than_s": 1e999}',
        "minus infinity": b'{"older_than_s": -Infinity}',
        "huge int": b'{"keep": 1' + b"0" * 4000 + b"}",
        "endless int": b'{"keep": 1' + b"0" * 100_000 + b"}",
        "twice": b'{"keep": 1, "keep": 2}',
        "half surrogate": b'{"saved": "\\ud800"}',
        "half surrogate as name": b'{"\\udfff": 1}',
        "no utf-8": b'{"saved": "\xff\xfe"}',
        "utf-16": '{"saved": "x"}'.encode("utf-16"),
        "only a mark": b"\xef\xbb\xbf",
        "nul": b'{"saved": "a\x00b"}',
        "escaped nul": b'{"saved": "a\\u0000b"}',
        "a list": b"[1, 2]",
        "a number": b"5",
        "null": b"null",
        "two documents": b"{}{}",
        "wrong everywhere": b'{"workflow": 1, "saved": 2, "inputs": 3, "targets": 4, "keep": "x", "version": []}',
        "unknown fields": json.dumps({f"f{number}": number for number in range(2000)}).encode(),
    }
    places = [
        ("POST", "/jobs"),
        ("POST", "/check"),
        ("POST", "/jobs/prune"),
        ("PUT", "/workflows/h"),
        ("POST", "/login"),
    ]
    for method, path in places:
        for name, text in texts.items():
            yield Case(f"{path} {name}", request(method, API + path, text))


def fields() -> Iterator[Case]:
    """Send fields of wrong types and sizes."""
    wrong = [
        '"workflow": []',
        '"workflow": "x"',
        '"targets": "n"',
        '"targets": [1]',
        '"targets": {}',
        '"priority": 1e300',
        '"priority": "high"',
        '"priority": 99999999999999999999',
        '"priority": true',
        '"name": 5',
        f'"name": "{"x" * 5000}"',
        '"name": null',
        '"limits": 5',
        '"limits": {"wall_s": 0}',
        '"limits": {"wall_s": 1e308}',
        '"limits": {"memory_bytes": -1}',
        '"limits": {"devices": 0}',
        '"limits": {"devices": 1000000}',
        '"idempotency_key": ""',
        '"idempotency_key": {"a": 1}',
        '"inputs": []',
        '"inputs": {"n.text": {"$link": 5}}',
        '"inputs": {"": 1}',
        '"inputs": {".": 1}',
        '"inputs": {"n.text": [[[[1]]]]}',
        '"inputs": {"n.": 1}',
    ]
    for field in wrong:
        yield Case(f"field {field[:40]}", request("POST", f"{API}/jobs", f'{{"workflow": {_SAY}, {field}}}'.encode()))
    nodes = [
        '{"n": 5}',
        '{"n": {"type": 5}}',
        '{"n": {"type": "t.Say", "inputs": []}}',
        '{"../x": {"type": "t.Say"}}',
        '{"n": {"type": "t.Say", "type_version": 99999999999999999999}}',
        '{"n": {"type": "t.Say", "mode": "odd"}}',
        '{"n": {"type": "t.Say", "inputs": {"text": {"$link": "n.text"}}}}',
        '{"n": {"type": "subgraph:n"}}',
        '{"n": {"type": "file:../../etc/passwd"}}',
        '{"n": {"type": ""}}',
        '{"n": {"type": "t.Whole", "inputs": {"value": 1' + "0" * 3000 + "}}}",
        '{"n": {"type": "LoadImage", "inputs": {"image": "../../../../etc/passwd"}}}',
        '{"n": {"type": "LoadImage", "inputs": {"image": "/etc/passwd"}}}',
        '{"n": {"type": "LoadImage", "inputs": {"image": "a\\u0000b"}}}',
        '{"n": {"type": "t.Say", "inputs": {"name": "../../out.txt"}}}',
        '{"n": {"type": "t.Say", "inputs": {"name": "a\\u0000b"}}}',
    ]
    for node in nodes:
        document = f'{{"workflow": {{"format": "graphengine", "version": 1, "nodes": {node}}}}}'
        yield Case(f"node {node[:60]}", request("POST", f"{API}/jobs", document.encode()))


def paths() -> Iterator[Case]:
    """Put what leads elsewhere into every path parameter."""
    odd = [
        "%2e%2e",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "..%5c..%5cx",
        "%00",
        "a%00.json",
        "%ff%fe",
        "%ed%a0%80",
        "%252e%252e%252f",
        "....//....//x",
        "%0d%0aSet-Cookie:%20x=1",
        "x" * 3000,
        "%F0%9F%92%A9",
        "*",
        "'%20OR%201=1",
    ]
    routes = [
        ("GET", "/jobs/{}"),
        ("GET", "/jobs/{}/workflow"),
        ("GET", "/jobs/{}/events"),
        ("GET", "/jobs/{}/log"),
        ("POST", "/jobs/{}/cancel"),
        ("POST", "/jobs/{}/retry"),
        ("GET", "/workflows/{}"),
        ("GET", "/workflows/{}/history"),
        ("DELETE", "/workflows/{}?version=1"),
        ("POST", "/trash/{}/restore"),
        ("GET", "/assets/{}"),
        ("GET", "/assets/{}/thumbnail"),
        ("DELETE", "/assets/{}"),
        ("GET", "/files/{}"),
    ]
    for method, route in routes:
        for part in odd:
            yield Case(f"{method} {route} {part[:30]}", request(method, API + route.format(part)))
    for part in odd:
        body = json.dumps({"workflow": {"format": "graphengine", "version": 1, "nodes": {}}}).encode()
        yield Case(f"PUT {part[:30]}", request("PUT", f"{API}/workflows/{part}", body))
    for path in (
        "/../../etc/passwd",
        "//etc/passwd",
        "/%2e%2e/%2e%2e/",
        "/api/v1/docs/../../x",
        "/;/",
        "/?",
        "/#",
        "/%",
    ):
        yield Case(f"path {path}", request("GET", path))


def queries() -> Iterator[Case]:
    """Send odd query parameters."""
    for query in (
        "jobs?state=odd",
        "jobs?limit=0",
        "jobs?limit=1e3",
        "jobs?limit=99999999999999999999",
        "jobs?limit=1&limit=2",
        "jobs?before=-1",
        "jobs?before=9223372036854775808",
        "jobs?text=%00",
        "jobs?text=%ed%a0%80",
        "jobs?odd=1",
        f"jobs?text={'x' * 5000}",
        "jobs?&&&===",
        "jobs?%00=%00",
        "assets?before=nan",
        "assets?before=inf",
        "assets?before=-inf",
        "assets?before=1e999",
        "assets?limit=true",
        "jobs/x?wait=nan",
        "jobs/x?wait=1e9",
        "jobs/x?wait=-1",
        "jobs/x/events?after=1.5",
        "assets/x/thumbnail?side=0",
        "workflows/x?version=" + "y" * 100,
        "jobs?" + "&".join(f"a{number}=1" for number in range(500)),
    ):
        yield Case(f"query {query[:50]}", request("GET", f"{API}/{query}"))


def headers() -> Iterator[Case]:
    """Send odd headers."""
    job = f'{{"workflow": {_SAY}}}'.encode()
    for line in (
        b"Idempotency-Key: \xff\xfe",
        b"Idempotency-Key: " + b"x" * 5000,
        b"Idempotency-Key:",
        b"Content-Encoding: gzip",
        b"Content-Encoding: deflate",
        b"Content-Encoding: br",
        b"Content-Encoding: odd",
        b"Expect: 100-continue",
        b"Content-Length: 5",
        b"Transfer-Encoding: identity",
        b"Content-Type: text/html",
        b"Authorization: Bearer " + b"y" * 4000,
        b"Cookie: graphengine_session=" + b"z" * 4000,
        b"X-Forwarded-Host: evil.example",
        b"X-HTTP-Method-Override: DELETE",
    ):
        yield Case(f"job with {line[:30]!r}", request("POST", f"{API}/jobs", job, headers=line + b"\r\n"))
    for line in (
        b"Host: evil.example",
        b"Host:",
        b"Origin: http://evil.example",
        b"Origin: null",
        b"Sec-Fetch-Site: cross-site",
        b"Range: bytes=9-1",
        b"If-None-Match: " + b'"x",' * 1000,
        b"If-Modified-Since: odd",
        b"Accept: " + b"a" * 5000,
        b"Last-Event-ID: \xff",
        b"Last-Event-ID: 99999999999999999999999",
        b"Accept-Encoding: gzip;q=x, *;q=",
        b"X-Long: " + b"x" * 100_000,
        b"No colon",
        b": no name",
        b"Sp ace: x",
        b"Tab\t: x",
        b"X: a\x00b",
        b"X: a\rb",
        b" folded: x",
        b"Expect: odd",
        b"Upgrade: h2c\r\nConnection: Upgrade\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
        b"\r\n".join(b"X-%d: y" % number for number in range(5000)),
    ):
        yield Case(f"header {line[:40]!r}", request("GET", f"{API}/nodes", headers=line + b"\r\n"))
    for type_ in (
        "text/plain",
        "application/xml",
        "application/json; charset=odd",
        "multipart/form-data",
        "odd",
        ";;;",
    ):
        yield Case(f"type {type_}", request("POST", f"{API}/jobs", job, type_=type_))
    bomb = gzip.compress(b" " * 50_000_000)
    yield Case("bomb", request("POST", f"{API}/jobs", bomb, headers=b"Content-Encoding: gzip\r\n"))


CASES = [*bodies(), *fields(), *paths(), *queries(), *headers()]
