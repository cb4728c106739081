"""How programs reach a server: requests and answers over HTTP, and what can go wrong with them."""

from __future__ import annotations

import ipaddress
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import IO, Any, cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from graphengine.errors import GraphEngineError, Problem

__all__ = ["Connection", "Patience", "ServerError", "ServerUnreachable", "problems_in"]

_PREFIX = "/api/v1"
_REMEDY = "Start one with 'graphengine serve', or check the address."
_LONGEST_PAUSE_S = 5.0
_MOST_PROBLEM_BYTES = 4 * 1024 * 1024
_PROBLEM_FIELDS = ("code", "message", "remedy", "node", "node_type", "input", "warning")


class ServerError(GraphEngineError):
    """A server refused a request, or could not do what it asks.

    Attributes:
        status: The HTTP status.
        code: A stable name for programs, such as ``unknown_job``.
        problems: What is wrong with the workflow or the request, all at once.
    """

    def __init__(
        self, status: int, code: str, message: str, remedy: str = "", problems: Sequence[Problem] = ()
    ) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.remedy = remedy
        self.problems = tuple(problems)
        super().__init__(status, code, message, remedy, problems)

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}" if self.remedy else self.message


class ServerUnreachable(GraphEngineError):
    """Nothing answers at a server's address, or the connection was lost."""

    def __init__(self, message: str, remedy: str = _REMEDY) -> None:
        self.message = message
        self.remedy = remedy
        super().__init__(message, remedy)

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}"


class Connection:
    """A server's address and what lets one in; each request is a connection of its own.

    Args:
        url: Without ``/api/v1``.
        timeout_s: How long the server may be silent.

    Raises:
        GraphEngineError: for what can't be an address or a token.
    """

    def __init__(self, url: str, token: str | None, timeout_s: float) -> None:
        self.url = url.rstrip("/")
        self._opener = _opener(_host(self.url))
        self._timeout_s = timeout_s
        self._headers = {"Accept": "application/json", "User-Agent": "graphengine"}
        if token is not None:
            if not re.fullmatch(r"[!-~]+", token):
                raise GraphEngineError("the token can't be one.\n  Give it as it was printed, without spaces.")
            self._headers["Authorization"] = f"Bearer {token}"

    def json(
        self, method: str, path: str, body: bytes | None = None, *, timeout_s: float = 0.0
    ) -> dict[str, Any]:  # Any: JSON
        """Send a request and read the JSON object that answers it.

        Args:
            timeout_s: How long the server may be silent beyond what is usual.
        """
        with self.open(method, path, body, timeout_s=self._timeout_s + timeout_s) as answer:
            text = answer.read()
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise self.strange()
        return document

    @contextmanager
    def open(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[HTTPResponse]:
        """Send a request and lend its answer; what breaks while it is read counts as a lost connection."""
        kind = {} if body is None else {"Content-Type": "application/json"}
        request = Request(self.url + _PREFIX + path, body, {**self._headers, **kind, **(headers or {})}, method=method)
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        try:
            with cast(HTTPResponse, self._opener.open(request, timeout=timeout_s)) as answer:
                yield answer
        except HTTPError as error:
            with error:
                raise _refusal(error, self) from None
        except (OSError, HTTPException) as error:
            raise ServerUnreachable(f"can't reach a server at {self.url}: {_reason(error)}.") from None

    def strange(self) -> ServerError:
        """Make the error for an answer that graphengine doesn't give."""
        return ServerError(200, "strange_answer", f"{self.url} answers like no graphengine server.", _REMEDY)


class Patience:
    """Tries that are left while a server doesn't answer, or is about to stop; an answer renews them."""

    def __init__(self, tries: int) -> None:
        self._tries = tries
        self._failed = 0

    def renew(self) -> None:
        """Start over: it answered."""
        self._failed = 0

    def spend(self, error: GraphEngineError) -> None:
        """Sleep, longer each time; raise the error if it won't pass or no try is left."""
        is_passing = isinstance(error, ServerUnreachable) or getattr(error, "status", 0) in (502, 503, 504)
        if not is_passing or self._failed >= self._tries:
            raise error
        time.sleep(min(0.2 * 2**self._failed, _LONGEST_PAUSE_S))
        self._failed += 1


def problems_in(told: Sequence[Mapping[str, Any]]) -> list[Problem]:  # Any: JSON
    """Read problems from JSON, as ``Problem.as_json`` writes them."""
    problems = []
    for fields in told:
        known = {name: fields[name] for name in _PROBLEM_FIELDS if name in fields}
        extra = {name: value for name, value in fields.items() if name not in _PROBLEM_FIELDS}
        problems.append(Problem(**known, extra=extra))
    return problems


class _NoRedirects(HTTPRedirectHandler):
    """Follow no redirect: it could take the token to another host."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def _host(url: str) -> str:
    """Give the host of an address, which must be one that holds no secret."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_address = False
    if not is_address or re.search(r"[\s@?#]", url):
        shown = "the address" if "@" in url else repr(url)
        raise GraphEngineError(f"{shown} is none of a server.\n  Write it like http://127.0.0.1:8188.")
    return parts.hostname or ""


def _opener(host: str) -> OpenerDirector:
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = host == "localhost"
    return build_opener(ProxyHandler({} if is_local else None), _NoRedirects)


def _reason(error: Exception) -> str:
    """Say in words why nothing was heard; the system puts numbers around them."""
    inner = error.reason if isinstance(error, URLError) else error
    return str(getattr(inner, "strerror", None) or inner or type(inner).__name__).rstrip(".")


def _refusal(error: HTTPError, connection: Connection) -> ServerError:
    """Read problem details; what is none comes from another program, or a proxy."""
    try:
        told = json.loads(error.read(_MOST_PROBLEM_BYTES))
        message = str(told.get("detail") or told["title"])
        problems = problems_in(told.get("problems", ()))
        return ServerError(error.code, str(told["code"]), message, str(told.get("remedy", "")), problems)
    except (OSError, HTTPException, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        message = f"{connection.url} answers {error.code} {error.reason}, not as a graphengine server does."
        return ServerError(error.code, "strange_answer", message, _REMEDY)
