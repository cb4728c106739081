"""Who hears of jobs: one writer, many subscribers, slow ones dropped with notice.

Events of a job are numbered from 1 over all its attempts, and kept, so that a subscriber that lost its connection goes
on where it was. Progress and previews are only for who is there: they carry the number of the last event before them,
are never kept, and of those that wait for one subscriber only the newest of each node stays.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from graphengine.core.job import Job
from graphengine.jobs.store import JobStore
from graphengine.jobs.store_thread import StoreThread

__all__ = ["TRANSIENT", "EventHub", "Message", "SlowReader", "Subscription", "ended_event"]

TRANSIENT = frozenset({"node_progress", "node_preview"})
"""Event types that are not kept."""

MOST_PENDING_BYTES = 8 * 1024 * 1024
"""What may wait for one subscriber before it is dropped."""

_FLUSH_EVERY_S = 1.0
_PREVIEW_OVERHEAD_BYTES = 200


class SlowReader(Exception):
    """A subscriber did not read what was sent, so it is told no more; it may subscribe again from where it was."""


class Message(NamedTuple):
    """An event on its way to subscribers.

    Attributes:
        number: Its number in its job.
        text: The event as JSON.
        jpeg: A preview's picture, which is sent as bytes beside the text.
        replaces: Messages with the same key that still wait are replaced; None for events that are kept.
    """

    job: str
    number: int
    text: str
    jpeg: bytes | None = None
    replaces: tuple[str, str, str] | None = None

    @property
    def event(self) -> dict[str, Any]:  # Any: JSON
        """The event as data."""
        event: dict[str, Any] = json.loads(self.text)  # Any: JSON
        return event

    @property
    def size_bytes(self) -> int:
        """About what it takes in a subscriber's buffer."""
        return len(self.text) + (len(self.jpeg) if self.jpeg is not None else 0) + _PREVIEW_OVERHEAD_BYTES


class Subscription:
    """What waits for one subscriber.

    Args:
        owner: Hears of this owner's jobs only; None for all.
        jobs: Hears of these jobs only; None for all.
    """

    def __init__(self, owner: str | None, jobs: Collection[str] | None = None, *, previews: bool = True) -> None:
        self.owner = owner
        self.jobs = None if jobs is None else set(jobs)
        self.previews = previews
        self._pending: dict[object, Message] = {}
        self._pending_bytes = 0
        self._count = 0
        self._ready = asyncio.Event()
        self._is_slow = False
        self._is_closed = False

    def hears(self, job: Job) -> bool:
        """Whether it wants to hear of a job."""
        return (self.owner is None or job.owner == self.owner) and (self.jobs is None or job.id in self.jobs)

    def put(self, message: Message) -> None:
        """Add what it hears next; after too much, it is marked as slow and what waits is dropped."""
        if self._is_slow or (message.jpeg is not None and not self.previews):
            return
        self._count += 1
        key: object = self._count if message.replaces is None else message.replaces
        old = self._pending.pop(key, None)
        self._pending_bytes += message.size_bytes - (old.size_bytes if old is not None else 0)
        self._pending[key] = message
        if self._pending_bytes > MOST_PENDING_BYTES:
            self._is_slow = True
            self._pending.clear()
        self._ready.set()

    def close(self) -> None:
        """End it; what waits is still given out."""
        self._is_closed = True
        self._ready.set()

    async def next(self) -> list[Message]:
        """Wait for messages and take all there are; an empty list once it is closed.

        Raises:
            SlowReader: too much waited.
        """
        while not self._pending:
            if self._is_slow:
                raise SlowReader
            if self._is_closed:
                return []
            self._ready.clear()
            await self._ready.wait()
        messages = list(self._pending.values())
        self._pending.clear()
        self._pending_bytes = 0
        return messages


@dataclass
class _Live:
    """A job whose events come in.

    Attributes:
        last: Number of the last event.
        unkept: Events that are not on disk yet, as JSON texts.
    """

    job: Job
    last: int
    unkept: list[str] = field(default_factory=list)
    unkept_from: float = 0.0


class EventHub:
    """Numbers the events of jobs, keeps them and passes them on.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: StoreThread) -> None:
        self._store = store
        self._live: dict[str, _Live] = {}
        self._subscriptions: set[Subscription] = set()

    def publish(self, job: Job, events: Iterable[Mapping[str, Any]]) -> None:  # Any: JSON, and a preview's bytes
        """Pass on what happened in a job, in order; it is kept soon after, or with ``take_unkept``."""
        live = self._live.get(job.id)
        if live is None:
            live = self._live[job.id] = _Live(job, job.last_event)
        hearers = [subscription for subscription in self._subscriptions if subscription.hears(job)]
        now = round(time.time(), 3)
        for event in events:
            is_kept = event["type"] not in TRANSIENT
            if is_kept:
                live.last += 1
            elif not hearers:
                continue
            message = _message(live, event, now)
            if is_kept:
                if not live.unkept:
                    live.unkept_from = time.monotonic()
                live.unkept.append(message.text)
            for hearer in hearers:
                hearer.put(message)

    def take_unkept(self, job_id: str) -> list[tuple[int, int, str]]:
        """Give the events of a job that are not on disk, as ``JobStore.add_events`` takes them, to be kept now."""
        live = self._live.get(job_id)
        if live is None or not live.unkept:
            return []
        batch = (live.job.sequence, live.last, f"[{','.join(live.unkept)}]")
        live.unkept = []
        return [batch]

    def forget(self, job_id: str) -> None:
        """Drop what is held of a job that has ended and whose events are kept."""
        self._live.pop(job_id, None)

    async def keep(self) -> None:
        """Put the events of all jobs on disk."""
        batches = [batch for job_id in list(self._live) for batch in self.take_unkept(job_id)]
        if batches:
            await self._store.write(lambda store: store.add_events(batches))

    async def keep_regularly(self) -> None:
        """Put events on disk again and again, until cancelled."""
        while True:
            await asyncio.sleep(_FLUSH_EVERY_S)
            await self.keep()

    def subscribe(
        self, owner: str | None, jobs: Collection[str] | None = None, *, previews: bool = True
    ) -> Subscription:
        """Start to hear of jobs from now on; the caller ends it with ``unsubscribe``."""
        subscription = Subscription(owner, jobs, previews=previews)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop to hear of jobs."""
        self._subscriptions.discard(subscription)
        subscription.close()

    async def follow(self, job: Job, after: int = 0) -> AsyncGenerator[list[Message]]:
        """Give a job's events from a number on, first the kept ones, then those to come, until it has ended.

        Raises:
            SlowReader: see ``Subscription``.
        """
        subscription = self.subscribe(None, [job.id])
        try:
            kept = await self.replay(job.id, after)
            yield kept
            last = max([after, *(message.number for message in kept)])
            if any(_is_last(message) for message in kept):
                return
            job = await self._store.read(lambda store: store.get(job.id))
            if job.is_over and job.id not in self._live:
                return
            while messages := await subscription.next():
                new = [message for message in messages if message.replaces is not None or message.number > last]
                if new:
                    yield new
                if any(_is_last(message) for message in new):
                    return
        finally:
            self.unsubscribe(subscription)

    async def replay(self, job_id: str, after: int) -> list[Message]:
        """Give a job's events with numbers above this one that have come so far."""
        batches = self.take_unkept(job_id)
        if batches:
            await self._store.write(lambda store: store.add_events(batches))

        def read(store: JobStore) -> list[dict[str, Any]]:  # Any: JSON
            return store.events_after(job_id, after)

        events = await self._store.read(read)
        return [Message(job_id, event["number"], _dumps(event)) for event in events]

    def close(self) -> None:
        """End all subscriptions."""
        for subscription in list(self._subscriptions):
            self.unsubscribe(subscription)


def ended_event(job: Job) -> dict[str, Any]:  # Any: JSON
    """Give the event that tells of a job's end."""
    error = None if job.error is None else job.error.model_dump(mode="json", exclude_defaults=True)
    outputs = [output.model_dump(mode="json", exclude_defaults=True) for output in job.outputs]
    return {"type": "job_ended", "state": job.state, "error": error, "outputs": outputs, "values": dict(job.values)}


def _message(live: _Live, event: Mapping[str, Any], now: float) -> Message:  # Any: as in publish
    jpeg = event.get("jpeg")
    named: dict[str, Any] = {"job": live.job.id, "number": live.last, "time": now}  # Any: JSON
    if event["type"] not in TRANSIENT:
        return Message(live.job.id, live.last, _dumps({**named, **event}))
    shown = {name: value for name, value in event.items() if name != "jpeg"}
    replaces = (live.job.id, event["type"], event["node"])
    return Message(live.job.id, live.last, _dumps({**named, **shown}), jpeg, replaces)


def _is_last(message: Message) -> bool:
    return message.replaces is None and '"type":"job_ended"' in message.text


def _dumps(event: Mapping[str, Any]) -> str:  # Any: JSON
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False)
