"""What the server refuses before anything else sees it, whom it lets in, and the headers of what it answers."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import WSServerHandshakeError

from graphengine.server.problems import problem_response
from graphengine.server.security import SecurityError, SecurityPolicy
from graphengine.server.tokens import TokenStore
from tests.server.asking import POLICY, Client, ask, ask_raw, judge, send, using

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
