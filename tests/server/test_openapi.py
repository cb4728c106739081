"""The API's description: committed as it is made, and kept by the server that runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import graphengine.server
from graphengine.server.app import API, openapi
from graphengine.server.calls import Route
from graphengine.server.routes_system import OPEN_ROUTES
from tests.server.running import Json, Server

COMMITTED = Path(graphengine.server.__file__).with_name("openapi.json")


def references(value: Json) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_committed_description_is_current() -> None:
    remedy = "write what graphengine.server.app.openapi() gives to graphengine/server/openapi.json"
    assert COMMITTED.read_text(encoding="utf-8") == openapi(), remedy


def test_served_description_is_the_committed_one_with_saved_workflows(server: Server) -> None:
    served = server.ask("GET", "/openapi.json").json
    for path in set(served["paths"]) - set(committed()["paths"]):
        assert path.startswith("/api/v1/workflows/")
        del served["paths"][path]
    assert served["paths"] == committed()["paths"]
    assert served["components"] == committed()["components"]


def test_every_reference_leads_somewhere() -> None:
    document = committed()
    for reference in references(document):
        place = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_every_json_answer_has_a_schema() -> None:
    for path, operations in committed()["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                content = answer.get("content", {}).get("application/json")
                assert content is None or content.get("schema"), (path, method, status)


def test_every_operation_says_what_it_is_for() -> None:
    operations = [each for path in committed()["paths"].values() for each in path.values()]
    assert all(each["summary"] and each["tags"] for each in operations)
    names = [each["operationId"] for each in operations]
    assert len(set(names)) == len(names)


def test_routes_are_all_described() -> None:
    routes: list[Route] = [*API, *OPEN_ROUTES]
    described = {each["operationId"] for path in committed()["paths"].values() for each in path.values()}
    assert {route.name for route in routes} <= described


def committed() -> Json:
    return json.loads(COMMITTED.read_text(encoding="utf-8"))
