"""Browsers that log in with a token, and what their cookie is good for."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import Awaitable, Mapping

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request

from graphengine.server.security import SecurityPolicy
from graphengine.server.sessions import SESSION_COOKIE, Sessions
from graphengine.server.tokens import SESSION_SECONDS, TokenStore
from tests.server.asking import Answer, Client, ask, send, using


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
    [
        (gzip.compress(b'{"token": "wrong"}', mtime=0), 401),
        (b"not compressed", 400),
        (gzip.compress(b" " * 10_000_000), 413),
    ],
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
