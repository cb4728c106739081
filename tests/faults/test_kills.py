"""Servers and workers that are killed lose nothing that was accepted, and do nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.kills import Found, kill_servers


def test_servers_that_are_killed_under_load_lose_nothing(tmp_path: Path) -> None:
    check(kill_servers(tmp_path, 2))


@pytest.mark.slow
def test_servers_and_workers_that_are_killed_again_and_again_lose_nothing(tmp_path: Path) -> None:
    check(kill_servers(tmp_path, 10, worker_kills_each=2, seed=2))


def check(found: Found) -> None:
    assert found.accepted > found.kills
    assert found.lost == []
    assert found.doubled == []
    assert found.orphans == []
    assert found.partial == []
    assert found.sound
