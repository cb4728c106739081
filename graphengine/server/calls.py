"""How routes are written: a function, and in a table what it takes, gives and may answer instead.

The table is what the OpenAPI document is made from, so that neither says what the other doesn't.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, Generic, TypeVar

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, ConfigDict, ValidationError

from graphengine.core.workflow import parse_json
from graphengine.errors import FileFormatError, GraphEngineError, InputError, InvalidWorkflow, Problem
from graphengine.jobs.store import QueueError, UnknownJob
from graphengine.jobs.store_thread import DiskFull, StoreBroken, StoreBusy
from graphengine.server.library import BadName, UnknownWorkflow, VersionConflict
from graphengine.server.problems import problem_response
from graphengine.server.security import OWNER
from graphengine.server.services import SERVICES, Services
from graphengine.server.shipped import ShippedWorkflow
from graphengine.server.upload_contents import UploadRefused
from graphengine.server.uploads import UploadTooLarge

__all__ = [
    "ANY_OBJECT",
    "MOST_BODY_BYTES",
    "Call",
    "NoParameters",
    "Refused",
    "Route",
    "bind",
    "catch_errors",
    "checked",
]

logger = logging.getLogger(__name__)

MOST_BODY_BYTES = 32 * 1024 * 1024
"""Of JSON; uploads have a limit of their own."""

_LONG_BODY_BYTES = 64 * 1024

M = TypeVar("M", bound=BaseModel)
Q = TypeVar("Q", bound=BaseModel)
B = TypeVar("B")


ANY_OBJECT: Mapping[str, object] = {"type": "object"}
"""The schema of an answer that has one of its own, such as a workflow."""


class NoParameters(BaseModel):
    """A route that reads nothing from the query."""

    model_config = ConfigDict(extra="forbid")


class Refused(GraphEngineError):
    """A request that can't be granted, with the status that says so."""

    def __init__(self, status: int, code: str, message: str, remedy: str = "", **extra: object) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.remedy = remedy
        self.extra = extra
        super().__init__(message)


@dataclass(frozen=True)
class Call(Generic[Q, B]):
    """One request, read and checked.

    Attributes:
        owner: Whose jobs and files it may see; None where nobody is told apart.
        as_owner: Under which owner it makes new ones.
        query: The query's parameters.
        body: The JSON body.
        path: What stands in the path for ``{name}``.
    """

    services: Services
    owner: str | None
    as_owner: str
    query: Q
    body: B
    path: Mapping[str, str]
    request: web.Request


Answer = BaseModel | web.StreamResponse | None
Handler = Callable[[Call[Any, Any]], Awaitable[Answer]]  # Any: each route's own models


@dataclass(frozen=True)
class Route:
    """One operation of the API.

    Attributes:
        handler: Its docstring is the operation's description, its first line the summary.
        path: With ``{name}`` for what varies; ``{name:.+}`` may hold slashes.
        query: The parameters that it reads.
        body: The JSON that it takes; None for none.
        answer: The JSON that it gives; None if it gives something else, which ``media_type`` names.
        schema: The JSON Schema of what it gives, where no model has it.
        other_media_type: What it gives besides, if a client asks for that.
        errors: The statuses that it may answer besides those that all have.
    """

    method: str
    path: str
    handler: Handler
    tag: str
    query: type[BaseModel] = NoParameters
    body: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    status: int = 200
    media_type: str = "application/json"
    schema: Mapping[str, object] | None = None
    other_media_type: str | None = None
    errors: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The operation's name."""
        return self.handler.__name__


def bind(app: web.Application, routes: Sequence[Route], prefix: str) -> None:
    """Add routes to an application; what answers GET answers HEAD too."""
    for route in routes:
        handler = _handler_of(route)
        for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
            app.router.add_route(method, prefix + route.path, handler, expect_handler=_go_on)


async def _go_on(request: web.Request) -> web.StreamResponse | None:
    """Let a client send its body that waits for being told so; aiohttp's own answer to other wishes is no problem."""
    wish = request.headers["Expect"]
    if wish.lower() != "100-continue":
        return problem_response(417, "unknown_wish", "Expectation Failed", f"nobody knows 'Expect: {wish[:100]}'.")
    if request.version >= HttpVersion11 and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return None


def _handler_of(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        services = request.app[SERVICES]
        owner = request.get(OWNER, "local")
        call = Call(
            services,
            owner if services.requires_token else None,
            owner,
            _read_query(route, request),
            await _read_body(route, request) if route.body is not None else None,
            dict(request.match_info),
            request,
        )
        answer = await route.handler(call)
        if isinstance(answer, web.StreamResponse):
            return answer
        if answer is None:
            return web.Response(status=204)
        return web.Response(
            body=answer.model_dump_json().encode(),
            status=route.status,
            content_type="application/json",
        )

    return handle


def _read_query(route: Route, request: web.Request) -> BaseModel:
    given: dict[str, Any] = {}  # Any: a text, or several
    for name in request.query:
        values = request.query.getall(name)
        given[name] = values[0] if len(values) == 1 else values
    try:
        return route.query.model_validate(given)
    except ValidationError as error:
        raise _bad_fields("bad_parameter", "parameter", error) from None


async def _read_body(route: Route, request: web.Request) -> BaseModel:
    assert route.body is not None
    if request.content_type not in ("application/json", "application/octet-stream"):
        message = f"the body is {request.content_type!r}."
        raise Refused(415, "not_json", message, "Send JSON with Content-Type: application/json.")
    raw = await request.read()
    parse = partial(parse_json, raw, "body")
    # a long text would hold up everybody else's requests
    document = await asyncio.to_thread(parse) if len(raw) > _LONG_BODY_BYTES else parse()
    return checked(route.body, document)


def checked(model: type[M], fields: object) -> M:
    """Make a model of what a request says.

    Raises:
        Refused: it doesn't fit; with all that is wrong.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise _bad_fields("bad_field", "field", error) from None


def _bad_fields(code: str, what: str, error: ValidationError) -> Refused:
    """Name everything that is wrong with a request's fields at once."""
    problems = []
    for found in error.errors(include_url=False, include_context=False, include_input=False):
        place = ".".join(str(part) for part in found["loc"])
        problems.append({"code": found["type"], what: place, "message": found["msg"]})
    listed = "; ".join(f"{each[what] or 'body'}: {each['message']}" for each in problems[:5])
    return Refused(
        422, code, f"{listed}.", "The API's documentation at /api/v1/docs has every field.", problems=problems
    )


@web.middleware
async def catch_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer every error as a problem; nothing of the server's inside leaves it."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400 or error.content_type == "application/problem+json":
            raise
        answer = _of_http(error, request)
    except HttpProcessingError as error:  # a broken multipart header escapes aiohttp as this
        answer = problem_response(400, "bad_request", "The request is malformed", str(error.message))
    except web.RequestPayloadError:  # the body isn't compressed as its header says, or was cut off
        answer = problem_response(400, "bad_body", "The request is malformed", "its body can't be read to its end.")
    except GraphEngineError as error:
        answer = _of_ours(error)
    except (asyncio.CancelledError, ConnectionError):
        raise  # whoever asked has gone
    except TimeoutError:
        remedy = "Try again; the workers' logs may say what keeps them."
        answer = problem_response(503, "timed_out", "That can't be done now", "no worker answered in time.", remedy)
    except RecursionError:
        answer = problem_response(400, "too_deep", "The request is malformed", "it is nested too deeply.")
    except Exception:  # a border: a mistake of ours must not end the connection without a word
        logger.exception("%s %s failed", request.method, request.path)
        remedy = "The server's log has the details. Please report it with what you sent."
        answer = problem_response(500, "internal_error", "The server made a mistake", remedy=remedy)
    return answer


def _of_http(error: web.HTTPException, request: web.Request) -> web.Response:
    codes = {404: "unknown_path", 405: "method_not_allowed", 413: "too_large"}
    remedy = "The API's documentation is at /api/v1/docs." if error.status in (404, 405) else ""
    title = HTTPStatus(error.status).phrase
    detail = f"{request.method} {request.path}: {error.reason}." if error.status in (404, 405) else error.reason
    answer = problem_response(error.status, codes.get(error.status, "bad_request"), title, detail, remedy)
    if "Allow" in error.headers:
        answer.headers["Allow"] = error.headers["Allow"]
    return answer


_STATUSES: tuple[tuple[type[GraphEngineError], int, str, str], ...] = (
    (UnknownJob, 404, "unknown_job", "There is no such job"),
    (QueueError, 409, "wrong_state", "The job is in another state"),
    (UnknownWorkflow, 404, "unknown_workflow", "There is no such workflow"),
    (VersionConflict, 409, "version_conflict", "Somebody else saved the workflow"),
    (ShippedWorkflow, 409, "shipped_workflow", "The workflow comes with the server"),
    (BadName, 422, "bad_name", "The name can't be used"),
    (UploadTooLarge, 413, "too_large", "The file is too large"),
    (UploadRefused, 415, "upload_refused", "The file can't be used"),
    (DiskFull, 507, "disk_full", "The disk is full"),
    (StoreBusy, 503, "busy", "The disk is busy"),
    (StoreBroken, 503, "disk_failed", "The disk failed"),
    (FileFormatError, 400, "bad_document", "The document can't be read"),
    (InputError, 422, "bad_input", "A value can't be used"),
)


def _of_ours(error: GraphEngineError) -> web.Response:
    if isinstance(error, Refused):
        title = HTTPStatus(error.status).phrase
        return problem_response(error.status, error.code, title, error.message, remedy=error.remedy, **error.extra)
    if isinstance(error, InvalidWorkflow):
        return _of_problems(error.problems)
    for kind, status, code, title in _STATUSES:
        if isinstance(error, kind):
            current = error.current if isinstance(error, VersionConflict) else None
            answer = problem_response(status, code, title, str(error), current_version=current)
            if isinstance(error, StoreBusy):
                answer.headers["Retry-After"] = "1"
            return answer
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return problem_response(507, "disk_full", "The disk is full", str(error))
    logger.error("%s", error)
    return problem_response(503, "unavailable", "That can't be done now", str(error))


def _of_problems(problems: Sequence[Problem]) -> web.Response:
    errors = [problem for problem in problems if not problem.warning]
    counted = "1 problem" if len(errors) == 1 else f"{len(errors)} problems"
    return problem_response(
        422,
        "invalid_workflow",
        "The workflow has problems",
        f"{counted}. " + " ".join(str(problem).replace("\n", " ") for problem in errors[:3]),
        problems=[problem.as_json() for problem in problems],
    )
