"""Who hears of jobs: one writer, many subscribers, slow ones dropped with notice.

Events of a job are numbered from 1 over all its attempts, and kept, so that a subscriber that lost its connection goes
on where it was. The last one, ``job_ended``, says what the job's row says, and is made from it when asked for: it needs
no write of its own. Progress and previews are only for who is there: they carry the number of the last event before
them, are never kept, and of those that wait for one subscriber only the newest of each node stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from graphengine.core.events import WrittenEvent
from graphengine.core.job import Job
from graphengine.errors import GraphEngineError
from graphengine.jobs.store import EventBatch, JobStore
from graphengine.jobs.store_thread import StoreThread

__all__ = ["TRANSIENT", "EventHub", "Message", "SlowReader", "Subscription", "ended_event"]

logger = logging.getLogger(__name__)

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
        is_last: Nothing comes after it.
    """

    job: str
    number: int
    text: str
    jpeg: bytes | None = None
    replaces: tuple[str, str, str] | None = None
    is_last: bool = False

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
        unkept: Events that are not known to be on disk. Only the event loop's thread changes it.
    """

    job: Job
    last: int
    unkept: list[Message] = field(default_factory=list)
    has_ended: bool = False


class EventHub:
    """Numbers the events of jobs, keeps them and passes them on.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: StoreThread) -> None:
        self._store = store
        self._live: dict[str, _Live] = {}
        self._subscriptions: set[Subscription] = set()
        self._waiters: dict[str, list[asyncio.Future[Job]]] = {}
        self._tell_watchers_changed: Callable[[], None] = _nobody_is_told
        self._is_closed = False

    def publish(self, job: Job, events: Iterable[Mapping[str, Any]]) -> None:  # Any: JSON, and a preview's bytes
        """Pass on what happened in a job, in order; it is kept soon after, or with ``take_unkept``."""
        self.pass_on(job, map(_written, events))

    def pass_on(self, job: Job, events: Iterable[WrittenEvent]) -> None:
        """Pass on what is written as JSON already, as ``publish`` does; it is not read again."""
        live, hearers = self._live_job(job), self._hearers(job)
        start = f'{{"job":"{job.id}","number":'
        now = f',"time":{time.time():.3f},'
        for type_, node, text, jpeg in events:
            replaces = None
            if type_ in TRANSIENT:
                if not hearers:
                    continue
                replaces = (job.id, type_, node)
            else:
                live.last += 1
            message = Message(job.id, live.last, f"{start}{live.last}{now}{text[1:]}", jpeg, replaces)
            if replaces is None:
                live.unkept.append(message)
            for hearer in hearers:
                hearer.put(message)

    def end(self, job: Job) -> None:
        """Tell everybody that a job has ended, as its row on disk says."""
        live, hearers = self._live_job(job), self._hearers(job)
        message = _ended(job, live.last + 1)
        for hearer in hearers:
            hearer.put(message)
        for waiter in self._waiters.pop(job.id, ()):
            if not waiter.done():
                waiter.set_result(job)
        live.has_ended = True
        if not live.unkept:
            self._live.pop(job.id, None)

    def is_watched(self, job: Job) -> bool:
        """Whether somebody wants to see a job's previews."""
        return any(subscription.previews and subscription.hears(job) for subscription in self._subscriptions)

    def when_watchers_change(self, tell: Callable[[], None]) -> None:
        """Have somebody told when those who want to see previews have become more or fewer."""
        self._tell_watchers_changed = tell

    def is_live(self, job_id: str) -> bool:
        """Whether something was told of a job, and its end is yet to be told."""
        live = self._live.get(job_id)
        return live is not None and not live.has_ended

    @contextlib.contextmanager
    def waiting_for_end(self, job_id: str) -> Iterator[asyncio.Future[Job]]:
        """Give what is done when a job ends from now on; a job that ended before is not noticed."""
        waiter: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(job_id, []).append(waiter)
        try:
            yield waiter
        finally:
            waiter.cancel()
            others = self._waiters.get(job_id, [])
            if waiter in others:
                others.remove(waiter)
            if not others:
                self._waiters.pop(job_id, None)

    def _live_job(self, job: Job) -> _Live:
        live = self._live.get(job.id)
        if live is None:
            live = self._live[job.id] = _Live(job, job.last_event)
        return live

    def _hearers(self, job: Job) -> list[Subscription]:
        return [subscription for subscription in self._subscriptions if subscription.hears(job)]

    def take_unkept(self, job_id: str) -> list[EventBatch]:
        """Give a job's events that are not known to be on disk, as ``JobStore.add_events`` takes them, to be kept now.

        They are given again until they are known to be, so a write that fails loses none. Any thread may call this.
        """
        live = self._live.get(job_id)
        unkept = [] if live is None else live.unkept.copy()  # at one blow, as the loop's thread goes on meanwhile
        if live is None or not unkept:
            return []
        body = f"[{','.join(message.text for message in unkept)}]"
        return [EventBatch(live.job.sequence, unkept[0].number, unkept[-1].number, body)]

    async def keep(self) -> None:
        """Put the events of all jobs on disk."""
        batches = [batch for job_id in list(self._live) for batch in self.take_unkept(job_id)]
        if not batches:
            return
        await self._store.write(lambda store: store.add_events(batches))
        for job_id in list(self._live):
            self.are_kept(job_id, batches)

    def are_kept(self, job_id: str, batches: Iterable[EventBatch]) -> None:
        """Note that a job's events, as ``take_unkept`` gave them, are on disk."""
        live = self._live.get(job_id)
        if live is None:
            return
        last = max((batch.last for batch in batches if batch.job == live.job.sequence), default=0)
        live.unkept = [message for message in live.unkept if message.number > last]
        if live.has_ended and not live.unkept:
            self._live.pop(job_id, None)

    async def keep_regularly(self) -> None:
        """Put events on disk again and again, until cancelled; what can't be kept now is tried again."""
        while True:
            await asyncio.sleep(_FLUSH_EVERY_S)
            try:
                await self.keep()
            except GraphEngineError as error:
                logger.error("events can't be kept: %s", error)

    def subscribe(
        self, owner: str | None, jobs: Collection[str] | None = None, *, previews: bool = True
    ) -> Subscription:
        """Start to hear of jobs from now on; the caller ends it with ``unsubscribe``."""
        subscription = Subscription(owner, jobs, previews=previews)
        self._subscriptions.add(subscription)
        if self._is_closed:
            self.unsubscribe(subscription)
        elif previews:
            self._tell_watchers_changed()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop to hear of jobs."""
        self._subscriptions.discard(subscription)
        subscription.close()
        if subscription.previews:
            self._tell_watchers_changed()

    def want_previews(self, subscription: Subscription, previews: bool) -> None:
        """Give a subscriber previews from now on, or no more."""
        subscription.previews = previews
        self._tell_watchers_changed()

    async def follow(self, job: Job, after: int = 0, *, previews: bool = False) -> AsyncGenerator[list[Message]]:
        """Give a job's events from a number on, first those so far, then those to come, until it has ended.

        Args:
            previews: Those too, which costs the job time.

        Raises:
            SlowReader: see ``Subscription``.
            UnknownJob: it was pruned.
        """
        subscription = self.subscribe(None, [job.id], previews=previews)
        try:
            so_far = await self._so_far(job.id, after)
            yield so_far.messages
            if so_far.job.is_over:
                return
            while messages := await subscription.next():
                new = [each for each in messages if each.replaces is not None or each.number > so_far.last]
                if new:
                    yield new
                if any(message.is_last for message in new):
                    return
        finally:
            self.unsubscribe(subscription)

    async def replay(self, job_id: str, after: int) -> list[Message]:
        """Give a job's events with numbers above this one that have come so far.

        Raises:
            UnknownJob: there is no such job.
        """
        return (await self._so_far(job_id, after)).messages

    async def _so_far(self, job_id: str, after: int) -> _SoFar:
        # What waits is copied before the disk is read: an event that comes to the disk meanwhile is in both, never in
        # neither.
        live = self._live.get(job_id)
        waiting = [] if live is None else live.unkept.copy()

        def read(store: JobStore) -> tuple[Job, list[dict[str, Any]]]:  # Any: JSON
            return store.get(job_id), store.events_after(job_id, after)

        job, events = await self._store.read(read)
        messages = [_of_kept(job_id, event) for event in events]
        last = messages[-1].number if messages else after
        messages += [message for message in waiting if message.number > last]
        # A server that ended at once lost its last events, so a subscriber may have heard of more than there are. Their
        # numbers are given again, and it must hear of the new ones.
        known = max([job.last_event, *(message.number for message in waiting[-1:])])
        if job.is_over and after != known + 1:
            messages.append(_ended(job, known + 1))
        return _SoFar(job, messages, messages[-1].number if messages else min(after, known))

    def close(self) -> None:
        """End all subscriptions, and those to come at once."""
        self._is_closed = True
        for subscription in list(self._subscriptions):
            self.unsubscribe(subscription)


def _nobody_is_told() -> None:
    pass


class _SoFar(NamedTuple):
    """A job, its events after some number, and the number from which to go on."""

    job: Job
    messages: list[Message]
    last: int


def ended_event(job: Job) -> dict[str, Any]:  # Any: JSON
    """Give the event that tells of a job's end."""
    error = None if job.error is None else job.error.model_dump(mode="json", exclude_defaults=True)
    outputs = [output.model_dump(mode="json", exclude_defaults=True) for output in job.outputs]
    return {"type": "job_ended", "state": job.state, "error": error, "outputs": outputs, "values": dict(job.values)}


def _written(event: Mapping[str, Any]) -> WrittenEvent:  # Any: as in publish
    shown = {name: value for name, value in event.items() if name != "jpeg"}
    return event["type"], event.get("node", ""), _dumps(shown), event.get("jpeg")


def _of_kept(job_id: str, event: Mapping[str, Any]) -> Message:  # Any: JSON
    return Message(job_id, event["number"], _dumps(event))


def _ended(job: Job, number: int) -> Message:
    event = {"job": job.id, "number": number, "time": job.finished, **ended_event(job)}
    return Message(job.id, number, _dumps(event), is_last=True)


def _dumps(event: Mapping[str, Any]) -> str:  # Any: JSON
    try:
        return json.dumps(event, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError:  # a value is no finite number: JSON has no such, and a browser could read nothing of it
        return json.dumps(_finite(event), separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:  # Any: JSON
    """Write numbers that JSON doesn't have as texts, as a run's own events do."""
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
