"""The API described: OpenAPI 3.1, made from the table of routes and the workflows that can be run by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from inspect import cleandoc
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from graphengine.authoring.docstrings import read_docstring
from graphengine.core.workflow import DeclaredInput, Workflow
from graphengine.server.calls import Route

__all__ = ["PREFIX", "describe", "workflow_operation"]

PREFIX = "/api/v1"

Json = Any  # Any: JSON

_PROBLEM = {
    "type": "object",
    "description": "What is wrong, where, and what to do (RFC 9457).",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "A stable name for programs."},
        "remedy": {"type": "string"},
        "problems": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["type", "title", "status", "code"],
}
_TYPES = {
    "INT": {"type": "integer"},
    "FLOAT": {"type": "number"},
    "STRING": {"type": "string"},
    "BOOLEAN": {"type": "boolean"},
}
_ALWAYS = (400, 401, 403, 421)
_WITH_BODY = (413, 415, 422)


_EVENTS: Json = {
    "tags": ["jobs"],
    "summary": "Follow jobs over a websocket",
    "description": 'Send {"subscribe": {"job": ID, "after": NUMBER}} for one job, or {"subscribe": {}} for all of '
    "one's own. Events come as JSON arrays in text frames, previews as binary frames: the length of a JSON header as "
    "uint32, big-endian, the header, a JPEG.",
    "operationId": "events_socket",
    "responses": {"101": {"description": "A websocket."}, "default": {"$ref": "#/components/responses/Problem"}},
}


_LOGIN: Json = {
    "tags": ["system"],
    "summary": "Exchange a token for a session",
    "description": "For browsers: the session is a cookie that no script can read and no other site's page can use.",
    "operationId": "login",
    "security": [],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object", "properties": {"token": {"type": "string"}}, "required": ["token"]}
            }
        },
    },
    "responses": {
        "200": {
            "description": "The token's name and owner; the cookie comes with it.",
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "properties": {"name": {"type": "string"}, "owner": {"type": "string"}},
                        "required": ["name", "owner"],
                    }
                }
            },
        },
        **{str(each): {"$ref": "#/components/responses/Problem"} for each in (400, 401, 403, 413, 415, 421, 429)},
    },
}
_LOGOUT: Json = {
    "tags": ["system"],
    "summary": "Have a browser forget its session",
    "operationId": "logout",
    "responses": {
        "204": {"description": "No Content"},
        **{str(each): {"$ref": "#/components/responses/Problem"} for each in _ALWAYS},
    },
}
_BESIDE = {"events": ("get", _EVENTS), "login": ("post", _LOGIN), "logout": ("post", _LOGOUT)}
"""What isn't in the table of routes: what security answers, and what is no HTTP."""


def describe(routes: Iterable[Route], open_routes: Iterable[Route] = (), *, version: str = "1") -> dict[str, Json]:
    """Describe routes; those of ``open_routes`` stand beside the prefix."""
    placed = [(PREFIX + route.path, route) for route in routes] + [(route.path, route) for route in open_routes]
    used = {model for _path, route in placed for model in (route.query, route.body, route.answer)}
    models = {model for model in used if model is not None}
    ordered = sorted(models, key=lambda model: model.__name__)
    references, schemas = models_json_schema(
        [(model, "serialization" if _is_answer(model, placed) else "validation") for model in ordered],
        ref_template="#/components/schemas/{model}",
    )
    _tell_of_fields(schemas.get("$defs", {}), ordered)
    by_model: dict[object, Json] = {model: reference for (model, _mode), reference in references.items()}
    paths: dict[str, dict[str, Json]] = {}
    for path, route in placed:
        plain = re.sub(r"\{(\w+):[^{}]*\}", r"{\1}", path)
        operation = _operation(route, plain, by_model)
        if path == "/healthz":
            operation["security"] = []  # the one that never needs a token
        paths.setdefault(plain, {})[route.method.lower()] = operation
    paths |= {f"{PREFIX}/{name}": {method: operation} for name, (method, operation) in _BESIDE.items()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "graphengine",
            "version": version,
            "description": "Run node graphs for diffusion models. Errors have one form everywhere: see Problem.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": {**schemas.get("$defs", {}), "Problem": _PROBLEM},
            "responses": {
                "Problem": {
                    "description": "It can't be done; the status and the code say why.",
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _tell_of_fields(schemas: Mapping[str, Json], models: Iterable[type[BaseModel]]) -> None:
    """Move what models' docstrings say of their fields to these, inherited ones included."""
    inherited = {model.__name__: model.__mro__ for model in models}
    for name, schema in schemas.items():
        own = read_docstring(schema.get("description", ""))
        schema["description"] = own.summary
        told: dict[str, str] = {}
        for model in reversed(inherited.get(name, ())):
            told |= read_docstring(cleandoc(model.__doc__ or "")).entries if issubclass(model, BaseModel) else {}
        for field, text in (told | dict(own.entries)).items():
            if field in schema.get("properties", {}):
                schema["properties"][field].setdefault("description", text)


def workflow_operation(name: str, workflow: Workflow, query: type[BaseModel]) -> dict[str, Json]:
    """Describe the endpoint that a workflow is which can be run by name, with its declared inputs."""
    inputs = {each: _input_schema(declared) for each, declared in workflow.inputs.items()}
    required = [each for each, declared in workflow.inputs.items() if declared.default is None]
    given = {"type": "object", "properties": inputs, "additionalProperties": True}
    schema = {
        "allOf": [
            {"$ref": "#/components/schemas/RunRequest"},
            {"type": "object", "properties": {"inputs": given | ({"required": required} if required else {})}}
            | ({"required": ["inputs"]} if required else {}),
        ]
    }
    return {
        "post": {
            "tags": ["saved workflows"],
            "summary": str(workflow.meta.get("name", name)),
            "description": str(workflow.meta.get("description", "")),
            "operationId": f"run {name}",
            "parameters": _query_parameters(query),
            "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
            "responses": {
                "201": {
                    "description": "The job.",
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/JobAnswer"}}},
                }
            }
            | _problems((*_ALWAYS, *_WITH_BODY, 404, 503, 507)),
        }
    }


def _operation(route: Route, path: str, references: Mapping[object, Json]) -> dict[str, Json]:
    doc = cleandoc(route.handler.__doc__ or "")
    summary, _, description = doc.partition("\n\n")
    operation: dict[str, Json] = {"tags": [route.tag], "summary": summary.rstrip("."), "operationId": route.name}
    if description:
        operation["description"] = description
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", path)
    ]
    parameters += _query_parameters(route.query)
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": references[route.body]}},
        }
    elif route.name == "upload_asset":
        file = {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}, "required": ["file"]}
        operation["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": file}}}
    takes_body = _WITH_BODY if "requestBody" in operation else ()
    operation["responses"] = _answers(route, references) | _problems((*_ALWAYS, *takes_body, *route.errors))
    return operation


def _answers(route: Route, references: Mapping[object, Json]) -> dict[str, Json]:
    """Describe what a route gives where all is well."""
    answer: dict[str, Json] = {"description": HTTPStatus(route.status).phrase}
    if route.answer is not None:
        answer["content"] = {route.media_type: {"schema": references[route.answer]}}
    elif route.status != 204:
        answer["content"] = {route.media_type: {} if route.schema is None else {"schema": dict(route.schema)}}
    answers = {str(route.status): answer}
    if route.other_media_type is not None:
        answer["content"][route.other_media_type] = {"schema": {"type": "string"}}
        answers["204"] = {"description": "A stream that went on has nothing left to tell."}
    return answers


def _query_parameters(query: type[BaseModel]) -> list[dict[str, Json]]:
    schema = query.model_json_schema(ref_template="#/components/schemas/{model}")
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": each}
        for name, each in schema.get("properties", {}).items()
    ]


def _problems(statuses: Iterable[int]) -> dict[str, Json]:
    return {str(each): {"$ref": "#/components/responses/Problem"} for each in [*sorted(set(statuses)), "default"]}


def _is_answer(model: type[BaseModel], placed: Iterable[tuple[str, Route]]) -> bool:
    return any(route.answer is model for _path, route in placed)


def _input_schema(declared: DeclaredInput) -> dict[str, Json]:
    schema: dict[str, Json] = dict(_TYPES.get(declared.type, {}))
    if declared.doc:
        schema["description"] = declared.doc
    limits = {"minimum": declared.min, "maximum": declared.max, "default": declared.default}
    schema.update({name: value for name, value in limits.items() if value is not None})
    return schema
