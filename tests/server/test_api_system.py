"""The server itself over HTTP: nodes, system, metrics, methods, and who sees what with tokens."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from tests.server.running import Json, Server, one_node, workflow
from tests.server.test_api_assets import picture, upload

GETS = [
    "/jobs", "/queue", "/workflows", "/trash", "/nodes", "/models", "/assets", "/system", "/openapi.json", "/docs",
    "/docs.js", "//healthz", "//metrics",
]  # fmt: skip


def test_nodes_are_described_once_and_then_not_modified(server: Server) -> None:
    plain = server.ask("GET", "/nodes")
    assert {"t.Number", "t.Paint", "LoadImage"} <= plain.json["nodes"].keys()
    etag = plain.headers["etag"]
    for known in (etag, f'"other", {etag}', "*", etag.removeprefix("W/")):
        again = server.ask("GET", "/nodes", headers={"If-None-Match": known})
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag), known
    assert server.ask("GET", "/nodes", headers={"If-None-Match": '"other"'}).status == 200


@pytest.mark.parametrize(
    ("given", "is_compressed"), [("gzip", True), ("br, gzip;q=0.5", True), ("gzip;q=0", False), ("identity", False)]
)
def test_nodes_are_compressed_for_who_takes_it(server: Server, given: str, is_compressed: bool) -> None:
    reply = server.ask("GET", "/nodes", headers={"Accept-Encoding": given})
    assert (reply.headers.get("content-encoding") == "gzip") is is_compressed
    body = gzip.decompress(reply.body) if is_compressed else reply.body
    assert "t.Number" in json.loads(body)["nodes"]


def test_system_tells_versions_and_workers(server: Server) -> None:
    system = server.ask("GET", "/system").json
    assert system["accepting"] is True
    (worker,) = system["workers"]
    assert worker["device"] == "cpu"
    assert worker["responding"] is True


def test_memory_is_freed_and_packs_are_read_again(server: Server) -> None:
    assert server.ask("POST", "/system/free-memory").status == 204
    assert server.ask("POST", "/system/reload-packs").json == {"changed": False}


def test_metrics_are_what_prometheus_reads(server: Server) -> None:
    server.end_of(server.submit(one_node("t.Say")))
    reply = server.ask("GET", "//metrics")
    assert reply.headers["content-type"].startswith("text/plain")
    lines = dict(line.rsplit(" ", 1) for line in reply.body.decode().splitlines() if not line.startswith("#"))
    assert float(lines['graphengine_jobs{state="done"}']) >= 1
    assert lines['graphengine_worker_responding{device="cpu"}'] == "1.0"


@pytest.mark.parametrize("path", GETS)
def test_head_answers_as_get_without_a_body(server: Server, path: str) -> None:
    get, head = server.ask("GET", path), server.ask("HEAD", path)
    assert (get.status, head.status) == (200, 200)
    assert head.body == b""
    assert head.headers["content-type"] == get.headers["content-type"]


def test_head_of_a_stream_ends(server: Server) -> None:
    id_ = server.submit(one_node("t.Slow", seconds=60.0))
    reply = server.ask("HEAD", f"/jobs/{id_}/events", headers={"Accept": "text/event-stream"})
    assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream")
    server.ask("POST", f"/jobs/{id_}/cancel")
    server.end_of(id_)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/jobs", {"GET", "HEAD", "POST"}),
        ("PATCH", "/workflows/x", {"DELETE", "GET", "HEAD", "PUT"}),
        ("MKCOL", "/nodes", {"GET", "HEAD"}),
        ("GET", "/check", {"POST"}),
        ("DELETE", "/queue/pause", {"POST"}),
        ("TRACE", "//healthz", {"GET", "HEAD"}),
        ("HEAD", "/events", {"GET"}),
    ],
)
def test_other_methods_are_told_which_there_are(server: Server, method: str, path: str, allowed: set[str]) -> None:
    reply = server.ask(method, path)
    assert reply.status == 405
    assert set(reply.headers["allow"].replace(" ", "").split(",")) == allowed
    if method != "HEAD":
        assert reply.code == "method_not_allowed"


def test_unknown_paths_are_problems(server: Server) -> None:
    for path in ("/nothing", "//nothing", "//_editor/", "//_editor/..", "/jobs/", "/jobs/x/y", "//api/v2/jobs"):
        reply = server.ask("GET", path)
        assert (reply.status, reply.code) == (404, "unknown_path"), path


def test_without_a_token_only_health_is_told(guarded: Server) -> None:
    assert guarded.ask("GET", "//healthz").status == 200
    for path in GETS:
        if path != "//healthz":
            reply = guarded.ask("GET", path)
            assert (reply.status, reply.code) == (401, "token_required"), path
    assert guarded.ask("GET", "/jobs", headers={"Authorization": "Bearer wrong"}).code == "token_required"


def test_nobody_sees_or_changes_anothers_jobs(guarded: Server) -> None:
    id_ = guarded.submit(one_node("t.Slow", seconds=60.0), as_="anna", idempotency_key="same")
    guarded.until_running(id_, as_="anna")
    for method, path in [
        ("GET", ""), ("GET", "/workflow"), ("GET", "/events"), ("GET", "/log"), ("POST", "/cancel"), ("POST", "/retry"),
    ]:  # fmt: skip
        assert guarded.ask(method, f"/jobs/{id_}{path}", as_="ben").code == "unknown_job"
    stream = {"Accept": "text/event-stream"}
    assert guarded.ask("GET", f"/jobs/{id_}/events", headers=stream, as_="ben").code == "unknown_job"
    mine = guarded.submit(one_node("t.Slow", seconds=60.0), as_="ben", idempotency_key="same")
    assert mine != id_
    assert guarded.ask("POST", f"/jobs/{id_}/move", {}, as_="ben").code == "unknown_job"
    assert guarded.ask("POST", f"/jobs/{mine}/move", {"before": id_}, as_="ben").code == "unknown_job"
    assert [job["id"] for job in guarded.ask("GET", "/jobs", as_="ben").json["jobs"]] == [mine]
    assert [each["job"]["id"] for each in guarded.ask("GET", "/queue", as_="ben").json["jobs"]] == [mine]
    assert guarded.ask("GET", "/system", as_="ben").json["workers"][0]["job"] is None
    assert guarded.ask("GET", "/system", as_="anna").json["workers"][0]["job"] == id_
    guarded.ask("POST", f"/jobs/{mine}/cancel", as_="ben")
    guarded.ask("POST", f"/jobs/{id_}/cancel", as_="anna")
    guarded.end_of(id_, as_="anna")
    guarded.ask("POST", "/jobs/prune", {"keep": 0}, as_="ben")
    assert guarded.job(id_, as_="anna")["state"] == "cancelled"


def test_nobody_sees_or_changes_anothers_files(guarded: Server) -> None:
    brought = upload(guarded, picture(100), as_="anna").json
    job = guarded.end_of(guarded.submit(one_node("t.Paint", level=0.9), as_="anna"), as_="anna")
    for asset in (brought["asset"], job["outputs"][0]["asset"]):
        for method, path in [("GET", ""), ("GET", "/thumbnail"), ("DELETE", "")]:
            assert guarded.ask(method, f"/assets/{asset}{path}", as_="ben").code == "unknown_asset"
        assert asset not in {each["asset"] for each in guarded.ask("GET", "/assets", as_="ben").json["assets"]}
        assert guarded.ask("GET", f"/assets/{asset}", as_="anna").status == 200
    assert brought["input"] in guarded.ask("GET", "/files/input", as_="anna").json["names"]
    assert guarded.ask("GET", "/files/input", as_="ben").json["names"] == []


def test_the_same_bytes_are_each_owners_own(guarded: Server) -> None:
    first, second = (upload(guarded, picture(101), as_=owner).json for owner in ("anna", "ben"))
    assert first["asset"] == second["asset"]
    assert guarded.ask("DELETE", f"/assets/{second['asset']}", as_="ben").status == 204
    assert guarded.ask("GET", f"/assets/{first['asset']}", as_="anna").body == picture(101)


def _loading(name: str) -> Json:
    nodes = {"load": ("LoadImage", {"image": name}), "save": ("t.SaveCopy", {"image": {"$link": "load.image"}})}
    return workflow(nodes)


def test_no_job_loads_anothers_upload(guarded: Server) -> None:
    name = upload(guarded, picture(102), as_="anna").json["input"]
    declared = _loading("x.png") | {"inputs": {"file": {"type": "STRING", "to": ["load.image"], "default": name}}}
    for document in (
        _loading(name),
        _loading(f"./uploads/ben/../../{name}"),
        declared,
        workflow({"s": ("subgraph:inner", {})}, subgraphs={"inner": {"nodes": _loading(name)["nodes"]}}),
    ):
        for path in ("/jobs", "/plan"):
            reply = guarded.ask("POST", path, {"workflow": document}, as_="ben")
            assert reply.code == "invalid_workflow"
        checked = guarded.ask("POST", "/check", {"workflow": document}, as_="ben").json
        assert "file_not_found" in {problem["code"] for problem in checked["problems"]}
    given = guarded.ask("POST", "/jobs", {"workflow": _loading("x"), "inputs": {"load.image": name}}, as_="ben")
    assert given.code == "invalid_workflow"
    job = guarded.end_of(guarded.submit(_loading(name), as_="anna"), as_="anna")
    assert job["state"] == "done"


def test_saved_workflow_that_names_anothers_upload_gives_nothing_away(guarded: Server) -> None:
    name = upload(guarded, picture(103), as_="anna").json["input"]
    guarded.ask("PUT", "/workflows/annas", {"workflow": _loading(name)}, as_="anna")
    assert guarded.ask("POST", "/workflows/annas/run", {}, as_="ben").code == "invalid_workflow"
    assert guarded.ask("POST", "/workflows/annas/run", {}, as_="anna").status == 201


def test_browser_logs_in_and_sees_its_own(guarded: Server) -> None:
    reply = guarded.ask("POST", "/login", {"token": guarded.tokens["ben"]})
    cookie = reply.headers["set-cookie"].split(";")[0]
    assert guarded.ask("GET", "/jobs", headers={"Cookie": cookie}).status == 200
    assert guarded.ask("GET", f"/jobs?token={guarded.tokens['ben']}", headers={"Cookie": cookie}).code == "token_in_url"
    assert guarded.ask("POST", "/login", {"token": "wrong"}).code == "wrong_token"


def test_no_secret_is_in_the_log(guarded: Server) -> None:
    log = Path(guarded.data.parent / "server.log").read_text()
    assert not any(token in log for token in guarded.tokens.values())


def test_docs_page_keeps_its_own_content_policy(server: Server) -> None:
    page = server.ask("GET", "/docs")
    policy = page.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    html = page.body.decode()
    assert re.findall(r"<script[^>]*>", html) == ['<script src="docs.js">']
    assert not re.findall(r"\son\w+=|javascript:", html)
    assert "innerHTML" not in server.ask("GET", "/docs.js").body.decode()
