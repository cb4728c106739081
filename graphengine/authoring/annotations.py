"""Read a parameter's annotation into an InputDefinition.

int, float, str, bool              a scalar with its widget
Annotated[int, Field(ge=1)]        … with pydantic's constraints, copied as plain data
Literal["a", "b"] or an Enum       a choice
Annotated[Path, FilesIn("input")]  the name of a file; the function receives the path
Image, Model, any class            a socket
Image | Mask, object, TypeVar      a union, anything, a type variable
X | None = None                    may be left open
Lazy[X]                            computed only on ``.get()``
list[X]                            a whole list; without it a node that gets a list is called once per item
"""

from __future__ import annotations

import enum
import inspect
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from graphengine.authoring.context import Lazy
from graphengine.core import sockets
from graphengine.core.definition import InputDefinition, WidgetDefinition
from graphengine.core.literals import check_literal
from graphengine.errors import DefinitionError

__all__ = ["FilesIn", "Widget", "read_input", "socket_name", "unwrap"]

_SCALAR_NAMES: Mapping[object, str] = {
    int: "INT",
    float: "FLOAT",
    str: "STRING",
    bool: "BOOLEAN",
    object: "*",
    Any: "*",
}


class Widget:
    """Say how an editor shows an input: ``Widget("slider", step=0.1)``.

    Where an editor doesn't know a kind, or the type has no such values, it shows what suits the type. The browser's
    editor knows ``seed``, ``number`` and ``slider`` (``step``; ``to``, where the slider ends before the limit does),
    ``textarea`` (``words``, a list to complete with), ``color``, ``curve``, ``json`` and ``image``. Inputs with
    ``advanced=True`` are shown when asked for.
    """

    def __init__(self, kind: str, **hints: object) -> None:
        self.definition = WidgetDefinition(kind=kind, hints=hints)


@dataclass(frozen=True)
class FilesIn:
    """Mark a ``Path`` parameter as the name of a file in the configured folders of a kind.

    The engine finds the file before the call, hands the function an absolute path, and keys the cache on the file's
    version. Kinds that are folders by nature, such as diffusers checkpoints, work the same.
    """

    kind: str


def socket_name(annotation: Any, variables: dict[str, str]) -> str:  # Any: annotations are any object
    """Give the socket type of an annotation; type variables found are added to ``variables``."""
    if annotation in _SCALAR_NAMES:
        return _SCALAR_NAMES[annotation]
    if isinstance(annotation, TypeVar):
        name = f"${annotation.__name__}"
        variables[name] = "|".join(socket_name(each, variables) for each in annotation.__constraints__) or "*"
        return name
    if get_origin(annotation) is Annotated:
        return socket_name(get_args(annotation)[0], variables)
    if annotation is list or get_origin(annotation) is list:
        return _list_name(annotation, variables)
    if annotation is Lazy or get_origin(annotation) is Lazy:
        raise DefinitionError("Lazy stands around a whole input. Write it, e.g. 'Lazy[Image]' or 'Lazy[list[Image]]'.")
    if _is_union(annotation):
        _refuse_lists_in_unions(annotation)
        return "|".join(socket_name(each, variables) for each in get_args(annotation) if each is not types.NoneType)
    if get_origin(annotation) is Literal:
        return _choice_type(get_args(annotation))
    if inspect.isclass(annotation) and issubclass(annotation, enum.Enum):
        return _choice_type(tuple(member.value for member in annotation))
    if isinstance(annotation, typing.NewType) or inspect.isclass(annotation):
        return str(getattr(annotation, "socket", annotation.__name__.upper()))
    raise DefinitionError(f"{annotation!r} can't be a socket type. Use a class, a NewType or a scalar.")


def _list_name(annotation: Any, variables: dict[str, str]) -> str:
    arguments = get_args(annotation)
    if not arguments:
        raise DefinitionError("a list needs the type of its items. Write it, e.g. 'list[Image]'.")
    item = socket_name(arguments[0], variables)
    if sockets.is_list(item):
        raise DefinitionError("lists of lists can't be sockets. Use one list, or a class of your own.")
    return sockets.list_of(item)


def _refuse_lists_in_unions(annotation: Any) -> None:
    if any(each is list or get_origin(each) is list for each in get_args(annotation)):
        raise DefinitionError("a union with a list can't be a socket. Use the list: one value becomes a list of one.")


def read_input(parameter: inspect.Parameter, annotation: Any, doc: str, variables: dict[str, str]) -> InputDefinition:
    """Describe one parameter of a node function.

    Raises:
        DefinitionError: for an annotation that can't be a socket, or a default that its own constraints forbid.
    """
    has_default = parameter.default is not inspect.Parameter.empty
    facts: dict[str, Any] = {"name": parameter.name, "doc": doc, "required": not has_default}
    if has_default:
        default = parameter.default
        facts["default"] = default.value if isinstance(default, enum.Enum) else default
        if isinstance(default, Path):
            facts["default"] = str(default)
    inner, metadata = unwrap(annotation)
    if get_origin(inner) is Lazy:
        facts["lazy"] = True
        inner, more = unwrap(get_args(inner)[0])
        metadata = [*metadata, *more]
    for mark in metadata:
        _read_mark(mark, facts)
    if inner is Path:
        if "files" not in facts:
            raise DefinitionError(
                "a Path needs the kind of file it names. Annotate it, e.g. 'Annotated[Path, FilesIn(\"input\")]'."
            )
        facts["type"] = "STRING"
    else:
        facts["type"] = socket_name(inner, variables)
        facts.update(_choices_of(inner))
    definition = InputDefinition(**facts)
    if definition.default is None:
        return definition
    return definition.model_copy(update={"default": _checked_default(definition)})


def _checked_default(definition: InputDefinition) -> object:
    """Bring a default to its input's type, as a literal in a file is, so that both have one cache key."""
    try:
        if not sockets.is_scalar(definition.type):
            raise TypeError(f"{definition.default!r} is no {definition.type}. Use None for what may be left open.")
        json.dumps(definition.default, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DefinitionError(f"the default is wrong: {error}") from None
    value, problem = check_literal(definition, definition.default)
    if problem is not None:
        raise DefinitionError(f"the default is wrong: {problem.message} {problem.remedy}")
    return value


def unwrap(annotation: Any) -> tuple[Any, list[object]]:
    """Take ``Annotated`` and ``| None`` off, keeping what was annotated."""
    metadata: list[object] = []
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *marks = get_args(annotation)
            metadata += marks
        elif _is_union(annotation) and types.NoneType in get_args(annotation):
            rest = [each for each in get_args(annotation) if each is not types.NoneType]
            annotation = rest[0] if len(rest) == 1 else Union[tuple(rest)]  # noqa: UP007 - made from a list
        else:
            return annotation, metadata


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _choice_type(values: tuple[object, ...]) -> str:
    kinds = {type(value) for value in values}
    if len(kinds) != 1:
        raise DefinitionError(f"choices {values!r} are of several types. Use texts only, or numbers only.")
    return _SCALAR_NAMES.get(kinds.pop(), "STRING")


def _choices_of(annotation: Any) -> dict[str, object]:
    if get_origin(annotation) is Literal:
        return {"choices": get_args(annotation)}
    if inspect.isclass(annotation) and issubclass(annotation, enum.Enum):
        return {"choices": tuple(member.value for member in annotation)}
    return {}


def _read_mark(mark: object, facts: dict[str, Any]) -> None:
    """Copy one annotation mark into the facts of an input; marks of other libraries are left alone."""
    match mark:
        case FieldInfo():
            if mark.description and not facts["doc"]:
                facts["doc"] = mark.description
            for inner in mark.metadata:
                _read_mark(inner, facts)
        case Widget():
            facts["widget"] = mark.definition
        case FilesIn():
            facts["files"] = mark.kind
        case annotated_types.Ge():
            facts["minimum"] = mark.ge
        case annotated_types.Le():
            facts["maximum"] = mark.le
        case annotated_types.Gt():
            facts["exclusive_minimum"] = mark.gt
        case annotated_types.Lt():
            facts["exclusive_maximum"] = mark.lt
        case annotated_types.MultipleOf():
            facts["multiple_of"] = mark.multiple_of
        case annotated_types.MinLen():
            facts["min_length"] = mark.min_length
        case annotated_types.MaxLen():
            facts["max_length"] = mark.max_length
        case _ if isinstance(pattern := getattr(mark, "pattern", None), str):
            facts["pattern"] = pattern
