"""The workflow file, ``graphengine/1``: what a JSON file says, nothing more.

Whether its nodes exist and fit together is ``core.graph``'s matter. FORMAT: links sit in the input they feed and name
both ends, declared ``inputs``/``outputs`` make the file a function, layout stays apart in ``ui``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from graphengine.errors import FileFormatError, InvalidWorkflow, Problem

__all__ = [
    "DeclaredInput",
    "DeclaredOutput",
    "Link",
    "Node",
    "Workflow",
    "link_of",
    "parse_workflow",
    "split_reference",
]

FORMAT = "graphengine"
VERSION = 1

NodeId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_:-]+$")]
Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_:/-]+\..+$")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]
Json = Any  # Any: a JSON value; pydantic's JsonValue would validate each one again, node by node
Link = tuple[str, str]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class DeclaredInput(_Strict):
    """A setting of the workflow as a whole: a flag on the command line, a field in a form."""

    type: str
    default: Json = None
    min: float | int | None = None
    max: float | int | None = None
    doc: str = ""
    to: tuple[Reference, ...] = ()


class DeclaredOutput(_Strict):
    """A result of the workflow as a whole."""

    source: Reference = Field(alias="from")
    doc: str = ""


class Node(_Strict):
    """A node in a workflow; ``inputs`` holds literals and ``{"$link": "node.output"}``."""

    type: str
    type_version: int = Field(default=1, ge=1)
    inputs: dict[str, Json] = Field(default_factory=dict)
    title: str | None = None
    mode: Literal["normal", "muted", "bypassed"] = "normal"

    @property
    def links(self) -> Iterator[tuple[str, Link]]:
        """The linked inputs with their sources."""
        for name, value in self.inputs.items():
            if (link := link_of(value)) is not None:
                yield name, link


class Workflow(BaseModel):
    """A workflow document. Unknown data may stand in ``ui`` and in top-level fields that start with ``x-``."""

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)

    schema_url: str | None = Field(default=None, alias="$schema")
    format: Literal["graphengine"] = "graphengine"
    version: Literal[1] = 1
    meta: dict[str, Json] = Field(default_factory=dict)
    inputs: dict[Name, DeclaredInput] = Field(default_factory=dict)
    outputs: dict[Name, DeclaredOutput] = Field(default_factory=dict)
    nodes: dict[NodeId, Node] = Field(default_factory=dict)
    subgraphs: dict[Name, Json] = Field(default_factory=dict)
    lock: dict[str, Json] = Field(default_factory=dict)
    ui: dict[str, Json] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _only_marked_extras(self) -> Workflow:
        for name in self.__pydantic_extra__ or {}:
            if not name.startswith("x-"):
                raise ValueError(f"unknown field {name!r}; a program's own data goes into fields that start with 'x-'")
        return self

    def dump(self) -> str:
        """Write the canonical form: sorted keys, two spaces, LF; fields at their defaults are left out."""
        document = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        document |= {"format": FORMAT, "version": VERSION}
        for id_, node in document.get("nodes", {}).items():
            node["type_version"] = self.nodes[id_].type_version
        return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"

    def with_settings(self, settings: Mapping[str, Json]) -> Workflow:
        """Return the workflow with values given to declared inputs (``prompt``) or nodes' inputs (``sampler.steps``).

        The values become the declared defaults and the nodes' literals, so a picture that embeds the result can be
        made again from it.

        Raises:
            InvalidWorkflow: for names that are neither.
        """
        inputs, nodes = dict(self.inputs), {id_: dict(node.inputs) for id_, node in self.nodes.items()}
        problems = []
        for name, value in settings.items():
            node_id, _, input_name = name.partition(".")
            if name in inputs:
                inputs[name] = inputs[name].model_copy(update={"default": value})
            elif node_id in nodes and input_name:
                nodes[node_id][input_name] = value
                for declared, spec in inputs.items():
                    inputs[declared] = spec.model_copy(update={"to": tuple(to for to in spec.to if to != name)})
            else:
                problems.append(self._unknown_setting(name))
        if problems:
            raise InvalidWorkflow(problems)
        updated = {id_: node.model_copy(update={"inputs": nodes[id_]}) for id_, node in self.nodes.items()}
        return self.model_copy(update={"inputs": inputs, "nodes": updated})

    def _unknown_setting(self, name: str) -> Problem:
        known = ", ".join(self.inputs) or "none"
        return Problem(
            "unknown_setting",
            f"there is no declared input {name!r}.",
            f"Declared inputs: {known}. For a node's own input write node.input, e.g. sampler.steps.",
            input=name,
        )


def link_of(value: object) -> Link | None:
    """Read a link's node id and output name from an input's value; None if the value is a literal."""
    if type(value) is dict and len(value) == 1:
        reference = value.get("$link")
        if type(reference) is str:
            return split_reference(reference)
    return None


def split_reference(reference: str) -> Link:
    """Split ``node.name`` at its first dot."""
    node, _, name = reference.partition(".")
    return node, name


def parse_workflow(text: str | bytes, source: str = "workflow") -> Workflow:
    """Read a workflow from JSON text.

    Raises:
        FileFormatError: not JSON, another program's file, or a version of the future.
        InvalidWorkflow: graphengine's format, but with wrong fields; all of them at once.
    """
    document = _parse_json(text, source)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise FileFormatError(f"{source}: {_what_else(document)}")
    version = document.get("version")
    if isinstance(version, int) and not isinstance(version, bool) and version > VERSION:
        raise FileFormatError(
            f"{source}: it is in format version {version}, and this graphengine reads up to {VERSION}. "
            "Upgrade graphengine, or save the file again with the older version."
        )
    try:
        return Workflow.model_validate(document)
    except ValidationError as error:
        raise InvalidWorkflow([_structure_problem(each) for each in error.errors()], source) from None


def load_workflow(path: Path) -> Workflow:
    """Read a workflow file; as ``parse_workflow``, and OSError as the system gives it."""
    return parse_workflow(path.read_bytes(), str(path))


def _parse_json(text: str | bytes, source: str) -> Json:
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_no_duplicates)
    except UnicodeDecodeError:
        raise FileFormatError(
            f"{source}: it is not a text file. Give a workflow (JSON) or a PNG made by one."
        ) from None
    except json.JSONDecodeError as error:
        raise FileFormatError(
            f"{source}: it is not valid JSON: {error.msg}, line {error.lineno}, column {error.colno}. "
            "Correct the place, or export the workflow again."
        ) from None
    except RecursionError:
        raise FileFormatError(f"{source}: it is nested too deeply to be a workflow.") from None
    except _BadJson as error:
        raise FileFormatError(f"{source}: {error}") from None


class _BadJson(ValueError):
    """JSON that Python would read, but that is wrong in a workflow."""


def _refuse_constant(name: str) -> NoReturn:
    raise _BadJson(f"{name} is no number in JSON, and no input takes it. Write a finite number.")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _BadJson(f"the number {text} is too large. Write a finite number.")
    return value


def _no_duplicates(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _BadJson(f"the name {twice!r} stands twice in one object. Rename one; node ids must differ.")
    return mapping


def _what_else(document: Json) -> str:
    """Say whose file this is, if it isn't ours."""
    remedy = 'Save it as a graphengine workflow: its first fields are "format": "graphengine", "version": 1.'
    if not isinstance(document, dict):
        return f"it is JSON, but a {type(document).__name__} and no workflow. {remedy}"
    nodes = document.get("nodes")
    if isinstance(nodes, list) and "links" in document:
        return "it is a ComfyUI workflow as its editor saves it, which this version can't import yet."
    if isinstance(nodes, list) and "edges" in document:
        return "it is an InvokeAI workflow, which this version can't import yet."
    if document and all(isinstance(each, dict) and "class_type" in each for each in document.values()):
        return "it is a ComfyUI prompt (API format), which this version can't import yet."
    if "_class_name" in document:
        return f"it is a diffusers configuration ({document['_class_name']}), no workflow. {remedy}"
    return f'it is JSON, but no graphengine workflow: the field "format" is {document.get("format")!r}. {remedy}'


def _structure_problem(error: Mapping[str, Any]) -> Problem:  # Any: pydantic's error record
    place = [str(part) for part in error["loc"]]
    node = place[1] if len(place) > 1 and place[0] == "nodes" else None
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message, remedy = "unknown field", "Take it out; a program's own data goes into 'ui'."
    elif error["type"] == "missing":
        message, remedy = "this field is missing", "Add it."
    elif error["type"] == "string_pattern_mismatch":
        message = f"{error['input']!r} can't be a name here"
        remedy = "Node ids are made of letters, digits, '_', ':' and '-'; references are written node.name."
    else:
        remedy = ""
    return Problem("bad_structure", f"{'.'.join(place) or 'the file'}: {message}.", remedy, node=node)
