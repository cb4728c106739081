"""Events over a websocket: one job or all, going on after a loss, previews, and clients that talk nonsense."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from tests.server.running import Json, Server, one_node

Socket = ClientWebSocketResponse[bool]
T = TypeVar("T")

_WAIT_S = 20.0


def talk(server: Server, talk: Callable[[Socket], Awaitable[T]], *, as_: str | None = None) -> T:
    """Open a websocket and talk over it."""

    async def go() -> T:
        headers = {} if as_ is None else {"Authorization": f"Bearer {server.tokens[as_]}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.ws_connect(f"http://{server.host}:{server.port}/api/v1/events") as socket,
        ):
            return await asyncio.wait_for(talk(socket), _WAIT_S)

    return asyncio.run(go())


async def subscribe(socket: Socket, **what: Json) -> None:
    await socket.send_json({"subscribe": what})


async def until_the_end(socket: Socket) -> list[Json]:
    """Hear events until a job has ended; previews as ``(header, picture)``."""
    heard: list[Json] = []
    while True:
        frame = await socket.receive()
        if frame.type == WSMsgType.BINARY:
            (length,) = struct.unpack(">I", frame.data[:4])
            heard.append((json.loads(frame.data[4 : 4 + length]), frame.data[4 + length :]))
            continue
        assert frame.type == WSMsgType.TEXT, frame
        heard += _events(frame.data)
        if any(isinstance(each, dict) and each["type"] == "job_ended" for each in heard):
            return heard


def test_one_job_is_followed_from_its_start(server: Server) -> None:
    id_ = server.submit(one_node("t.Say"))
    server.end_of(id_)

    async def follow(socket: Socket) -> list[Json]:
        await subscribe(socket, job=id_)
        return await until_the_end(socket)

    assert talk(server, follow) == server.ask("GET", f"/jobs/{id_}/events").json["events"]


def test_lost_connection_goes_on_where_it_was(server: Server) -> None:
    id_ = server.submit(one_node("t.Slow", seconds=0.4))
    server.until_running(id_)

    async def first(socket: Socket) -> int:
        await subscribe(socket, job=id_)
        return int((await socket.receive_json())[-1]["number"])

    seen = talk(server, first)

    async def rest(socket: Socket) -> list[Json]:
        await subscribe(socket, job=id_, after=seen, previews=False)
        return await until_the_end(socket)

    numbers = [event["number"] for event in talk(server, rest) if event["type"] != "node_progress"]
    last = server.ask("GET", f"/jobs/{id_}/events").json["events"][-1]["number"]
    assert numbers == list(range(seen + 1, last + 1))


def test_number_to_come_hides_no_end(server: Server) -> None:
    id_ = server.submit(one_node("t.Slow", seconds=0.3))

    async def follow(socket: Socket) -> list[Json]:
        await subscribe(socket, job=id_, after=10**9)
        return await until_the_end(socket)

    assert talk(server, follow)[-1]["state"] == "done"


@pytest.mark.parametrize("one", [True, False], ids=["one job", "all jobs"])
@pytest.mark.parametrize("wanted", [True, False], ids=["with previews", "without"])
def test_previews_come_as_pictures_to_who_wants_them(server: Server, one: bool, wanted: bool) -> None:
    server.ask("POST", "/queue/pause")
    id_ = server.submit(one_node("t.Sketch", steps=4))

    async def follow(socket: Socket) -> list[Json]:
        await subscribe(socket, previews=wanted, **({"job": id_} if one else {}))
        await asyncio.to_thread(server.ask, "POST", "/queue/resume")
        return await until_the_end(socket)

    previews = [each for each in talk(server, follow) if isinstance(each, tuple)]
    assert bool(previews) is wanted
    for header, picture in previews:
        assert (header["type"], header["job"], header["node"]) == ("node_preview", id_, "n")
        assert picture.startswith(b"\xff\xd8")
    server.end_of(id_)


def test_who_looks_away_for_a_while_misses_previews_and_nothing_else(server: Server) -> None:
    async def follow(socket: Socket) -> list[Json]:
        await subscribe(socket, previews=False)
        id_ = await asyncio.to_thread(server.submit, one_node("t.Sketch", steps=400))
        await asyncio.to_thread(server.until_running, id_)
        heard: list[Json] = []
        await subscribe(socket, previews=True)
        while (frame := await socket.receive()).type != WSMsgType.BINARY:
            heard += _events(frame.data)
        await subscribe(socket, previews=False)
        await asyncio.to_thread(server.ask, "POST", f"/jobs/{id_}/cancel")
        heard += [each for each in await until_the_end(socket) if isinstance(each, dict)]
        numbers = [each["number"] for each in heard if each["type"] not in ("node_progress", "subscribed")]
        assert numbers == list(range(1, len(numbers) + 1))
        return heard

    assert talk(server, follow)[-1]["state"] == "cancelled"


def _events(text: str) -> list[Json]:
    said = json.loads(text)
    return said if isinstance(said, list) else [said]


def test_all_jobs_are_heard_of_until_unsubscribed(server: Server) -> None:
    async def follow(socket: Socket) -> list[Json]:
        await subscribe(socket)
        assert await socket.receive_json() == {"type": "subscribed"}
        id_ = await asyncio.to_thread(server.submit, one_node("t.Say"))
        heard = await until_the_end(socket)
        assert {event["job"] for event in heard} == {id_}
        await socket.send_json({"unsubscribe": {}})
        await socket.send_str("?")  # its answer comes after the unsubscribing
        await socket.receive_json()
        await asyncio.to_thread(lambda: server.end_of(server.submit(one_node("t.Say"))))
        await socket.send_str("?")
        return [await socket.receive_json()]

    assert [said["type"] for said in talk(server, follow)] == ["refused"]


def test_jobs_that_ended_leave_room_for_others(server: Server) -> None:
    id_ = server.submit(one_node("t.Say"))
    server.end_of(id_)

    async def follow(socket: Socket) -> None:
        for number in range(250):
            await subscribe(socket, job=f"nothing{number}")
            assert (await socket.receive_json())["code"] == "unknown_job"
        await subscribe(socket, job=id_)
        assert (await until_the_end(socket))[-1]["type"] == "job_ended"

    talk(server, follow)


def test_nobody_hears_of_anothers_jobs(guarded: Server) -> None:
    async def follow(socket: Socket) -> list[Json]:
        await subscribe(socket)
        assert await socket.receive_json() == {"type": "subscribed"}
        other = await asyncio.to_thread(guarded.submit, one_node("t.Sketch", steps=2), as_="anna")
        await subscribe(socket, job=other)
        assert (await socket.receive_json())["code"] == "unknown_job"
        await asyncio.to_thread(guarded.end_of, other, as_="anna")
        mine = await asyncio.to_thread(guarded.submit, one_node("t.Say"), as_="ben")
        heard = await until_the_end(socket)
        assert {event["job"] for event in heard} == {mine}
        return heard

    assert talk(guarded, follow, as_="ben")
    with pytest.raises(WSServerHandshakeError) as refused:
        talk(guarded, follow)
    assert refused.value.status == 401


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("no json", "not valid JSON"),
        ("{}", "asks for nothing"),
        ("[]", "message: Input should be"),
        ('{"subscribe": {"job": 5}}', "subscribe.job: "),
        ('{"subscribe": {"after": -1}}', "subscribe.after: "),
        ('{"odd": 1}', "odd: "),
        ('{"subscribe": {}, "subscribe": {}}', "stands twice"),
        ('{"subscribe": {"job": "\\ud800"}}', "half a character"),
        ("[" * 5000, "nested too deeply"),
        ('{"subscribe": {"after": 1' + "0" * 5000 + "}}", "too many digits"),
        ('{"subscribe": {"after": NaN}}', "NaN"),
    ],
)
def test_nonsense_is_answered(server: Server, said: str, told: str) -> None:
    async def say(socket: Socket) -> Json:
        await socket.send_str(said)
        return await socket.receive_json()

    answer = talk(server, say)
    assert (answer["type"], answer["code"]) == ("refused", "bad_message")
    assert told in answer["message"]


def test_binary_frames_mean_nothing(server: Server) -> None:
    async def say(socket: Socket) -> Json:
        await socket.send_bytes(b"\0" * 100)
        return await socket.receive_json()

    assert talk(server, say)["code"] == "bad_message"


def test_huge_message_closes_the_connection_only(server: Server) -> None:
    async def say(socket: Socket) -> object:
        await socket.send_str("x" * 1_000_000)
        frame = await socket.receive()
        return frame.data

    assert talk(server, say) == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
    assert server.ask("GET", "/system").status == 200


def test_request_without_an_upgrade_is_refused(server: Server) -> None:
    reply = server.ask("GET", "/events")
    assert (reply.status, reply.code) == (400, "bad_request")
