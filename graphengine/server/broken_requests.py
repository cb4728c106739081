"""Bytes that are no HTTP: answered as problems like all else, and with no traceback in the log for each."""

from __future__ import annotations

import logging

from aiohttp import web

from graphengine.server.problems import problem_response

__all__ = ["Runner"]

logger = logging.getLogger(__name__)


class Runner(web.AppRunner):
    """Runs an application whose connections answer in problems.

    aiohttp lets nobody say how a request is answered that it can't parse, so its server is made again with
    connections of our own.
    """

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,
        )


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= 500 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        what = (message or "").partition("\n")[0].rstrip(":.")
        logger.debug("%s sent what is no HTTP: %s", request.remote, what)
        answer = problem_response(status, "bad_request", "The request is malformed", f"{what or 'it is no HTTP'}.")
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.force_close()
        return answer
