"""Who may use the server: its own pages, listed origins, and whoever has a token.

A browser lets every page on the web send requests to a server on this machine. What is foreign is refused here,
before anything else sees it, by headers that a page can't forge:

- ``Host``: a stranger's domain may be made to resolve to this machine (DNS rebinding), but keeps its name.
- ``Origin`` and ``Sec-Fetch-Site``: they tell from where a request comes. Only following a link is free to all.

Programs send none of the latter, so they are let through to authentication.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from graphengine.errors import GraphEngineError
from graphengine.server.problems import problem_response
from graphengine.server.sessions import SESSION_COOKIE, Sessions
from graphengine.server.tokens import TokenFileError, TokenStore

__all__ = ["OWNER", "SecurityError", "SecurityPolicy", "make_security", "secure"]

logger = logging.getLogger(__name__)

OWNER = web.RequestKey("OWNER", str)
"""Whose request it is; unset on routes that are open to all although the server requires a token."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_ORIGIN = re.compile(rf"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://{_HOST.pattern}")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SECRET_PARAMETERS = frozenset({"token", "access_token", "api_key"})
_OPEN = frozenset({("GET", "/healthz"), ("HEAD", "/healthz"), ("POST", "/api/v1/login")})

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; script-src 'self'; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID",
    "Access-Control-Max-Age": "600",
}
_READABLE = "ETag, Location, Retry-After"  # beyond the few that every page may read


class SecurityError(GraphEngineError):
    """A server can't be protected as its settings ask."""


@dataclass(frozen=True)
class SecurityPolicy:
    """Who may use a server.

    Attributes:
        hosts: The names by which it may be called, without ports, besides this machine's own.
        origins: Whose pages may use it besides its own: ``https://example.com:8443``.
        tokens: The tokens that let somebody in.
        require_token: Let nobody in without one.
        open_routes: Paths as routes have them (``/``, ``/assets``) that may be read without a token, such as the
            page on which people log in.
    """

    hosts: frozenset[str]
    origins: frozenset[str]
    tokens: TokenStore | None
    require_token: bool
    open_routes: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for host in self.hosts:
            match = _HOST.fullmatch(host)
            if match is None or match["port"]:
                raise SecurityError(
                    f"{host!r} is no host name\n  Give it without scheme and port, an IPv6 address in brackets."
                )
        for origin in self.origins:
            if _canonical(origin) is None:
                raise SecurityError(
                    f"{origin!r} is no origin\n  Give scheme and host, and nothing after them but a port:"
                    " https://example.com:8443. There is no way to allow all."
                )
        if self.require_token and self.tokens is None:
            raise SecurityError("a token is required, but there are none\n  Give the server a file of tokens.")
        object.__setattr__(self, "hosts", _LOOPBACK | {host.lower() for host in self.hosts})
        object.__setattr__(self, "origins", frozenset(map(_canonical, self.origins)))


def secure(app: web.Application, policy: SecurityPolicy) -> None:
    """Protect an application: check each request before anything else does, and let people log in and out."""

    async def harden(request: web.Request, response: web.StreamResponse) -> None:
        _harden(request, response, policy)

    app.middlewares.insert(0, make_security(policy))
    app.on_response_prepare.append(harden)  # reaches what a middleware can't: streams, and answers to crashes
    if policy.tokens is not None:
        sessions = Sessions(policy.tokens)
        app.router.add_post("/api/v1/login", sessions.login)
        app.router.add_post("/api/v1/logout", sessions.logout)


def make_security(policy: SecurityPolicy) -> Middleware:
    """Make the middleware that refuses what is foreign; it has to be the outermost.

    It adds headers to whole responses only. ``secure`` sees to streams as well.
    """

    @web.middleware
    async def security(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            refusal = _gate(request, policy)
            response = await handler(request) if refusal is None else refusal
        except web.HTTPException as error:
            _harden(request, error, policy)
            raise
        except TokenFileError as error:
            logger.error("nobody can be let in: %s", error)
            response = problem_response(
                503, "tokens_unreadable", "The server can't read its tokens", remedy="Its log says how to mend that."
            )
        if not response.prepared:
            _harden(request, response, policy)
        return response

    return security


def _gate(request: web.Request, policy: SecurityPolicy) -> web.Response | None:
    for check in (_check_host, _check_origin, _check_fetch_site, _answer_preflight, _check_query, _authenticate):
        answer = check(request, policy)
        if answer is not None:
            return answer
    return None


def _check_host(request: web.Request, policy: SecurityPolicy) -> web.Response | None:
    values = request.headers.getall("Host", [])
    match = _HOST.fullmatch(values[0]) if len(values) == 1 else None
    # A target that is a whole URL would overrule the header that is checked here; only proxies are sent those.
    plain = request.raw_path.startswith("/") or request.raw_path == "*"
    if plain and match is not None and _port_exists(match) and match["host"].lower() in policy.hosts:
        return None
    return problem_response(
        421,
        "host_refused",
        "This server doesn't go by that name",
        f"The request is for {', '.join(values)[:200]!r}." if values else "The request names no host.",
        "Call it localhost, or start it with this name among its hosts.",
    )


def _check_origin(request: web.Request, policy: SecurityPolicy) -> web.Response | None:
    values = request.headers.getall("Origin", [])
    if not values or _listed_origin(request, policy) is not None:
        return None
    host = request.headers["Host"]
    own = {_canonical(f"{scheme}://{host}") for scheme in _DEFAULT_PORTS}  # https: of a proxy in front
    if len(values) == 1 and (origin := _canonical(values[0])) is not None and origin in own:
        return None
    return problem_response(
        403,
        "origin_refused",
        "Pages from elsewhere may not use this server",
        f"The request comes from {', '.join(values)[:200]!r}.",
        "If you trust that origin, start the server with it among its origins.",
    )


def _check_fetch_site(request: web.Request, policy: SecurityPolicy) -> web.Response | None:
    site = request.headers.get("Sec-Fetch-Site", "none").lower()
    if site in ("same-origin", "none") or "Origin" in request.headers:  # an origin that was allowed just before
        return None
    mode, target = request.headers.get("Sec-Fetch-Mode"), request.headers.get("Sec-Fetch-Dest", "document")
    if request.method in ("GET", "HEAD") and mode == "navigate" and target == "document":
        return None
    return problem_response(
        403,
        "cross_site_refused",
        "Pages from elsewhere may not use this server",
        f"The browser says that the request comes from a page of another site ({site[:20]!r}).",
        "Open the server's own page, or let the other page send its origin and allow that.",
    )


def _answer_preflight(request: web.Request, policy: SecurityPolicy) -> web.Response | None:
    """Answer a browser's question whether a page may send a request; it can't carry a token yet."""
    asks = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    if not asks or _listed_origin(request, policy) is None:
        return None
    return web.Response(status=204, headers=_PREFLIGHT)


def _check_query(request: web.Request, policy: SecurityPolicy) -> web.Response | None:
    secret = next((name for name in request.query if name.lower() in _SECRET_PARAMETERS), None)
    if secret is None or not policy.require_token:
        return None
    return problem_response(
        400,
        "token_in_url",
        "A token doesn't belong into a URL",
        f"The URL has the parameter {secret!r}. URLs are kept in logs and histories.",
        "Send the token as 'Authorization: Bearer TOKEN', or log in. Revoke this one if others could have seen it.",
    )


def _authenticate(request: web.Request, policy: SecurityPolicy) -> web.Response | None:
    if not policy.require_token:
        request[OWNER] = "local"
        return None
    # By the route that was found: a path can be spelt in ways that only look like an open one.
    resource = request.match_info.route.resource
    path = "" if resource is None else resource.canonical
    if (request.method, path) in _OPEN or (request.method in ("GET", "HEAD") and path in policy.open_routes):
        return None
    owner = _identify(request, policy.tokens)
    if owner is not None:
        request[OWNER] = owner
        return None
    response = problem_response(
        401,
        "token_required",
        "This server requires a token",
        "The request has none that is valid.",
        "Send one as 'Authorization: Bearer TOKEN', or log in.",
    )
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _identify(request: web.Request, tokens: TokenStore | None) -> str | None:
    """Tell whose request it is; a wrong token isn't made up for by a session."""
    given = [value.partition(" ") for value in request.headers.getall("Authorization", [])]
    bearers = [token.strip() for scheme, _, token in given if scheme.lower() == "bearer"]
    if tokens is None or len(bearers) > 1:
        return None
    if bearers:
        return tokens.owner_of(bearers[0])
    session = tokens.verify(request.cookies.get(SESSION_COOKIE, ""))
    return None if session is None else session.owner


def _harden(request: web.Request, response: web.StreamResponse, policy: SecurityPolicy) -> None:
    """Add the headers that keep browsers from misusing a response; twice does no harm."""
    headers = response.headers
    headers.update(_HEADERS)
    headers.setdefault("Content-Security-Policy", _CONTENT_POLICY)
    if not policy.origins:
        return
    vary = [word.strip() for line in headers.getall("Vary", []) for word in line.split(",")]
    if not {"origin", "*"} & {word.lower() for word in vary}:
        headers["Vary"] = ", ".join([*vary, "Origin"])
    if (origin := _listed_origin(request, policy)) is not None:
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = _READABLE


def _listed_origin(request: web.Request, policy: SecurityPolicy) -> str | None:
    """Give a request's origin as it was sent, if it is in the list."""
    values = request.headers.getall("Origin", [])
    return values[0] if len(values) == 1 and _canonical(values[0]) in policy.origins else None


def _canonical(origin: str) -> str | None:
    """Write an origin as browsers do, small and without a default port; None if it is none (or opaque: "null")."""
    match = _ORIGIN.fullmatch(origin)
    if match is None or not _port_exists(match):
        return None
    scheme, place = match["scheme"].lower(), match["host"].lower()
    if match["port"] and int(match["port"]) != _DEFAULT_PORTS.get(scheme):
        place = f"{place}:{int(match['port'])}"
    return f"{scheme}://{place}"


def _port_exists(match: re.Match[str]) -> bool:
    return int(match["port"] or 0) <= 65535
