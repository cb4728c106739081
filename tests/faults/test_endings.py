"""A server that is asked to end, a second one for the same folder, a clock that jumps, and a disk that is full."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.clock import end_by_signal, jobs_lost_by_jumps, second_server
from tests.faults.disk import full_disk, live_with_failures
from tests.faults.faulty_libc import can_compile
from tests.server.running import Server, one_node

with_a_faulty_libc = pytest.mark.skipif(not can_compile(), reason="needs Linux and a C compiler")


def test_a_second_server_is_refused_and_the_first_one_goes_on(server: Server) -> None:
    refusal = second_server(server)
    assert refusal.code == 2
    assert "another graphengine serves the data folder" in refusal.said
    assert refusal.seconds < 10  # 2 on a quiet machine
    assert server.end_of(server.submit(one_node("f.Write")))["state"] == "done"


@pytest.mark.slow
def test_a_server_that_is_asked_to_end_gives_back_its_job_and_leaves_no_process(tmp_path: Path) -> None:
    ending = end_by_signal(tmp_path)
    assert ending.seconds < 8
    assert ending.orphans == []
    assert (ending.job["state"], ending.job["deaths"]) == ("done", 0)


@pytest.mark.slow
@with_a_faulty_libc
def test_a_full_disk_refuses_jobs_until_there_is_room(tmp_path: Path) -> None:
    lives, goes_on = full_disk(tmp_path)
    assert set(lives.refused) == {507}
    assert goes_on
    assert lives.false == []
    assert not lives.damaged


@with_a_faulty_libc
@pytest.mark.slow
def test_no_write_or_sync_that_fails_makes_a_false_promise(tmp_path: Path) -> None:
    lives = live_with_failures(tmp_path, 3)
    assert lives.failures >= 9
    assert set(lives.refused) <= {503, 507}
    assert lives.false == []
    assert not lives.damaged


@with_a_faulty_libc
@pytest.mark.slow
def test_a_clock_that_jumps_by_a_day_loses_nothing(tmp_path: Path) -> None:
    assert jobs_lost_by_jumps(tmp_path) == 0
