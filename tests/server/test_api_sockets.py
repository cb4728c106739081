"""Nodes whose inputs follow from what is chosen at them, over HTTP."""

from __future__ import annotations

from tests.server.running import Json, Server, one_node
from tests.server.test_api_assets import picture, upload


def _sockets(server: Server, *, as_: str | None = None, **inputs: object) -> Json:
    reply = server.ask("POST", "/nodes/t.Form/sockets", {"inputs": inputs}, as_=as_)
    assert reply.status == 200, reply.body
    return reply.json


def test_a_choice_is_answered_with_its_sockets(server: Server) -> None:
    name = upload(server, picture(70)).json["input"]
    assert server.ask("GET", "/nodes").json["nodes"]["t.Form"]["sockets_from"] == ["picture", "count"]
    found = _sockets(server, picture=name, count=3)
    assert [each["name"] for each in found["sockets"]["inputs"]] == ["field0", "field1", "field2"]
    assert found["sockets"]["outputs"][0]["name"] == "sum"
    assert found["sockets"]["doc"] == "A form."
    assert found["problem"] is None


def test_a_choice_that_is_refused_says_why(server: Server) -> None:
    name = upload(server, picture(70)).json["input"]
    problem = _sockets(server, picture=name, count=0)["problem"]
    assert (problem["input"], problem["message"]) == ("count", "a form has at least one field.")
    assert _sockets(server, picture="nothing.png") == {"sockets": None, "problem": None}
    assert server.ask("POST", "/nodes/t.Number/sockets", {"inputs": {}}).code == "unknown_kind"


def test_a_check_knows_the_sockets(server: Server) -> None:
    name = upload(server, picture(70)).json["input"]
    document = one_node("t.Form", picture=name, count=1, field1=2.0)
    document["outputs"] = {"sum": {"from": "n.sum"}}
    problems = server.ask("POST", "/check", {"workflow": document}).json["problems"]
    assert sorted((each["code"], each["input"]) for each in problems) == [
        ("missing_input", "field0"),
        ("unknown_input", "field1"),
    ]
    document["nodes"]["n"]["inputs"] = {"picture": name, "count": 1, "field0": 2.0}
    assert server.end_of(server.submit(document))["state"] == "done"


def test_nobody_learns_of_anothers_upload(guarded: Server) -> None:
    name = upload(guarded, picture(71), as_="anna").json["input"]
    assert _sockets(guarded, picture=name, as_="anna")["sockets"] is not None
    assert _sockets(guarded, picture=name, as_="ben") == {"sockets": None, "problem": None}
