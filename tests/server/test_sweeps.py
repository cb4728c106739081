"""A sweep's jobs share what they have in common: it is computed once, or once for each worker that there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product

import pytest

from tests.server.running import Json, Server, one_node, running, workflow


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two workers."""
    with running(tmp_path_factory.mktemp("pair"), "--devices", "cpu,cpu") as started:
        yield started


def _grid(start: float) -> Json:
    """
    start ──▶ sum ──▶ paint        swept: sum.b, which changes fastest, and paint.side
    """
    nodes = {
        "start": ("t.Number", {"value": start}),
        "sum": ("t.Add", {"a": {"$link": "start.number"}, "b": 0.0}),
        "paint": ("t.Paint", {"level": {"$link": "sum.sum"}, "side": 8}),
    }
    return workflow(nodes)


def _sweep(server: Server, document: Json) -> Counter[str]:
    """Queue a grid as the editor does; give how often each node ran."""
    pairs = [{"sum.b": level, "paint.side": side} for side, level in product((8, 16), (0.1, 0.2))]
    jobs = [server.submit(document, inputs=each) for each in pairs]
    ran: Counter[str] = Counter()
    for id_ in jobs:
        job = server.end_of(id_)
        assert (job["state"], len(job["outputs"])) == ("done", 1)
        events = server.ask("GET", f"/jobs/{id_}/events").json["events"]
        ran.update(each["node"] for each in events if each["type"] == "node_started")
    return ran


def test_what_a_grids_jobs_share_is_computed_once(server: Server) -> None:
    assert _sweep(server, _grid(0.11)) == {"start": 1, "sum": 2, "paint": 4}


@pytest.mark.slow
def test_with_two_workers_it_is_computed_at_most_once_in_each(pair: Server) -> None:
    ran = _sweep(pair, _grid(0.12))
    assert ran["start"] in (1, 2)
    assert ran["sum"] in (2, 3, 4)
    assert ran["paint"] == 4


@pytest.mark.slow
def test_a_value_is_found_in_whichever_worker_has_it(pair: Server) -> None:
    """The first worker is busy while the second one makes the value, and free again when it is asked for."""
    slow = pair.submit(one_node("t.Slow", seconds=60.0))
    pair.until_running(slow)
    document = workflow({"paint": ("t.Paint", {"level": 0.77})})
    assert pair.end_of(pair.submit(document))["state"] == "done"
    pair.ask("POST", f"/jobs/{slow}/cancel")
    pair.end_of(slow)
    asked = {"workflow": document, "node": "paint", "output": "image"}
    assert pair.ask("POST", "/probe", asked).json["known"]
