"""Events over a websocket: ``/api/v1/events``.

A client says what it wants to hear, at any time:

    {"subscribe": {"job": "01a…", "after": 12}}     a job from a number on; first what it missed
    {"subscribe": {}}                               all of one's own jobs from now on
    {"subscribe": {"previews": false}}              the same without previews; said again, with or without from now on
    {"unsubscribe": {"job": "01a…"}}

and hears events as JSON arrays, one text frame for all that came together, and previews as binary frames: the length of
a JSON header as uint32, big-endian, the header, the JPEG. Who doesn't read is told so and closed; nobody else notices.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import weakref
from collections.abc import Coroutine
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from graphengine.core.workflow import parse_json
from graphengine.errors import FileFormatError, GraphEngineError
from graphengine.jobs.hub import Message, SlowReader, Subscription
from graphengine.jobs.store import UnknownJob
from graphengine.server.security import OWNER
from graphengine.server.services import SERVICES, Services

__all__ = ["SOCKETS", "close_sockets", "events_socket"]

_MOST_BYTES = 64 * 1024  # of what a client says
_MOST_FOLLOWED = 200
_WRITE_TIMEOUT_S = 20.0
_SUBSCRIBED = '{"type":"subscribed"}'
_PAUSE_S = 0.02  # between frames, so that what comes quickly comes together


SOCKETS = web.AppKey("SOCKETS", weakref.WeakSet[web.WebSocketResponse])
"""The sockets that are open."""


async def close_sockets(app: web.Application) -> None:
    """Say goodbye to all clients, as the server stops."""
    closing = [socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server stops") for socket in app[SOCKETS]]
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*closing, return_exceptions=True), 0.5)


class _What(BaseModel):
    model_config = ConfigDict(extra="forbid")

    job: str | None = Field(default=None, max_length=64)
    after: int = Field(default=0, ge=0, le=2**62)
    previews: bool = True


class _Wish(BaseModel):
    """What a client says."""

    model_config = ConfigDict(extra="forbid")

    subscribe: _What | None = None
    unsubscribe: _What | None = None


async def events_socket(request: web.Request) -> web.WebSocketResponse:
    """Serve one client until it goes."""
    socket = web.WebSocketResponse(max_msg_size=_MOST_BYTES, heartbeat=30, compress=False)
    await socket.prepare(request)
    request.app[SOCKETS].add(socket)
    services = request.app[SERVICES]
    owner = request.get(OWNER, "local") if services.requires_token else None
    listener = _Listener(services, socket, owner)
    try:
        async for frame in socket:
            if frame.type == WSMsgType.TEXT:
                await listener.hear(frame.data)
            elif frame.type == WSMsgType.BINARY:
                await listener.refuse("bad_message", "binary frames mean nothing here; send JSON as text.")
    finally:
        await listener.close()
    return socket


class _Listener:
    """One client's subscriptions."""

    def __init__(self, services: Services, socket: web.WebSocketResponse, owner: str | None) -> None:
        self._services = services
        self._socket = socket
        self._owner = owner
        self._tasks: dict[str | None, asyncio.Task[None]] = {}
        self._all: Subscription | None = None

    async def hear(self, text: str) -> None:
        """Do what a client says, or tell it why not."""
        try:
            wish = _Wish.model_validate(parse_json(text, "message"))
        except FileFormatError as error:
            await self.refuse("bad_message", str(error))
            return
        except ValidationError as error:
            told = [f"{'.'.join(map(str, each['loc'])) or 'message'}: {each['msg']}" for each in error.errors()]
            await self.refuse("bad_message", "; ".join(told[:5]))
            return
        if wish.subscribe is None and wish.unsubscribe is None:
            await self.refuse("bad_message", 'the message asks for nothing; say "subscribe" or "unsubscribe".')
        if wish.unsubscribe is not None:
            await self._stop(wish.unsubscribe.job)
        if wish.subscribe is not None:
            await self._start(wish.subscribe)

    async def refuse(self, code: str, message: str) -> None:
        """Tell the client that something it said is wrong."""
        await self._send(json.dumps({"type": "refused", "code": code, "message": message}))

    async def close(self) -> None:
        """End all subscriptions."""
        for job in list(self._tasks):
            await self._stop(job)

    async def _start(self, what: _What) -> None:
        if what.job is None and self._all is not None:  # a new subscription would miss what comes between the two
            self._services.hub.want_previews(self._all, what.previews)
            await self._send(_SUBSCRIBED)
            return
        await self._stop(what.job)
        if len(self._tasks) >= _MOST_FOLLOWED:
            await self.refuse("too_many", f"no more than {_MOST_FOLLOWED} jobs can be followed; subscribe to all.")
            return
        work = self._follow_all(what) if what.job is None else self._follow(what.job, what)
        task = self._tasks[what.job] = asyncio.create_task(self._guarded(work))
        task.add_done_callback(lambda done: self._forget(what.job, done))

    def _forget(self, job: str | None, task: asyncio.Task[None]) -> None:
        """Make room for another job to be followed, as this one has ended."""
        if self._tasks.get(job) is task:
            del self._tasks[job]

    async def _guarded(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except SlowReader:
            await self._drop()
        except UnknownJob as error:  # it may be pruned while it is followed
            await self.refuse("unknown_job", str(error))
        except GraphEngineError as error:
            await self.refuse("unavailable", str(error))

    async def _stop(self, job: str | None) -> None:
        task = self._tasks.pop(job, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _follow(self, job_id: str, what: _What) -> None:
        job = await self._services.store.read(lambda store: store.get(job_id, self._owner))
        follow = self._services.hub.follow(job, what.after, previews=what.previews)
        async with contextlib.aclosing(follow) as following:
            async for messages in following:
                await self._pass_on(messages)
                await asyncio.sleep(_PAUSE_S)

    async def _follow_all(self, what: _What) -> None:
        subscription = self._all = self._services.hub.subscribe(self._owner, previews=what.previews)
        try:
            await self._send(_SUBSCRIBED)
            while messages := await subscription.next():
                await self._pass_on(messages)
                await asyncio.sleep(_PAUSE_S)
        finally:
            self._all = None
            self._services.hub.unsubscribe(subscription)

    async def _pass_on(self, messages: list[Message]) -> None:
        texts = [message.text for message in messages if message.jpeg is None]
        if texts:
            await self._send(f"[{','.join(texts)}]")
        for message in messages:
            if message.jpeg is not None:
                header = message.text.encode()
                await self._send(struct.pack(">I", len(header)) + header + message.jpeg)

    async def _send(self, content: str | bytes) -> None:
        """Send one frame; a client that takes nothing for long is closed."""
        sending: Any = self._socket.send_str if isinstance(content, str) else self._socket.send_bytes  # Any: either
        try:
            await asyncio.wait_for(sending(content), _WRITE_TIMEOUT_S)
        except TimeoutError:
            await self._drop()
        except (ConnectionError, RuntimeError):  # it has gone
            raise asyncio.CancelledError from None

    async def _drop(self) -> None:
        """Close a client that doesn't read; what it missed, it can ask for again."""
        transport = self._socket._req.transport if self._socket._req is not None else None
        with contextlib.suppress(TimeoutError, ConnectionError, RuntimeError):
            closing = self._socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"you read too slowly")
            await asyncio.wait_for(closing, 1.0)
        if transport is not None:
            transport.abort()
