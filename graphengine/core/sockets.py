"""Socket types: their names, and what may connect to what.

A type is written as text, so that definitions are plain data:

    INT FLOAT STRING BOOLEAN    scalars; an input of such a type takes a literal or a link
    IMAGE, MODEL, mypack.HULL   anything else takes a link
    IMAGE|MASK                  a union: either
    *                           anything
    $T                          a type variable: whatever is linked; the node's definition says what it may stand for
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ANY", "SCALARS", "accepts", "is_scalar", "is_variable", "members", "resolve"]

ANY = "*"
SCALARS = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN"})


def members(type_name: str) -> tuple[str, ...]:
    """Split a union into its members; any other type is its own only member."""
    return tuple(type_name.split("|")) if "|" in type_name else (type_name,)


def is_variable(type_name: str) -> bool:
    """Tell whether this is a type variable such as ``$T``."""
    return type_name.startswith("$")


def is_scalar(type_name: str) -> bool:
    """Tell whether an input of this type can be given a literal."""
    return type_name in SCALARS or type_name == ANY or any(member in SCALARS for member in members(type_name))


def accepts(input_type: str, output_type: str) -> bool:
    """Tell whether an output of one type may feed an input of another.

    A whole number may feed a FLOAT input. A union feeds an input which takes each of its members.
    """
    if input_type in (output_type, ANY) or output_type == ANY:
        return True
    taken = members(input_type)
    return all(member in taken or (member == "INT" and "FLOAT" in taken) for member in members(output_type))


def resolve(type_name: str, bound: Mapping[str, str]) -> str:
    """Replace a type variable by what it was bound to; unbound ones are anything."""
    return bound.get(type_name, ANY) if is_variable(type_name) else type_name
