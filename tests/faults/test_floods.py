"""Clients that listen and never read are nobody else's problem."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from tests.faults.floods import flood, mute_socket
from tests.faults.processes import time_to_look
from tests.server.running import Server, one_node


def test_mute_sockets_hold_nobody_up(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(mute_socket(server))
        jobs = [server.submit(one_node("f.Write", text=f"{number}")) for number in range(5)]
        assert all(server.end_of(job)["state"] == "done" for job in jobs)
        assert min(time_to_look(server) for _ in range(5)) < 0.5
    assert server.ask("GET", "//healthz").status == 200


@pytest.mark.slow
def test_a_stalled_socket_costs_others_no_event(server: Server) -> None:
    began = time.monotonic()
    heard = flood(server, 640)
    assert len(set(heard.numbers)) == heard.told
    assert heard.stalled_is_dropped, time.monotonic() - began
