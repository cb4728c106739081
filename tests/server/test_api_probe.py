"""What travelled along a wire, over HTTP."""

from __future__ import annotations

import base64

from tests.server.running import Json, Server, one_node, workflow
from tests.server.test_api_assets import picture, upload


def _painting(level: float) -> Json:
    nodes = {"paint": ("t.Paint", {"level": level}), "copy": ("t.SaveCopy", {"image": {"$link": "paint.image"}})}
    return workflow(nodes)


def _probe(server: Server, document: Json, output: str, *, as_: str | None = None) -> Json:
    node, _, name = output.partition(".")
    reply = server.ask("POST", "/probe", {"workflow": document, "node": node, "output": name}, as_=as_)
    assert reply.status == 200, reply.body
    return reply.json


def test_value_of_the_last_run_is_described_while_another_job_runs(server: Server) -> None:
    document = _painting(0.25)
    assert _probe(server, document, "paint.image") == {"known": False, "text": "", "tensors": [], "thumbnail": ""}
    assert server.end_of(server.submit(document))["state"] == "done"
    slow = server.submit(one_node("t.Slow", seconds=60.0))
    server.until_running(slow)
    found = _probe(server, document, "paint.image")
    assert server.job(slow)["state"] == "running"
    server.ask("POST", f"/jobs/{slow}/cancel")
    assert (found["known"], found["text"]) == (True, "tensor 1×64×64×3 float32 on cpu")
    (tensor,) = found["tensors"]
    assert (tensor["shape"], tensor["minimum"], tensor["mean"]) == ([1, 64, 64, 3], 0.25, 0.25)
    assert base64.b64decode(found["thumbnail"]).startswith(b"\xff\xd8")
    assert not _probe(server, _painting(0.26), "paint.image")["known"]
    server.end_of(slow)


def test_what_never_ran_or_cant_is_not_known(server: Server) -> None:
    assert not _probe(server, _painting(0.25), "nothing.image")["known"]
    assert not _probe(server, one_node("t.Odd"), "n.value")["known"]
    assert server.ask("POST", "/probe", {"workflow": {}, "node": "n", "output": "o"}).code == "bad_document"
    assert server.ask("POST", "/probe", {"workflow": _painting(0.25), "node": "n"}).code == "bad_field"


def test_nobody_probes_anothers_upload(guarded: Server) -> None:
    name = upload(guarded, picture(65), as_="anna").json["input"]
    nodes = {"load": ("LoadImage", {"image": name}), "save": ("t.SaveCopy", {"image": {"$link": "load.image"}})}
    document = workflow(nodes)
    guarded.end_of(guarded.submit(document, as_="anna"), as_="anna")
    assert _probe(guarded, document, "load.image", as_="anna")["known"]
    assert not _probe(guarded, document, "load.image", as_="ben")["known"]
