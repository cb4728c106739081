"""A tiny application under a policy, and requests to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias, TypeVar

from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from multidict import CIMultiDict, CIMultiDictProxy

from graphengine.server.security import OWNER, SecurityPolicy, make_security, secure

__all__ = ["POLICY", "Answer", "Client", "Document", "T", "ask", "ask_raw", "judge", "send", "tiny_app", "using"]

Client: TypeAlias = TestClient[web.Request, web.Application]
Document: TypeAlias = dict[str, object]
T = TypeVar("T")

POLICY = SecurityPolicy(
    hosts=frozenset({"Box.example"}),
    origins=frozenset({"https://Studio.example:443", "http://localhost:3000"}),
    tokens=None,
    require_token=False,
)


async def _owner(request: web.Request) -> web.Response:
    return web.Response(text=request.get(OWNER, "unset"))


async def _own_headers(request: web.Request) -> web.Response:
    return web.Response(headers={"Content-Security-Policy": "sandbox", "Vary": "Accept"})


async def _missing(request: web.Request) -> web.Response:
    raise web.HTTPNotFound


async def _crash(request: web.Request) -> web.Response:
    raise ZeroDivisionError


async def _stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"streamed")
    return response


async def _socket(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_str(request[OWNER])
    await socket.close()
    return socket


def tiny_app(policy: SecurityPolicy) -> web.Application:
    app = web.Application()
    handlers = {"/own": _own_headers, "/missing": _missing, "/crash": _crash, "/stream": _stream, "/socket": _socket}
    for path in ("/", "/healthz", "/api/v1/jobs", "/api/v1/jobs/{job}"):
        app.router.add_route("*", path, _owner)
    for path, handler in handlers.items():
        app.router.add_get(path, handler)
    secure(app, policy)
    return app


def using(policy: SecurityPolicy, use: Callable[[Client], Awaitable[T]]) -> T:
    async def main() -> T:
        async with TestClient(TestServer(tiny_app(policy))) as client:
            return await use(client)

    return asyncio.run(main())


class Answer:
    def __init__(self, response: ClientResponse, body: bytes) -> None:
        self.status = response.status
        self.headers: CIMultiDictProxy[str] = response.headers
        self.cookies = response.cookies
        self.text = body.decode()

    @property
    def problem(self) -> Document:
        assert self.headers["Content-Type"] == "application/problem+json"
        document = json.loads(self.text)
        assert isinstance(document, dict)
        assert document["status"] == self.status
        return document


async def send(client: Client, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
    """Send a request; ``{own}`` in a header stands for the server's host and port."""
    own = f"{client.host}:{client.port}"
    filled = {name: value.replace("{own}", own) for name, value in headers.items()}
    async with client.request(method, path, headers=filled, data=body or None, allow_redirects=False) as response:
        return Answer(response, await response.read())


def ask(
    headers: Mapping[str, str] | None = None,
    policy: SecurityPolicy = POLICY,
    *,
    method: str = "GET",
    path: str = "/api/v1/jobs",
) -> Answer:
    return using(policy, lambda client: send(client, method, path, headers or {}))


def ask_raw(head: bytes, policy: SecurityPolicy = POLICY) -> int:
    """Send what no client would, and give the status."""

    async def use(client: Client) -> int:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        try:
            writer.write(head + b"\r\n\r\n")
            return int((await reader.readuntil(b"\r\n")).split()[1])
        finally:
            writer.close()
            await writer.wait_closed()

    return using(policy, use)


async def judge(headers: list[tuple[str, str]]) -> int:
    """Give the status for headers that aiohttp's own parser refuses, unless it is told to be lax."""
    request = make_mocked_request("GET", "/", CIMultiDict(headers))
    return (await make_security(POLICY)(request, _owner)).status
