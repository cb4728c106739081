"""Jobs over HTTP: submitting, listing, following, stopping, trying again, moving, forgetting."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse

import pytest

from tests.server.running import Json, Server, one_node, until, workflow

SUM = workflow(
    {
        "a": ("t.Number", {"value": 2.0}),
        "sum": ("t.Add", {"a": {"$link": "a.number"}, "b": 3.0}),
        "end": ("t.Say", {"text": "done"}),
    },
    outputs={"total": {"from": "sum.sum"}},
)
SLOW = one_node("t.Slow", seconds=60.0)


@contextmanager
def paused(server: Server) -> Iterator[None]:
    assert server.ask("POST", "/queue/pause").status == 204
    try:
        yield
    finally:
        assert server.ask("POST", "/queue/resume").status == 204


def read_stream(answer: HTTPResponse) -> list[tuple[int, Json]]:
    """Read server-sent events until the stream ends."""
    events, number = [], 0
    for line in answer:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "id":
            number = int(value)
        elif name == "data":
            events.append((number, json.loads(value)))
    return events


def test_job_runs_and_gives_its_values_and_files(server: Server) -> None:
    reply = server.ask("POST", "/jobs", {"workflow": SUM, "name": "my sum", "inputs": {"a.value": 4.0}})
    assert reply.status == 201
    assert reply.json["is_new"] is True
    assert reply.json["job"]["state"] == "queued"
    job = server.end_of(reply.json["job"]["id"])
    assert (job["state"], job["values"], job["name"]) == ("done", {"total": 7.0}, "my sum")
    (output,) = job["outputs"]
    assert output["path"] == "said.txt"
    assert server.ask("GET", f"/assets/{output['asset']}").body == b"done"


def test_job_keeps_the_workflow_that_it_was_given(server: Server) -> None:
    id_ = server.submit(SUM, inputs={"a.value": 4.0})
    reply = server.ask("GET", f"/jobs/{id_}/workflow")
    assert reply.json["nodes"]["a"]["inputs"] == {"value": 4.0}
    server.end_of(id_)


def test_targets_limit_what_runs(server: Server) -> None:
    id_ = server.submit(SUM, targets=["a"])
    assert server.end_of(id_)["outputs"] == []


def test_waiting_answers_at_the_end_or_after_the_time(server: Server) -> None:
    id_ = server.submit(one_node("t.Slow", seconds=0.3))
    started = time.monotonic()
    assert server.end_of(id_)["state"] == "done"
    assert time.monotonic() - started < 10
    with paused(server):
        waiting = server.submit(SUM)
        started = time.monotonic()
        assert server.ask("GET", f"/jobs/{waiting}?wait=0.2").json["job"]["state"] == "queued"
        assert 0.2 <= time.monotonic() - started < 5
    server.end_of(waiting)


def test_failed_job_says_why(server: Server) -> None:
    job = server.end_of(server.submit(one_node("t.Fail", message="no flour")))
    assert job["state"] == "failed"
    assert job["error"]["code"] == "node_failed"
    assert "no flour" in job["error"]["message"]
    assert job["error"]["extra"]["node"] == "n"


def test_the_same_key_gives_the_same_job(server: Server) -> None:
    first = server.ask("POST", "/jobs", {"workflow": SUM, "idempotency_key": "k1"})
    again = server.ask("POST", "/jobs", {"workflow": SUM}, headers={"Idempotency-Key": "k1"})
    assert again.json["job"]["id"] == first.json["job"]["id"]
    assert again.json["is_new"] is False
    server.end_of(first.json["job"]["id"])


@pytest.mark.parametrize("key", ["", "x" * 300, "half \udcff character"], ids=["empty", "long", "not text"])
def test_a_key_that_cant_be_one_is_refused(server: Server, key: str) -> None:
    raw = key.encode("utf-8", "surrogateescape").decode("latin-1")
    reply = server.ask("POST", "/jobs", {"workflow": SUM}, headers={"Idempotency-Key": raw})
    assert (reply.status, reply.code) == (422, "bad_field")


def test_pages_go_through_all_jobs_once(server: Server) -> None:
    with paused(server):
        ids = [server.submit(SUM, name="in pages") for _ in range(5)]
        found: list[str] = []
        query = ""
        while True:
            page = server.ask("GET", f"/jobs?text=in%20PAGES&limit=2{query}").json
            found += [job["id"] for job in page["jobs"]]
            assert len(page["jobs"]) <= 2
            if page["next"] is None:
                break
            query = f"&before={page['next']}"
        assert found == ids[::-1]
        for id_ in ids:
            server.ask("POST", f"/jobs/{id_}/cancel")


def test_jobs_are_listed_by_states(server: Server) -> None:
    done, failed = server.submit(SUM), server.submit(one_node("t.Fail"))
    server.end_of(done)
    server.end_of(failed)
    one = server.ask("GET", "/jobs?state=failed&limit=500").json["jobs"]
    assert failed in [job["id"] for job in one]
    assert done not in [job["id"] for job in one]
    both = {job["id"] for job in server.ask("GET", "/jobs?state=failed&state=done&limit=500").json["jobs"]}
    assert {done, failed} <= both
    assert server.ask("GET", "/jobs?state=odd").code == "bad_parameter"


def test_events_tell_the_whole_story_and_go_on_after_a_number(server: Server) -> None:
    id_ = server.submit(SUM)
    server.end_of(id_)
    events = server.ask("GET", f"/jobs/{id_}/events").json["events"]
    assert [event["number"] for event in events] == list(range(1, len(events) + 1))
    assert (events[0]["type"], events[-1]["type"]) == ("job_queued", "job_ended")
    assert {"job_running", "node_started", "node_finished", "node_showed"} <= {event["type"] for event in events}
    rest = server.ask("GET", f"/jobs/{id_}/events?after=3").json["events"]
    assert rest == events[3:]
    assert server.ask("GET", f"/jobs/{id_}/events?after={len(events)}").json["events"] == []


def test_stream_of_events_ends_with_the_job(server: Server) -> None:
    id_ = server.submit(one_node("t.Slow", seconds=0.3))
    with server.open("GET", f"/jobs/{id_}/events", headers={"Accept": "text/event-stream"}) as answer:
        assert answer.getheader("Content-Type") == "text/event-stream"
        events = read_stream(answer)
    kept = [event for _, event in events if event["type"] not in ("node_progress", "node_preview")]
    assert kept == server.ask("GET", f"/jobs/{id_}/events").json["events"]
    assert all(number == event["number"] for number, event in events)
    assert any(event["type"] == "node_progress" for _, event in events)


def test_stream_goes_on_where_it_was_lost(server: Server) -> None:
    id_ = server.submit(SUM)
    server.end_of(id_)
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "2"}
    with server.open("GET", f"/jobs/{id_}/events", headers=headers) as answer:
        assert read_stream(answer)[0][0] == 3


def test_browser_that_comes_back_after_the_end_is_told_to_stay_away(server: Server) -> None:
    id_ = server.submit(SUM)
    server.end_of(id_)
    last = server.ask("GET", f"/jobs/{id_}/events").json["events"][-1]["number"]
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last)}
    assert server.ask("GET", f"/jobs/{id_}/events", headers=headers).status == 204


def test_stream_from_a_number_to_come_still_ends(server: Server) -> None:
    id_ = server.submit(one_node("t.Slow", seconds=0.3))
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "999999"}
    with server.open("GET", f"/jobs/{id_}/events", headers=headers) as answer:
        assert read_stream(answer)[-1][1]["type"] == "job_ended"


def test_cancelled_while_it_runs_and_while_it_waits(server: Server) -> None:
    first, second = server.submit(SLOW), server.submit(SLOW)
    server.until_running(first)
    assert server.ask("POST", f"/jobs/{second}/cancel").json["job"]["state"] == "cancelled"
    assert server.ask("POST", f"/jobs/{first}/cancel").json["job"]["cancelling"] is True
    assert server.end_of(first)["state"] == "cancelled"
    assert server.ask("GET", f"/jobs/{second}/events").json["events"][-1]["type"] == "job_ended"
    assert server.ask("POST", f"/jobs/{first}/cancel").code == "wrong_state"


def test_retry_makes_a_new_job_of_an_ended_one(server: Server) -> None:
    id_ = server.submit(SUM)
    server.end_of(id_)
    reply = server.ask("POST", f"/jobs/{id_}/retry")
    assert reply.status == 201
    new = reply.json["job"]
    assert (new["retry_of"], new["id"] != id_) == (id_, True)
    assert server.end_of(new["id"])["state"] == "done"
    with paused(server):
        waiting = server.submit(SUM)
        assert server.ask("POST", f"/jobs/{waiting}/retry").code == "wrong_state"
    server.end_of(waiting)


def test_waiting_jobs_are_moved(server: Server) -> None:
    with paused(server):
        a, b, c = (server.submit(SUM) for _ in range(3))

        def order() -> list[str]:
            return [each["job"]["id"] for each in server.ask("GET", "/queue").json["jobs"]]

        assert server.ask("POST", f"/jobs/{c}/move", {"before": a}).status == 200
        assert order() == [c, a, b]
        server.ask("POST", f"/jobs/{c}/move", {})
        assert order() == [a, b, c]
        server.ask("POST", f"/jobs/{b}/move", {"priority": 5})
        assert order() == [b, a, c]
        assert server.ask("POST", f"/jobs/{a}/move", {"before": b, "priority": 1}).code == "bad_field"
        assert server.ask("POST", f"/jobs/{a}/move", {"before": "nothing"}).code == "unknown_job"
        assert server.ask("POST", f"/jobs/{a}/move", {"before": a}).code == "wrong_state"
    for id_ in (a, b, c):
        server.end_of(id_)
    assert server.ask("POST", f"/jobs/{a}/move", {}).code == "wrong_state"


def test_queue_says_what_waits_and_whether_it_is_paused(server: Server) -> None:
    with paused(server):
        id_ = server.submit(SUM)
        queue = server.ask("GET", "/queue").json
        assert queue["paused"] is True
        assert queue["counts"]["queued"] == len(queue["jobs"]) == 1
        assert queue["jobs"][0]["job"]["id"] == id_
        assert queue["jobs"][0]["place"] == 0
    assert server.end_of(id_)["state"] == "done"
    assert server.ask("GET", "/queue").json["paused"] is False


def test_log_holds_what_nodes_print(server: Server) -> None:
    id_ = server.submit(one_node("t.Say", text="a word for the log"))
    server.end_of(id_)
    until(lambda: "a word for the log" in server.ask("GET", f"/jobs/{id_}/log").json["text"])


def test_pruned_jobs_are_forgotten_and_what_waits_stays(server: Server) -> None:
    job = server.end_of(server.submit(SUM))
    with paused(server):
        waiting = server.submit(SUM)
        assert server.ask("POST", "/jobs/prune", {"keep": 0}).json["removed"] >= 1
        assert server.ask("GET", f"/jobs/{job['id']}").code == "unknown_job"
        assert server.job(waiting)["state"] == "queued"
    assert server.ask("POST", "/jobs/prune", {}).code == "bad_field"
    server.end_of(waiting)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "bad_field"),
        ({"workflow": SUM, "saved": "x"}, "bad_field"),
        ({"saved": "nothing"}, "unknown_workflow"),
        ({"workflow": SUM, "odd": 1}, "bad_field"),
        ({"workflow": SUM, "priority": 101}, "bad_field"),
        ({"workflow": SUM, "limits": {"devices": 2}}, "too_few_devices"),
        ({"workflow": SUM, "inputs": {"nothing": 1}}, "invalid_workflow"),
        ({"workflow": SUM, "targets": ["nothing"]}, "invalid_workflow"),
        ({"workflow": {"format": "graphengine", "version": 1}}, "invalid_workflow"),
        ({"workflow": {"nodes": {}}}, "bad_document"),
        ({"workflow": one_node("t.Unknown")}, "invalid_workflow"),
        ({"workflow": one_node("t.Add")}, "invalid_workflow"),
        ({"workflow": one_node("t.Ordered", low=3, high=1)}, "invalid_workflow"),
    ],
)
def test_what_cant_run_is_refused_with_a_code(server: Server, body: Json, code: str) -> None:
    reply = server.ask("POST", "/jobs", body)
    assert reply.code == code
    if reply.status == 422 and "problems" in reply.json:
        assert all(problem["code"] and problem["message"] for problem in reply.json["problems"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/workflow"),
        ("GET", "/events"),
        ("GET", "/log"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("POST", "/move"),
    ],
)
def test_unknown_jobs_are_404(server: Server, method: str, path: str) -> None:
    reply = server.ask(method, f"/jobs/01nothing{path}", {} if path == "/move" else None)
    assert (reply.status, reply.code) == (404, "unknown_job")
