"""Logging in and out, for browsers: a token is exchanged for a cookie that no script can read."""

from __future__ import annotations

import json
import math
import time
from asyncio import IncompleteReadError
from collections.abc import Callable

from aiohttp import web

from graphengine.server.problems import problem_response
from graphengine.server.tokens import SESSION_SECONDS, TokenStore

__all__ = ["SESSION_COOKIE", "Sessions"]

SESSION_COOKIE = "graphengine_session"

_BODY_BYTES = 4096
_FAILURES = 10
_FAILURE_SECONDS = 60


class Sessions:
    """The routes by which a browser logs in and out.

    A session ends when its token is revoked. Logging out only makes this browser forget its own.
    """

    def __init__(self, tokens: TokenStore, now: Callable[[], float] = time.monotonic) -> None:
        self._tokens = tokens
        self._now = now
        self._failures: dict[str, list[float]] = {}

    async def login(self, request: web.Request) -> web.Response:
        """Exchange ``{"token": ...}`` for a session cookie."""
        secret = await _read_token(request)
        if isinstance(secret, web.Response):
            return secret
        # From here on nothing is awaited, so that many attempts at once can't all pass the check before one counts.
        peer = request.remote or ""
        if (wait := self._seconds_to_wait(peer)) > 0:
            return _too_many(wait)
        token = self._tokens.find(secret)
        if token is None:
            self._count_failure(peer)
            return _wrong_token()
        response = web.json_response({"name": token.name, "owner": token.owner})
        response.headers["Cache-Control"] = "no-store"
        response.set_cookie(
            SESSION_COOKIE,
            self._tokens.sign(token.name),
            max_age=SESSION_SECONDS,
            path="/",
            secure=request.secure,
            httponly=True,
            samesite="Strict",
        )
        return response

    async def logout(self, request: web.Request) -> web.Response:
        """Make the browser forget its session."""
        response = web.Response(status=204)
        response.del_cookie(SESSION_COOKIE, path="/", secure=request.secure, httponly=True, samesite="Strict")
        return response

    def _seconds_to_wait(self, peer: str) -> int:
        recent = self._recent(self._failures.get(peer, []))
        return math.ceil(recent[-_FAILURES] + _FAILURE_SECONDS - self._now()) if len(recent) >= _FAILURES else 0

    def _count_failure(self, peer: str) -> None:
        """Count a failure, and forget all old ones: there could be any number of peers."""
        remembered = ((each, self._recent(failures)) for each, failures in self._failures.items())
        self._failures = {each: recent for each, recent in remembered if recent}
        self._failures.setdefault(peer, []).append(self._now())

    def _recent(self, failures: list[float]) -> list[float]:
        return [moment for moment in failures if moment > self._now() - _FAILURE_SECONDS]


async def _read_token(request: web.Request) -> str | web.Response:
    if request.content_type != "application/json":
        return problem_response(
            415, "not_json", "Logging in takes JSON", remedy='Send {"token": "…"} as application/json.'
        )
    try:
        await request.content.readexactly(_BODY_BYTES + 1)
    except IncompleteReadError as complete:
        body = complete.partial
    except web.RequestPayloadError:  # it isn't compressed as its header says
        body = b""
    else:
        return problem_response(413, "too_large", "No token is that long", f"The limit is {_BODY_BYTES} bytes.")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict) and isinstance(secret := content.get("token"), str):
        return secret
    return problem_response(400, "bad_login", "The request holds no token", remedy='Send {"token": "…"}.')


def _wrong_token() -> web.Response:
    response = problem_response(
        401, "wrong_token", "This token isn't valid", remedy="Check it for typing errors, or ask for a new one."
    )
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _too_many(wait: int) -> web.Response:
    response = problem_response(
        429,
        "too_many_attempts",
        "Too many failed logins",
        f"There were {_FAILURES} within {_FAILURE_SECONDS} seconds.",
        f"Try again in {wait} seconds.",
    )
    response.headers["Retry-After"] = str(wait)
    return response
