"""Frames: what comes out is what went in, and garbage is refused."""

from __future__ import annotations

import io
import struct

import msgpack
import pytest

from graphengine.workers import messages
from graphengine.workers.messages import (
    HEADER_BYTES,
    Answer,
    Ask,
    Cancel,
    Finished,
    FreeMemory,
    Happened,
    Message,
    Ready,
    ReloadPacks,
    Run,
    Stop,
    Watch,
    decode,
    encode,
    frame_size,
    is_plain,
    read_frame,
)

EVERY = [
    Run("j", 1, "{}", ["a"], "/out", "name", ["cpu"], True),
    Cancel("j", 2),
    Watch("j", 2, True),
    Ask(3, "ping", {"deep": [1, None, "x"]}),
    FreeMemory(),
    ReloadPacks(),
    Stop(),
    Ready(12, "cpu", 5, {"pack": "why"}),
    Happened("j", 1, [("node_preview", "a", "{}", b"\xff\xd8")]),
    Finished("j", 1, "done", None, [], {"x": 1.5}, {"t": 0.1}, []),
    Answer(3, "pong", ""),
]


@pytest.mark.parametrize("message", EVERY, ids=lambda message: type(message).__name__)
def test_comes_out_as_it_went_in(message: Message) -> None:
    came = read_frame(io.BytesIO(encode(message)))
    assert type(came) is type(message)
    assert encode(came) == encode(message)  # tuples come as lists


def test_every_message_is_tried() -> None:
    assert {type(each).__name__ for each in EVERY} == set(messages._KINDS)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"no msgpack at all",
        msgpack.packb(5),
        msgpack.packb([]),
        msgpack.packb(["Nobody"]),
        msgpack.packb([["Run"]]),
        msgpack.packb(["Cancel", "j"]),
        msgpack.packb(["Stop", 1, 2]),
        msgpack.packb(["Stop"]) + b"\x00",
        b"\xa2\xff\xfe",
    ],
)
def test_garbage_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(body)


def test_a_frame_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="is no message"):
        frame_size(struct.pack(">I", 2**32 - 1))


def test_half_a_frame_is_the_end() -> None:
    frame = encode(Stop())
    assert read_frame(io.BytesIO(frame[: HEADER_BYTES - 1])) is None
    assert read_frame(io.BytesIO(frame[:-1])) is None


def test_what_has_no_place_in_a_frame_is_sent_as_text() -> None:
    sent = Answer(1, {"path": "caf\udce9", "long": 2**70, "set": frozenset([1])})
    assert decode(encode(sent)[HEADER_BYTES:]) == Answer(
        1, {"path": "caf?", "long": str(2**70), "set": "frozenset({1})"}
    )


def test_says_what_arrives_as_it_is() -> None:
    deep: list[object] = []
    for _ in range(2000):
        deep = [deep]
    assert is_plain({"a": [1, 2.5, None, True, "é"]})
    assert not any(is_plain(each) for each in (object(), [object()], 2**70, "\udc80", deep))
