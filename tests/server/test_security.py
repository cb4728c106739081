"""What the server refuses before anything else sees it, whom it lets in, and the headers of what it answers."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeAlias, TypeVar

import pytest
from aiohttp import ClientResponse, WSServerHandshakeError, web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from multidict import CIMultiDict, CIMultiDictProxy

from graphengine.server.problems import problem_response
from graphengine.server.security import OWNER, SecurityError, SecurityPolicy, make_security, secure
from graphengine.server.sessions import SESSION_COOKIE, Sessions
from graphengine.server.tokens import SESSION_SECONDS, TokenStore

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


# Hosts


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8188",
        "LocalHost",
        "127.0.0.1",
        "127.0.0.1:65535",
        "[::1]",
        "[::1]:8188",
        "box.example",
        "BOX.example:80",
    ],
)
def test_the_servers_own_names_are_let_in(host: str) -> None:
    answer = ask({"Host": host})
    assert (answer.status, answer.text) == (200, "local")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8188",
        "localhost.evil.example",
        "localhost.",
        "evil-localhost",
        "127.0.0.1.evil.example",
        "127.0.0.2",
        "0.0.0.0",
        "2130706433",
        "[::]",
        "[::1",
        "::1",
        "[::ffff:127.0.0.1]",
        "box.example.evil",
        "localhost:8188:80",
        "localhost:",
        "localhost:99999",
        "localhost:80x",
        "localhost@evil.example",
        "evil.example@localhost",
        "localhost, evil.example",
        "localhost/evil",
        "local host",
        "http://localhost",
        "ⅼocalhost",
        "null",
        "*",
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/healthz"])
def test_other_names_are_refused(host: str, path: str) -> None:
    answer = ask({"Host": host}, path=path)
    assert answer.status == 421
    assert answer.problem["code"] == "host_refused"
    assert answer.problem["remedy"]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /api/v1/jobs HTTP/1.0", 421),
        (b"GET /api/v1/jobs HTTP/1.0\r\nHost:", 421),
        (b"GET /api/v1/jobs HTTP/1.0\r\nHost: localhost", 200),
        (b"GET http://evil.example/api/v1/jobs HTTP/1.1\r\nHost: localhost", 421),
        (b"GET http://localhost/api/v1/jobs HTTP/1.1\r\nHost: localhost", 421),
        (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost", 421),
        (b"GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\xff", 421),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost", 404),
    ],
)
def test_requests_that_no_browser_sends_are_judged_too(head: bytes, status: int) -> None:
    assert ask_raw(head) == status


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
def test_there_is_one_host(hosts: list[str]) -> None:
    assert asyncio.run(judge([("Host", host) for host in hosts])) == 421


# Origins


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("origin", ["http://{own}", "https://{own}", "https://studio.example", "http://localhost:3000"])
def test_own_pages_and_listed_ones_are_let_in(origin: str, method: str) -> None:
    assert ask({"Origin": origin}, method=method).status == 200


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost", "http://localhost"),
        ("localhost:80", "http://localhost"),
        ("localhost", "https://localhost"),
        ("box.example:443", "https://box.example"),
        ("[::1]:8188", "http://[::1]:8188"),
        ("BOX.example", "http://box.example"),
    ],
)
def test_default_ports_and_case_make_no_other_origin(host: str, origin: str) -> None:
    assert ask({"Host": host, "Origin": origin}, method="POST").status == 200


FOREIGN_ORIGINS = [
    "null",
    "",
    "*",
    "http://evil.example",
    "http://localhost.evil.com",
    "http://localhost:3000.evil.com",
    "http://localhost:3001",
    "https://localhost:3000",
    "http://localhost:3000/",
    "http://localhost:3000@evil.example",
    "http://evil.example#localhost:3000",
    "http://studio.example",
    "https://studio.example:8443",
    "https://studio.example.evil.com",
    "https://evilstudio.example",
    "https://a.studio.example",
    "https://studio.example, http://evil.example",
    "http://127.0.0.1",
    "http://localhost",
    "http://127.0.0.1:99999",
    "ftp://{own}",
    "file://",
    "{own}",
    "//{own}",
    "http://{own}.evil.com",
    "http://user@{own}",
    "chrome-extension://abcdefgh",
]


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_origins_are_refused(origin: str, method: str) -> None:
    answer = ask({"Origin": origin, "Sec-Fetch-Site": "same-origin"}, method=method)
    assert answer.status == 403
    assert answer.problem["code"] == "origin_refused"
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("origins", [["http://localhost", "http://localhost"], ["http://localhost", "null"]])
def test_there_is_one_origin(origins: list[str]) -> None:
    assert asyncio.run(judge([("Host", "localhost"), *(("Origin", origin) for origin in origins)])) == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost.evil.com"])
def test_a_foreign_page_gets_no_websocket(origin: str) -> None:
    async def use(client: Client) -> int:
        with pytest.raises(WSServerHandshakeError) as caught:
            await client.ws_connect("/socket", headers={"Origin": origin})
        return caught.value.status

    assert using(POLICY, use) == 403


@pytest.mark.parametrize("origin", [None, "http://{own}", "http://localhost:3000"])
def test_programs_own_pages_and_listed_ones_get_a_websocket(origin: str | None) -> None:
    async def use(client: Client) -> str:
        headers = {"Origin": origin.format(own=f"{client.host}:{client.port}")} if origin else {}
        async with client.ws_connect("/socket", headers=headers) as socket:
            return await socket.receive_str()

    assert using(POLICY, use) == "local"


# Sec-Fetch


def _fetch(site: str, mode: str = "", target: str = "", **more: str) -> dict[str, str]:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": target}
    return {name: value for name, value in headers.items() if value} | more


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", _fetch("same-origin", "cors", "empty"), 200),
        ("POST", _fetch("same-origin", "cors", "empty"), 200),
        ("GET", _fetch("none", "navigate", "document"), 200),
        ("POST", _fetch("none", "navigate", "document"), 200),
        ("GET", _fetch("cross-site", "navigate", "document"), 200),
        ("HEAD", _fetch("cross-site", "navigate", "document"), 200),
        ("GET", _fetch("same-site", "navigate", "document"), 200),
        ("GET", _fetch("cross-site", "navigate"), 200),
        ("GET", _fetch("cross-site", "navigate", "iframe"), 403),
        ("GET", _fetch("cross-site", "navigate", "object"), 403),
        ("POST", _fetch("cross-site", "navigate", "document"), 403),
        ("DELETE", _fetch("cross-site", "navigate", "document"), 403),
        ("GET", _fetch("cross-site", "no-cors", "image"), 403),
        ("GET", _fetch("same-site", "no-cors", "image"), 403),
        ("GET", _fetch("cross-site", "no-cors", "script"), 403),
        ("GET", _fetch("cross-site", "cors", "empty"), 403),
        ("GET", _fetch("same-site", "websocket", "websocket"), 403),
        ("GET", _fetch("cross-site"), 403),
        ("POST", _fetch("same-site"), 403),
        ("GET", _fetch("Cross-Site", "cors"), 403),
        ("GET", _fetch("something-new", "cors"), 403),
        ("GET", _fetch("cross-site", "cors", "empty", Origin="https://studio.example"), 200),
        ("POST", _fetch("same-site", "cors", "empty", Origin="http://localhost:3000"), 200),
        ("POST", _fetch("cross-site", "cors", "empty", Origin="https://evil.example"), 403),
        ("GET", _fetch("cross-site", "navigate", "document", Origin="null"), 403),
    ],
)
def test_only_following_a_link_is_free_to_other_sites(method: str, headers: dict[str, str], status: int) -> None:
    answer = ask(headers, method=method)
    assert answer.status == status
    if status == 403 and "Origin" not in headers:
        assert answer.problem["code"] == "cross_site_refused"


# Preflights and CORS

PREFLIGHT = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}


@pytest.mark.parametrize("origin", ["https://studio.example", "http://localhost:3000"])
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/not/there"])
def test_a_listed_page_is_told_what_it_may_send(origin: str, path: str, locked: SecurityPolicy) -> None:
    answer = ask({"Origin": origin, "Sec-Fetch-Site": "cross-site"} | PREFLIGHT, locked, method="OPTIONS", path=path)
    assert (answer.status, answer.text) == (204, "")
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://studio.example.evil.com", None])
def test_other_pages_are_told_nothing(origin: str | None, locked: SecurityPolicy) -> None:
    answer = ask(PREFLIGHT | ({"Origin": origin} if origin else {}), locked, method="OPTIONS")
    assert answer.status == (403 if origin else 401)
    assert not [name for name in answer.headers if name.startswith("Access-Control-")]


def test_options_without_a_question_is_an_ordinary_request(locked: SecurityPolicy) -> None:
    assert ask({"Origin": "https://studio.example"}, locked, method="OPTIONS").status == 401


@pytest.mark.parametrize("path", ["/", "/missing", "/crash", "/stream", "/not/there", "/own"])
def test_a_listed_page_may_read_every_answer(path: str) -> None:
    answer = ask({"Origin": "https://studio.example"}, path=path)
    assert answer.headers.getall("Access-Control-Allow-Origin") == ["https://studio.example"]
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://{own}"}])
def test_own_pages_need_no_cors_but_caches_must_tell_them_apart(headers: dict[str, str]) -> None:
    answer = ask(headers)
    assert not [name for name in answer.headers if name.startswith("Access-Control-")]
    assert answer.headers["Vary"] == "Origin"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


# Headers of every answer


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {}, 200),
        ("/stream", {}, 200),
        ("/missing", {}, 404),
        ("/not/there", {}, 404),
        ("/crash", {}, 500),
        ("/", {"Host": "evil.example"}, 421),
        ("/", {"Origin": "null"}, 403),
        ("/", {"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_every_answer_is_hardened(path: str, headers: dict[str, str], status: int) -> None:
    answer = ask(headers, path=path)
    assert answer.status == status
    assert answer.headers.getall("X-Content-Type-Options") == ["nosniff"]
    assert answer.headers.getall("Referrer-Policy") == ["no-referrer"]
    assert answer.headers.getall("Cross-Origin-Resource-Policy") == ["same-origin"]
    (policy,) = answer.headers.getall("Content-Security-Policy")
    for directive in ("default-src 'self'", "script-src 'self'", "object-src 'none'", "frame-ancestors 'none'"):
        assert directive in policy.split("; ")


def test_a_handlers_own_policy_and_variants_are_kept() -> None:
    answer = ask(path="/own")
    assert answer.headers.getall("Content-Security-Policy") == ["sandbox"]
    assert answer.headers.getall("Vary") == ["Accept, Origin"]


def test_without_listed_origins_answers_dont_vary() -> None:
    answer = ask({}, SecurityPolicy(frozenset(), frozenset(), None, False))
    assert "Vary" not in answer.headers


# Tokens


@pytest.fixture
def tokens(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path / "tokens.json")


@pytest.fixture
def secret(tokens: TokenStore) -> str:
    return tokens.create("laptop", "ada")


@pytest.fixture
def locked(tokens: TokenStore) -> SecurityPolicy:
    return SecurityPolicy(POLICY.hosts, POLICY.origins, tokens, True, open_routes=frozenset({"/"}))


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_token_lets_its_owner_in(locked: SecurityPolicy, secret: str, scheme: str) -> None:
    answer = ask({"Authorization": f"{scheme} {secret}"}, locked)
    assert (answer.status, answer.text) == (200, "ada")


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer gek_wrong", "Bearer {}x", "Bearer {} {}", "Basic {}", "{}", "Bearer ü{}"],
)
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/not/there", "/socket", "/api/v1/logout", "/api/v1/login"])
def test_nothing_else_lets_anybody_in(locked: SecurityPolicy, secret: str, authorization: str, path: str) -> None:
    answer = ask({"Authorization": authorization.replace("{}", secret)}, locked, path=path)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.problem["code"] == "token_required"
    assert secret not in answer.text


def test_there_is_one_token(locked: SecurityPolicy, secret: str) -> None:
    bearer = f"Authorization: Bearer {secret}\r\n"
    statuses = [
        ask_raw(f"GET /api/v1/jobs HTTP/1.1\r\n{bearer * count}Host: localhost".encode(), locked) for count in (1, 2)
    ]
    assert statuses[0] == 200
    assert statuses[1] in (400, 401)  # 400: of aiohttp's parser


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/healthz", "/"])
def test_what_is_open_needs_no_token(locked: SecurityPolicy, method: str, path: str) -> None:
    assert ask({}, locked, method=method, path=path).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/healthz"),
        ("POST", "/"),
        ("GET", "/healthz/"),
        ("GET", "//healthz"),
        ("GET", "/healthz/../api/v1/jobs"),
        ("GET", "/api/v1/jobs/healthz"),
        ("GET", "/api/v1/jobs/%2e%2e%2fhealthz"),
        ("POST", "/api/v1/jobs/login"),
        ("GET", "/api/v1/jobs?/healthz"),
        ("PUT", "/api/v1/login"),
    ],
)
def test_what_only_looks_open_needs_a_token(locked: SecurityPolicy, method: str, path: str) -> None:
    assert ask_raw(f"{method} {path} HTTP/1.1\r\nHost: localhost".encode(), locked) == 401


@pytest.mark.parametrize("origin", ["http://{own}", "https://studio.example"])
def test_an_allowed_origin_is_no_token(locked: SecurityPolicy, origin: str) -> None:
    assert ask({"Origin": origin}, locked).status == 401


def test_a_token_allows_no_foreign_origin(locked: SecurityPolicy, secret: str) -> None:
    assert ask({"Authorization": f"Bearer {secret}", "Origin": "https://evil.example"}, locked).status == 403


@pytest.mark.parametrize("name", ["token", "access_token", "api_key", "Token", "%74oken"])
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/", "/healthz", "/socket"])
def test_a_token_in_the_url_is_refused_even_where_none_is_needed(
    locked: SecurityPolicy, secret: str, name: str, path: str
) -> None:
    answer = ask({"Authorization": f"Bearer {secret}"}, locked, path=f"{path}?a=1&{name}={secret}")
    assert answer.status == 400
    assert answer.problem["code"] == "token_in_url"
    assert "Authorization: Bearer" in str(answer.problem["remedy"])
    assert secret not in answer.text


def test_where_no_token_is_required_a_parameter_may_have_any_name() -> None:
    assert ask({}, path="/api/v1/jobs?token=cat").status == 200


def test_revoking_takes_effect_in_a_running_server(locked: SecurityPolicy, tokens: TokenStore, secret: str) -> None:
    headers = {"Authorization": f"Bearer {secret}"}

    async def use(client: Client) -> list[int]:
        before = await send(client, "GET", "/api/v1/jobs", headers)
        TokenStore(tokens.path).revoke("laptop")  # as another process does
        after = await send(client, "GET", "/api/v1/jobs", headers)
        return [before.status, after.status]

    assert using(locked, use) == [200, 401]


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/login"])
def test_a_damaged_file_of_tokens_lets_nobody_in(
    locked: SecurityPolicy, tokens: TokenStore, secret: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    tokens.path.write_text("{}")
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    body = json.dumps({"token": secret}).encode()
    answer = using(locked, lambda client: send(client, "POST", path, headers, body))
    assert answer.status == 503
    assert answer.problem["code"] == "tokens_unreadable"
    assert str(tokens.path) not in answer.text
    assert f"{tokens.path} is damaged" in caplog.text


# Sessions


def login(client: Client, content: object, headers: Mapping[str, str] | None = None) -> Awaitable[Answer]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return send(client, "POST", "/api/v1/login", {"Content-Type": "application/json"} | dict(headers or {}), body)


def test_a_browser_logs_in_and_out(locked: SecurityPolicy, secret: str) -> None:
    async def use(client: Client) -> None:
        page = {"Origin": "http://{own}", "Sec-Fetch-Site": "same-origin"}
        assert (await send(client, "GET", "/api/v1/jobs", page)).status == 401
        entered = await login(client, {"token": secret}, page)
        assert (entered.status, json.loads(entered.text)) == (200, {"name": "laptop", "owner": "ada"})
        assert entered.headers["Cache-Control"] == "no-store"
        assert (await send(client, "GET", "/api/v1/jobs", page)).text == "ada"
        async with client.ws_connect("/socket") as socket:
            assert await socket.receive_str() == "ada"
        assert (await send(client, "POST", "/api/v1/logout", page)).status == 204
        assert (await send(client, "GET", "/api/v1/jobs", page)).status == 401

    using(locked, use)


def test_no_script_and_no_other_site_gets_the_cookie(locked: SecurityPolicy, secret: str) -> None:
    cookie = using(locked, lambda client: login(client, {"token": secret})).cookies[SESSION_COOKIE]
    assert cookie["httponly"] is True
    assert (cookie["samesite"], cookie["path"], cookie["domain"]) == ("Strict", "/", "")
    assert cookie["max-age"] == str(SESSION_SECONDS)
    assert not cookie["secure"]  # it would not come back over plain HTTP
    assert secret not in cookie.value


def test_over_tls_the_cookie_stays_there(tokens: TokenStore, secret: str) -> None:
    async def use() -> web.Response:
        request = make_mocked_request("POST", "/api/v1/logout").clone(scheme="https")
        return await Sessions(tokens).logout(request)

    assert asyncio.run(use()).cookies[SESSION_COOKIE]["secure"]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        ({"token": "gek_wrong"}, 401, "wrong_token"),
        ({"token": ""}, 401, "wrong_token"),
        ({"token": "laptop"}, 401, "wrong_token"),
        ({"token": "\ud800"}, 401, "wrong_token"),
        ({"token": None}, 400, "bad_login"),
        ({"token": ["a"]}, 400, "bad_login"),
        ({}, 400, "bad_login"),
        (["token"], 400, "bad_login"),
        (b"{", 400, "bad_login"),
        (b"", 400, "bad_login"),
        (b"\xff", 400, "bad_login"),
        (b"[" * 4096, 400, "bad_login"),
        ({"token": "x" * 5000}, 413, "too_large"),
        (b" " * 900_000, 413, "too_large"),
    ],
)
def test_a_bad_login_gets_no_cookie(
    locked: SecurityPolicy, secret: str, content: object, status: int, code: str
) -> None:
    answer = using(locked, lambda client: login(client, content))
    assert (answer.status, answer.problem["code"]) == (status, code)
    assert not answer.cookies


@pytest.mark.parametrize(
    ("body", "status"),
    [(gzip.compress(b'{"token": "wrong"}'), 401), (b"not compressed", 400), (gzip.compress(b" " * 10_000_000), 413)],
)
def test_a_compressed_login_is_judged_by_what_it_holds(locked: SecurityPolicy, body: bytes, status: int) -> None:
    async def use(client: Client) -> int:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        # Not compressed by the client again.
        async with client.post("/api/v1/login", headers=headers, data=io.BytesIO(body), compress=False) as response:
            return response.status

    assert using(locked, use) == status


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_cant_log_in(locked: SecurityPolicy, secret: str, kind: str) -> None:
    answer = using(locked, lambda client: login(client, {"token": secret}, {"Content-Type": kind}))
    assert (answer.status, answer.problem["code"]) == (415, "not_json")


def test_a_foreign_page_cant_log_in(locked: SecurityPolicy, secret: str) -> None:
    answer = using(locked, lambda client: login(client, {"token": secret}, {"Origin": "https://evil.example"}))
    assert answer.status == 403
    assert not answer.cookies


def _with_cookie(policy: SecurityPolicy, value: str, **headers: str) -> int:
    return ask({"Cookie": f"{SESSION_COOKIE}={value}"} | headers, policy).status


def test_a_session_counts_until_its_token_is_revoked(locked: SecurityPolicy, tokens: TokenStore, secret: str) -> None:
    value = tokens.sign("laptop")
    assert _with_cookie(locked, value) == 200
    tokens.revoke("laptop")
    assert _with_cookie(locked, value) == 401
    tokens.create("laptop")
    assert _with_cookie(locked, value) == 401


def test_an_expired_session_doesnt_count(locked: SecurityPolicy, tokens: TokenStore, secret: str) -> None:
    past = TokenStore(tokens.path, now=lambda: 1_000_000_000)
    assert _with_cookie(locked, past.sign("laptop")) == 401


@pytest.mark.parametrize("change", [("laptop", "root"), (".", ".9"), ("laptop.", ""), (".", "")])
def test_a_tampered_session_doesnt_count(
    locked: SecurityPolicy, tokens: TokenStore, secret: str, change: tuple[str, str]
) -> None:
    tokens.create("root")
    assert _with_cookie(locked, tokens.sign("laptop").replace(*change)) == 401


def test_a_token_is_no_session(locked: SecurityPolicy, secret: str) -> None:
    assert _with_cookie(locked, secret) == 401


@pytest.mark.parametrize(("authorization", "status"), [("Bearer gek_wrong", 401), ("Basic YTpi", 200)])
def test_a_session_makes_up_for_no_wrong_token(
    locked: SecurityPolicy, tokens: TokenStore, secret: str, authorization: str, status: int
) -> None:
    assert _with_cookie(locked, tokens.sign("laptop"), Authorization=authorization) == status


def test_a_session_serves_no_foreign_page(locked: SecurityPolicy, tokens: TokenStore, secret: str) -> None:
    value = tokens.sign("laptop")
    assert _with_cookie(locked, value, Origin="https://evil.example") == 403
    assert _with_cookie(locked, value, **{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}) == 403


def test_who_fails_too_often_has_to_wait(tokens: TokenStore, secret: str) -> None:
    now = 1000.0

    async def use() -> None:
        nonlocal now
        app = web.Application()
        app.router.add_post("/api/v1/login", Sessions(tokens, lambda: now).login)
        async with TestClient(TestServer(app)) as client:
            failures = [(await login(client, {"token": "wrong"})).status for _ in range(10)]
            assert failures == [401] * 10
            now += 20.5
            waiting = await login(client, {"token": secret})
            assert (waiting.status, waiting.problem["code"]) == (429, "too_many_attempts")
            assert waiting.headers["Retry-After"] == "40"
            now += 40
            assert (await login(client, {"token": secret})).status == 200

    asyncio.run(use())


def test_many_attempts_at_once_are_counted_too(locked: SecurityPolicy, secret: str) -> None:
    async def use(client: Client) -> list[int]:
        answers = await asyncio.gather(*(login(client, {"token": "wrong"}) for _ in range(25)))
        return sorted(answer.status for answer in answers)

    assert using(locked, use) == [401] * 10 + [429] * 15


def test_who_logs_in_rightly_is_never_made_to_wait(locked: SecurityPolicy, secret: str) -> None:
    async def use(client: Client) -> set[int]:
        return {(await login(client, {"token": secret})).status for _ in range(15)}

    assert using(locked, use) == {200}


# Settings


@pytest.mark.parametrize("host", ["", "*", "box.example:80", "http://box.example", "::1", "a b"])
def test_a_host_that_cant_be_one_is_refused(host: str) -> None:
    with pytest.raises(SecurityError, match="is no host name\n  Give it without scheme and port"):
        SecurityPolicy(frozenset({host}), frozenset(), None, False)


@pytest.mark.parametrize("origin", ["", "*", "null", "box.example", "http://box.example/", "http://*.example"])
def test_an_origin_that_cant_be_one_is_refused(origin: str) -> None:
    with pytest.raises(SecurityError, match="is no origin\n  Give scheme and host"):
        SecurityPolicy(frozenset(), frozenset({origin}), None, False)


def test_to_require_tokens_there_must_be_some() -> None:
    with pytest.raises(SecurityError, match="a token is required, but there are none"):
        SecurityPolicy(frozenset(), frozenset(), None, True)


# Problems


def test_a_problem_has_what_was_given_and_nothing_empty() -> None:
    response = problem_response(404, "no_job", "There is no such job", remedy="List them.", job="7", jobs=[], next=None)
    assert (response.status, response.headers["Content-Type"]) == (404, "application/problem+json")
    assert isinstance(response.body, bytes)
    assert json.loads(response.body) == {
        "type": "about:blank",
        "title": "There is no such job",
        "status": 404,
        "code": "no_job",
        "remedy": "List them.",
        "job": "7",
        "jobs": [],
    }
