"""The workflow file, ``graphengine/1``: what a JSON file says, nothing more.

Whether its nodes exist and fit together is ``core.graph``'s matter. FORMAT: links sit in the input they feed and name
both ends, declared ``inputs``/``outputs`` make the file a function, layout stays apart in ``ui``.
"""

from __future__ import annotations

import difflib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from graphengine.core.collector import held_back
from graphengine.errors import FileFormatError, InvalidWorkflow, Problem

__all__ = [
    "DeclaredInput",
    "DeclaredOutput",
    "Link",
    "Node",
    "Subgraph",
    "Workflow",
    "link_of",
    "parse_json",
    "parse_workflow",
    "split_reference",
    "workflow_of",
]

FORMAT = "graphengine"
VERSION = 1
_DEEPEST = 100  # levels of objects and lists; recursive readers and writers give up at a few hundred

NodeId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_:-]+$")]
Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_:/-]+\..+$")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]
Number = StrictFloat | StrictInt
Json = Any  # Any: a JSON value; pydantic's JsonValue would validate each one again, node by node
Link = tuple[str, str]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class DeclaredInput(_Strict):
    """A setting of the workflow as a whole: a flag on the command line, a field in a form."""

    type: str
    default: Json = None
    min: Number | None = None
    max: Number | None = None
    doc: str = ""
    to: tuple[Reference, ...] = ()


class DeclaredOutput(_Strict):
    """A result of the workflow as a whole."""

    source: Reference = Field(alias="from")
    doc: str = ""


class Node(_Strict):
    """A node in a workflow; ``inputs`` holds literals and ``{"$link": "node.output"}``."""

    type: str
    type_version: int = Field(default=1, ge=1, strict=True)
    inputs: dict[str, Json] = Field(default_factory=dict)
    title: str | None = None
    mode: Literal["normal", "muted", "bypassed"] = "normal"

    @property
    def links(self) -> Iterator[tuple[str, Link]]:
        """The linked inputs with their sources."""
        for name, value in self.inputs.items():
            if (link := link_of(value)) is not None:
                yield name, link


class Subgraph(_Strict):
    """A graph within a workflow, used as a node (``subgraph:NAME``) or as a value (``{"$subgraph": "NAME"}``).

    Its declared inputs and outputs are its sockets. Names of sub-graphs are looked up here first, then further out.
    """

    meta: dict[str, Json] = Field(default_factory=dict)
    inputs: dict[Name, DeclaredInput] = Field(default_factory=dict)
    outputs: dict[Name, DeclaredOutput] = Field(default_factory=dict)
    nodes: dict[NodeId, Node] = Field(default_factory=dict)
    subgraphs: dict[Name, Subgraph] = Field(default_factory=dict)
    ui: dict[str, Json] = Field(default_factory=dict)


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
    subgraphs: dict[Name, Subgraph] = Field(default_factory=dict)
    lock: dict[str, Json] = Field(default_factory=dict)
    ui: dict[str, Json] = Field(default_factory=dict)

    @field_validator("version", mode="before")
    @classmethod
    def _true_is_no_version(cls, version: object) -> object:
        if isinstance(version, bool | float):  # they equal 1, as far as Python is concerned
            raise ValueError("it must be 1")
        return version

    @model_validator(mode="after")
    def _only_marked_extras(self) -> Workflow:
        unknown = [repr(name) for name in self.__pydantic_extra__ or {} if not name.startswith("x-")]
        if unknown:
            fields = f"unknown field{'s' if len(unknown) > 1 else ''} {', '.join(unknown)}"
            raise ValueError(f"{fields}; a program's own data goes into fields that start with 'x-'")
        return self

    def dump(self, *, compact: bool = False) -> str:
        """Write the canonical form: sorted keys, two spaces, LF; fields at their defaults are left out.

        Args:
            compact: Without any space, for programs; it takes a third of the time.
        """
        document = self.model_dump(by_alias=True, exclude_defaults=True)
        document = {"nodes": {}} | document | {"format": FORMAT, "version": VERSION}
        _write_type_versions(document, self)
        if compact:
            return json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False, allow_nan=False)
        return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"

    def with_settings(self, settings: Mapping[str, Json]) -> Workflow:
        """Return the workflow with values given to declared inputs (``prompt``) or nodes' inputs (``sampler.steps``).

        The values become the declared defaults and the nodes' literals, so a picture that embeds the result can be
        made again from it.

        Raises:
            InvalidWorkflow: for names that are neither.
        """
        inputs, nodes = dict(self.inputs), {id_: dict(node.inputs) for id_, node in self.nodes.items()}
        problems, changed = [], set()
        for name, value in settings.items():
            node_id, _, input_name = name.partition(".")
            if name in inputs:
                inputs[name] = inputs[name].model_copy(update={"default": value})
            elif node_id in nodes and input_name:
                nodes[node_id][input_name] = value
                changed.add(node_id)
                for declared, spec in inputs.items():
                    inputs[declared] = spec.model_copy(update={"to": tuple(to for to in spec.to if to != name)})
            else:
                problems.append(self._unknown_setting(name))
        if problems:
            raise InvalidWorkflow(problems)
        updated = {
            id_: node.model_copy(update={"inputs": nodes[id_]}) if id_ in changed else node
            for id_, node in self.nodes.items()
        }
        return self.model_copy(update={"inputs": inputs, "nodes": updated})

    def _unknown_setting(self, name: str) -> Problem:
        node_id, dot, _ = name.partition(".")
        if dot:
            near = difflib.get_close_matches(node_id, self.nodes, n=1)
            message = f"there is no node {node_id!r}."
            remedy = "Write the id of a node of this workflow, a dot, and its input's name."
        else:
            near = difflib.get_close_matches(name, self.inputs, n=1)
            message = f"there is no declared input {name!r}."
            known = ", ".join(self.inputs) or "none"
            remedy = f"Declared inputs: {known}. For a node's own input write node.input, e.g. sampler.steps."
        guess = f"Did you mean {near[0]!r}? " if near else ""
        return Problem("unknown_setting", message, guess + remedy, input=name)


def _write_type_versions(document: dict[str, Any], graph: Workflow | Subgraph) -> None:  # Any: JSON
    """State each node's version, although 1 is the default: a reader shouldn't have to know."""
    for id_, node in document.setdefault("nodes", {}).items():
        node["type_version"] = graph.nodes[id_].type_version
    for name, inner in document.get("subgraphs", {}).items():
        _write_type_versions(inner, graph.subgraphs[name])


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
    with held_back():
        return _parse(text, source)


def _parse(text: str | bytes, source: str) -> Workflow:
    return workflow_of(parse_json(text, source), source)


def workflow_of(document: Json, source: str = "workflow") -> Workflow:
    """Read a workflow from a JSON value that ``parse_json`` gave.

    Raises:
        FileFormatError, InvalidWorkflow: as ``parse_workflow`` does.
    """
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise FileFormatError(f"{source}: {_what_else(document)}")
    version = document.get("version")
    if isinstance(version, int) and not isinstance(version, bool) and version > VERSION:
        raise FileFormatError(
            f"{source}: it is in format version {version}, and this graphengine reads up to {VERSION}. "
            "Upgrade graphengine, or save the file again with the older version."
        )
    missing = [_missing_field(name) for name in ("version", "nodes") if name not in document]
    try:
        workflow = Workflow.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        found = [*missing, *map(_structure_problem, error.errors())]
        # the members of a union complain one by one, in the same words
        raise InvalidWorkflow(list({problem.message: problem for problem in found}.values()), source) from None
    if missing:
        raise InvalidWorkflow(missing, source)
    return workflow


def load_workflow(path: Path) -> Workflow:
    """Read a workflow file; as ``parse_workflow``, and OSError as the system gives it."""
    return parse_workflow(path.read_bytes(), str(path))


def parse_json(text: str | bytes, source: str) -> Json:
    """Read JSON strictly: no name twice in an object, only finite numbers and whole characters, no endless nesting.

    Raises:
        FileFormatError: it is none.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        if not text.strip():
            raise _BadJson("the file is empty. Give a workflow (JSON) or a PNG made by one.")
        document = json.loads(
            text, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_no_duplicates
        )
        _refuse_depth(document)
        if "\\u" in text or not text.isascii():
            _refuse_half_characters(document)
        return document
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
        raise FileFormatError(f"{source}: {_TOO_DEEP}") from None
    except _BadJson as error:
        raise FileFormatError(f"{source}: {error}") from None
    except ValueError:  # Python's limit on the digits of an int; its message is about Python
        raise FileFormatError(f"{source}: a number has too many digits. Write one that a program can use.") from None


_TOO_DEEP = f"it is nested too deeply to be a workflow. Use at most {_DEEPEST} levels of objects and lists."


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
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise _BadJson(f"the name {twice!r} stands twice in one object. Rename one; node ids must differ.")
    return mapping


def _refuse_depth(document: Json) -> None:
    level = [document] if isinstance(document, dict | list) else []
    for _ in range(_DEEPEST):
        level = [
            child
            for each in level
            for child in (each.values() if type(each) is dict else each)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return
    raise _BadJson(_TOO_DEEP)


def _refuse_half_characters(document: Json) -> None:
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start])
        raise _BadJson(f"a text holds {half}, which is half a character. Write the whole character.") from None


def _what_else(document: Json) -> str:
    """Say whose file this is, if it isn't ours."""
    remedy = 'Save it as a graphengine workflow: its first fields are "format": "graphengine", "version": 1.'
    if not isinstance(document, dict):
        return f"it is JSON, but {_in_words(document)} and no workflow. {remedy}"
    nodes = document.get("nodes")
    if isinstance(nodes, list) and "links" in document:
        return "it is a ComfyUI workflow as its editor saves it, which this version can't import yet."
    if isinstance(nodes, list | dict) and "edges" in document:
        return "it is an InvokeAI workflow, which this version can't import yet."
    prompt = document["prompt"] if isinstance(document.get("prompt"), dict) else document
    if prompt and all(isinstance(each, dict) and "class_type" in each for each in prompt.values()):
        return "it is a ComfyUI prompt (API format), which this version can't import yet."
    if "_class_name" in document:
        return f"it is a diffusers configuration ({_short(document['_class_name'])}), no workflow. {remedy}"
    field = f"is {_short(document['format'])}" if "format" in document else "is missing"
    return f'it is JSON, but no graphengine workflow: the field "format" {field}. {remedy}'


def _in_words(value: Json) -> str:
    words = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return words.get(type(value), "a number")


def _short(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


_WRONG_TYPES = {
    "dict_type": "it must be an object, {…}",
    "model_type": "it must be an object, {…}",
    "tuple_type": "it must be a list, […]",
    "string_type": "it must be a text",
    "int_type": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "float_type": "it must be a number",
}


def _missing_field(name: str) -> Problem:
    return Problem("bad_structure", f"field {name!r}: this is missing.", "Add it.")


def _structure_problem(error: Mapping[str, Any]) -> Problem:  # Any: pydantic's error record
    place = [str(part) for part in error["loc"]]
    node = None
    within = place.index("nodes") if "nodes" in place[:-1] else None
    if within is not None and within % 2 == 0 and all(each == "subgraphs" for each in place[:within:2]):
        node = "/".join([*place[1:within:2], place[within + 1]])
        place = [*place[:2], *place[within + 2 :]]
    kind = error["type"]
    message, remedy = str(error["msg"]).removeprefix("Value error, "), ""
    if kind == "extra_forbidden":
        message, remedy = "there is no such field", "Take it out; a program's own data goes into 'ui'."
    elif kind == "missing":
        message, remedy = "this is missing", "Add it."
    elif kind == "string_pattern_mismatch":
        message = f"{_short(error['input'])} can't be a name here"
        remedy = "Node ids are made of letters, digits, '_', ':' and '-'; references are written node.name."
    elif kind == "literal_error":
        message = f"it must be {error['ctx']['expected']}"
    elif kind == "greater_than_equal":
        message = f"it must be at least {error['ctx']['ge']}"
    elif kind in _WRONG_TYPES:
        message = "it must be a number" if place[-1] in ("float", "int") else _WRONG_TYPES[kind]
        place = place[:-1] if place[-1] in ("float", "int") else place  # a member of a union is no place in the file
    where = ".".join(part for part in (place if node is None else place[2:]) if part != "[key]")
    return Problem("bad_structure", f"field {where!r}: {message}." if where else f"{message}.", remedy, node=node)
