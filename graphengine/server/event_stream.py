"""A job's events as server-sent events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator

from aiohttp import web

from graphengine.core.job import Job
from graphengine.errors import GraphEngineError
from graphengine.jobs.hub import Message, SlowReader
from graphengine.server.services import Services

__all__ = ["stream_events", "wants_stream"]

logger = logging.getLogger(__name__)

_KEEP_ALIVE_S = 15.0
_WRITE_TIMEOUT_S = 20.0


def wants_stream(request: web.Request) -> bool:
    """Tell whether a request asks for server-sent events."""
    return "text/event-stream" in request.headers.get("Accept", "").lower()


async def stream_events(request: web.Request, services: Services, job: Job, after: int) -> web.StreamResponse:
    """Send events until the job has ended, with a comment now and then so that nobody thinks the line is dead.

    Args:
        after: Where to go on; the header ``Last-Event-ID`` goes before it. A browser that comes back after the end
            is answered 204, which keeps it from coming back for ever.
    """
    given = request.headers.get("Last-Event-ID", "")
    is_back = given.isascii() and given.isdigit() and len(given) < 19
    after = int(given) if is_back else after
    if is_back and job.is_over and not await services.hub.replay(job.id, after):
        return web.Response(status=204)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    following = services.hub.follow(job, after)
    try:
        await _send(response, following)
        await response.write_eof()
    except ConnectionError:  # whoever asked has gone
        return response
    except (TimeoutError, GraphEngineError) as error:  # it is too late for another status
        logger.info("the events of job %s are not sent on: %s", job.id, error or "the client doesn't read")
        if request.transport is not None:
            request.transport.abort()
    finally:
        await following.aclose()
    return response


async def _send(response: web.StreamResponse, following: AsyncGenerator[list[Message]]) -> None:
    upcoming = asyncio.ensure_future(anext(following, None))
    try:
        while True:
            done, _ = await asyncio.wait([upcoming], timeout=_KEEP_ALIVE_S)
            if not done:
                await _write(response, ": still there\n\n")
                continue
            messages = upcoming.result()
            if messages is None:
                return
            await _write(response, "".join(f"id: {each.number}\ndata: {each.text}\n\n" for each in messages))
            upcoming = asyncio.ensure_future(anext(following, None))
    except SlowReader:
        await _write(response, 'event: dropped\ndata: {"reason":"too slow"}\n\n')
    finally:
        upcoming.cancel()
        await asyncio.gather(upcoming, return_exceptions=True)


async def _write(response: web.StreamResponse, text: str) -> None:
    await asyncio.wait_for(response.write(text.encode(errors="replace")), _WRITE_TIMEOUT_S)
