"""Clients that listen and never read, beside others that want to be served."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil

from tests.faults.measured import Result, Scale, percentile
from tests.faults.processes import faulty_server, time_to_look
from tests.server.running import Server, one_node, until

__all__ = ["Heard", "flood", "mute_socket", "mute_sockets", "stalled_socket"]

_SOCKETS = 200
_JOBS = 50
_MOST_MEMORY_MIB = 50
_SMALL_BUFFER_BYTES = 4096
_MESSAGE_KIB = 20
_MESSAGES = 640  # 12.5 MiB


@contextmanager
def mute_socket(server: Server) -> Iterator[socket.socket]:
    """Listen to all events over a websocket, and read nothing but the answer to the handshake."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER_BYTES)
        connection.settimeout(10)
        connection.connect((server.host, server.port))
        connection.sendall(
            b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        )
        assert connection.recv(12) == b"HTTP/1.1 101"
        wish = b'{"subscribe":{}}'
        connection.sendall(struct.pack(">BBI", 0x81, 0x80 | len(wish), 0) + wish)  # masked with zeros
        yield connection


def mute_sockets(folder: Path, scale: Scale) -> Result:
    """Row 9: many of them while jobs run."""
    looks = []
    with faulty_server(folder) as server, ExitStack() as stack:
        for _ in range(_SOCKETS):
            stack.enter_context(mute_socket(server))
        jobs = [server.submit(one_node("f.Write", text=f"{number}", seconds=0.05)) for number in range(_JOBS)]
        end = time.monotonic() + 120
        while any(server.job(job)["finished"] is None for job in jobs[-1:]) and time.monotonic() < end:
            looks.append(time_to_look(server))
            time.sleep(0.005)
        done = sum(server.end_of(job)["state"] == "done" for job in jobs)
    p99 = percentile(looks, 0.99) * 1000
    return Result(f"{p99:.1f} ms ({len(looks):,} looks), {done} of {_JOBS} done", p99 <= 50 and done == _JOBS)


@dataclass
class Heard:
    """What a client hears of a job that tells a lot.

    Attributes:
        numbers: Of its events.
        memory_mib: What the server held at most meanwhile, above what it held before.
        stalled_is_dropped: Whether the one that doesn't read was closed.
    """

    told: int
    numbers: list[int] = field(default_factory=list)
    memory_mib: float = 0.0
    stalled_is_dropped: bool = False


def stalled_socket(folder: Path, scale: Scale) -> Result:
    """Row 10: one that falls behind by more than a server should keep for it."""
    with faulty_server(folder) as server:
        server.end_of(server.submit(one_node("f.Tell", count=5)))
        heard = flood(server, _MESSAGES)
    share = 100 * len(set(heard.numbers)) / heard.told
    return Result(
        f"{share:.4g} % of {heard.told * _MESSAGE_KIB / 1024:.1f} MiB; {heard.memory_mib:+.0f} MiB; "
        f"the stalled one is {'dropped' if heard.stalled_is_dropped else 'kept'}",
        share == 100 and heard.memory_mib <= _MOST_MEMORY_MIB,
    )


def flood(server: Server, count: int) -> Heard:
    """Have a job tell a lot, to a client that doesn't read and to one that does."""
    heard = Heard(count)
    process = psutil.Process(server.pid)
    before, ended = process.memory_info().rss, threading.Event()
    with mute_socket(server) as stalled:
        listener = threading.Thread(target=asyncio.run, args=(_listen(server, heard, ended),))
        listener.start()
        until(lambda: heard.numbers == [0])
        heard.numbers.clear()
        server.submit(one_node("f.Tell", count=count, kib=_MESSAGE_KIB))
        while not ended.wait(0.05):
            heard.memory_mib = max(heard.memory_mib, (process.memory_info().rss - before) / 1024**2)
        listener.join()
        heard.stalled_is_dropped = _is_closed(stalled)
    return heard


async def _listen(server: Server, heard: Heard, ended: threading.Event) -> None:
    """Hear events until a job has ended or nothing comes any more; note warnings by their place in the job."""
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://{server.host}:{server.port}/api/v1/events", max_msg_size=0) as connection,
        ):
            await connection.send_json({"subscribe": {}})
            while True:
                frame = await connection.receive(timeout=30)
                if frame.type != aiohttp.WSMsgType.TEXT:
                    return
                said = json.loads(frame.data)
                if isinstance(said, dict):
                    heard.numbers.append(0)  # it is subscribed
                    continue
                heard.numbers += [event["number"] for event in said if event["type"] == "node_warning"]
                if any(event["type"] == "job_ended" for event in said):
                    return
    except TimeoutError:
        return
    finally:
        ended.set()


def _is_closed(connection: socket.socket) -> bool:
    """Read what a connection still holds, and tell whether it ends then."""
    connection.settimeout(5)
    with contextlib.suppress(TimeoutError):
        try:
            while connection.recv(1 << 20):
                pass
        except ConnectionError:
            return True
        return True
    return False
