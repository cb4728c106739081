"""Parts of different models over HTTP: refused by a check, and shown while a wire between them is drawn."""

from __future__ import annotations

import pytest

from tests.server.running import Json, Server, one_node
from tests.server.test_api_assets import picture, upload
from tests.server.tiny_families import two_families, write_families


@pytest.fixture(autouse=True)
def _families(server: Server, guarded: Server) -> None:
    write_families(server.data)
    write_families(guarded.data)


def _wire(server: Server, document: Json, node: str, name: str, side: str = "output", as_: str | None = None) -> Json:
    sent = {"workflow": document, "node": node, "name": name, "side": side}
    reply = server.ask("POST", "/check/wire", sent, as_=as_)
    assert reply.status == 200, reply.body
    return {f"{each['node']}.{each['name']}": each["problem"] for each in reply.json["misfits"]}


def test_a_wire_shows_what_a_check_would_refuse(server: Server) -> None:
    assert server.ask("POST", "/check", {"workflow": two_families()}).json == {"sound": True, "problems": []}
    shown = _wire(server, two_families(), "two", "model")
    checked = server.ask("POST", "/check", {"workflow": two_families(model="two.model")}).json
    assert (checked["sound"], [each["code"] for each in checked["problems"]]) == (False, ["facts_differ"] * 2)
    assert shown == {"sampler.model": checked["problems"][0]}
    assert "Stable Diffusion 2" in shown["sampler.model"]["message"]
    assert _wire(server, two_families(), "one", "model") == {}
    assert set(_wire(server, two_families(), "prompt", "clip", "input")) == {"two.clip"}


def test_where_nothing_is_known_nothing_is_shown(server: Server) -> None:
    assert _wire(server, one_node("t.Odd"), "n", "value") == {}
    assert _wire(server, two_families(), "nobody", "model") == {}
    sent = {"workflow": two_families(), "node": "two", "name": "model", "side": "left"}
    assert server.ask("POST", "/check/wire", sent).code == "bad_field"
    assert server.ask("POST", "/check/wire", sent | {"side": "output", "workflow": {}}).code == "bad_document"


def test_nobody_learns_of_anothers_upload(guarded: Server) -> None:
    name = upload(guarded, picture(66), as_="anna").json["input"]
    document = two_families()
    document["nodes"]["load"] = {"type": "LoadImage", "inputs": {"image": name}}
    assert _wire(guarded, document, "two", "model", as_="anna")
    assert _wire(guarded, document, "two", "model", as_="ben") == {}
