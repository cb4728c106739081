"""Socket types: their names, and what may connect to what.

A type is written as text, so that definitions are plain data:

    INT FLOAT STRING BOOLEAN    scalars; an input of such a type takes a literal or a link
    IMAGE, MODEL, mypack.HULL   anything else takes a link
    IMAGE|MASK                  a union: either
    *                           anything
    $T                          a type variable: whatever is linked; the node's definition says what it may stand for
    [IMAGE], [IMAGE|MASK], [$T] a list of these; lists don't nest
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "ANY",
    "SCALARS",
    "accepts",
    "is_list",
    "is_scalar",
    "is_variable",
    "item_type",
    "list_of",
    "members",
    "resolve",
]

ANY = "*"
SCALARS = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN"})


def is_list(type_name: str) -> bool:
    """Tell whether this is a list type such as ``[IMAGE]``."""
    return type_name[0] == "["


def item_type(type_name: str) -> str:
    """Give what a list type is a list of."""
    return type_name[1:-1]


def list_of(type_name: str) -> str:
    """Give the type of lists of this."""
    return f"[{type_name}]"


def members(type_name: str) -> tuple[str, ...]:
    """Split a union into its members; any other type is its own only member."""
    return tuple(type_name.split("|")) if "|" in type_name and type_name[0] != "[" else (type_name,)


def is_variable(type_name: str) -> bool:
    """Tell whether this is a type variable such as ``$T``."""
    return type_name.startswith("$")


def is_scalar(type_name: str) -> bool:
    """Tell whether an input of this type can be given a literal; a list of scalars takes a list of literals."""
    if type_name[0] == "[":
        type_name = item_type(type_name)
    return type_name in SCALARS or type_name == ANY or any(member in SCALARS for member in members(type_name))


def accepts(input_type: str, output_type: str) -> bool:
    """Tell whether an output of one type may feed an input of another.

    A whole number may feed a FLOAT input. A union feeds an input which takes each of its members.
    """
    if input_type in (output_type, ANY) or output_type == ANY:
        return True
    if is_list(input_type) or is_list(output_type):
        return is_list(input_type) and is_list(output_type) and accepts(item_type(input_type), item_type(output_type))
    taken = members(input_type)
    return all(member in taken or (member == "INT" and "FLOAT" in taken) for member in members(output_type))


def resolve(type_name: str, bound: Mapping[str, str]) -> str:
    """Replace a type variable by what it was bound to; unbound ones are anything."""
    if is_list(type_name):
        item = resolve(item_type(type_name), bound)
        return item if is_list(item) else list_of(item)
    return bound.get(type_name, ANY) if is_variable(type_name) else type_name
