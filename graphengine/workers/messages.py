"""What supervisor and worker tell each other: frames of msgpack, plain data only, never pickle.

A frame is its length as four bytes, big-endian, and then a list: the message's name, then its fields in order.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import msgpack

from graphengine.core.events import WrittenEvent

__all__ = [
    "Answer",
    "Ask",
    "Cancel",
    "Finished",
    "FreeMemory",
    "Happened",
    "Message",
    "Ready",
    "ReloadPacks",
    "Run",
    "Stop",
    "Watch",
    "decode",
    "encode",
    "frame_size",
    "is_plain",
    "read_frame",
]

HEADER_BYTES = 4
LARGEST_FRAME = 256 * 1024 * 1024

Json = Any  # Any: plain data, as msgpack carries it


@dataclass(frozen=True)
class Run:
    """To a worker: run this job.

    Attributes:
        workflow: The document as JSON text.
        output: The folder that the job's files go to; what an earlier attempt left there is removed.
        devices: The devices it may use, the worker's own first.
        previews: Somebody watches; see ``Watch``.
    """

    job: str
    attempt: int
    workflow: str
    targets: Sequence[str] | None
    output: str
    name: str
    devices: Sequence[str]
    previews: bool = False


@dataclass(frozen=True)
class Cancel:
    """To a worker: stop this attempt soon."""

    job: str
    attempt: int


@dataclass(frozen=True)
class Watch:
    """To a worker: from now on somebody, or nobody, watches an attempt's previews."""

    job: str
    attempt: int
    previews: bool


@dataclass(frozen=True)
class Ask:
    """To a worker: answer a question beside the job that runs; see ``JobRunner.answers``."""

    number: int
    what: str
    about: Json = None


@dataclass(frozen=True)
class FreeMemory:
    """To a worker: forget cached values and unload models before the next job."""


@dataclass(frozen=True)
class ReloadPacks:
    """To a worker: load packs again whose files changed, before the next job."""


@dataclass(frozen=True)
class Stop:
    """To a worker: end when the job that runs is over."""


@dataclass(frozen=True)
class Ready:
    """From a worker: packs are loaded, jobs may come.

    Attributes:
        failures: Pack name -> why it did not load.
    """

    pid: int
    device: str
    nodes: int
    failures: Mapping[str, str]


@dataclass(frozen=True)
class Happened:
    """From a worker: events of an attempt, in order."""

    job: str
    attempt: int
    events: Sequence[WrittenEvent]


@dataclass(frozen=True)
class Finished:
    """From a worker: an attempt is over, and so are its events.

    Attributes:
        error: As ``JobError``; None unless it failed.
        outputs: As ``JobOutput``.
        values: Declared outputs that are plain data.
        node_seconds: By node type.
    """

    job: str
    attempt: int
    state: Literal["done", "failed", "cancelled"]
    error: Mapping[str, Json] | None
    outputs: Sequence[Mapping[str, Json]]
    values: Mapping[str, Json]
    node_seconds: Mapping[str, float]
    events: Sequence[WrittenEvent]


@dataclass(frozen=True)
class Answer:
    """From a worker: the answer to a question, or why there is none."""

    number: int
    body: Json
    error: str = ""


Message = Run | Cancel | Watch | Ask | FreeMemory | ReloadPacks | Stop | Ready | Happened | Finished | Answer

_KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (Run, Cancel, Watch, Ask, FreeMemory, ReloadPacks, Stop, Ready, Happened, Finished, Answer)
}


def encode(message: Message) -> bytes:
    """Give a message as a frame; what has no place in one is sent as text."""
    fields = [getattr(message, field.name) for field in dataclasses.fields(message)]
    # names of files that are no Unicode hold lone surrogates, also in the messages of errors
    body: bytes = msgpack.packb([type(message).__name__, *fields], default=str, unicode_errors="replace")
    return struct.pack(">I", len(body)) + body


def is_plain(value: object) -> bool:
    """Tell whether a value arrives as what it is."""
    try:
        msgpack.packb(value)
    except (TypeError, ValueError, OverflowError):  # unknown types, lone surrogates, deep nesting, long integers
        return False
    return True


def frame_size(header: bytes) -> int:
    """Read how many bytes follow a frame's header.

    Raises:
        ValueError: more than any message has, so the stream holds something else.
    """
    (size,) = struct.unpack(">I", header)
    if size > LARGEST_FRAME:
        raise ValueError(f"a frame of {size} bytes is no message.")
    return int(size)


def decode(body: bytes) -> Message:
    """Read a message from a frame's body.

    Raises:
        ValueError: it is none.
    """
    try:
        name, *fields = msgpack.unpackb(body, strict_map_key=False)
        message: Message = _KINDS[name](*fields)
    except (KeyError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise ValueError(f"a frame holds no message: {error}") from error
    return message


def read_frame(stream: BinaryIO) -> Message | None:
    """Read the next message; None at the end of the stream."""
    header = stream.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        return None
    size = frame_size(header)
    body = stream.read(size)
    return decode(body) if len(body) == size else None
