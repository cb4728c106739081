"""What is said of a function that can't be a node."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NewType

import pytest
from pydantic import Field

from graphengine import Body, Lazy, node
from graphengine.errors import DefinitionError

Picture = NewType("Picture", object)


def no_type(image, radius: int = 2) -> int:  # type: ignore[no-untyped-def]  # the mistake
    """Blur."""
    return 1


def no_return(radius: int = 2):  # type: ignore[no-untyped-def]  # the mistake
    """Blur."""


def starred(*images: Picture) -> int:
    """Blur."""
    return 1


def named_starred(**images: Picture) -> int:
    """Blur."""
    return 1


def positional(image: Picture, /) -> int:
    """Blur."""
    return 1


async def waits(image: Lazy[Picture]) -> int:
    """Blur."""
    return 1


def list_of_what(images: list) -> int:  # type: ignore[type-arg]  # the mistake
    """Blur."""
    return 1


def nested(images: list[list[Picture]]) -> int:
    """Blur."""
    return 1


def list_or_not(images: Picture | list[Picture]) -> int:
    """Blur."""
    return 1


def bare_path(file: Path) -> int:
    """Blur."""
    return 1


def mixed(choice: Literal["a", 1]) -> int:
    """Blur."""
    return 1


def mapping(image: dict[str, int]) -> int:
    """Blur."""
    return 1


def unknown(image: "NotImported") -> int:  # type: ignore[name-defined]  # noqa: F821, UP037 - the mistake
    """Blur."""
    return 1


def too_small(radius: Annotated[int, Field(ge=1)] = 0) -> int:
    """Blur."""
    return 1


def no_choice(mode: Literal["a", "b"] = "c") -> int:  # type: ignore[assignment]  # the mistake
    """Blur."""
    return 1


def wrong_type(radius: int = "2") -> int:  # type: ignore[assignment]  # the mistake
    """Blur."""
    return 1


def socket_default(image: Picture = 3) -> int:  # type: ignore[assignment]  # the mistake
    """Blur."""
    return 1


def unplain(value: object = object()) -> int:
    """Blur."""
    return 1


def mapping_out() -> dict[str, int]:
    """Blur."""
    return {}


def tuple_out() -> tuple[int, str]:
    """Blur."""
    return 1, ""


def lazy_of_what(image: Lazy) -> int:  # type: ignore[type-arg]  # the mistake
    """Blur."""
    return 1


def lazy_within(images: list[Lazy[Picture]]) -> int:
    """Blur."""
    return 1


def fine(radius: int = 1) -> int:
    """Blur."""
    return 1


def fine_lazy(radius: int, image: Lazy[Picture]) -> int:
    """Blur."""
    return 1


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (no_type, "parameter 'image' has no type; the type is its socket. Annotate it, e.g. 'image: Image'."),
        (no_return, "the return type is missing; it names the outputs. Add '-> Image'."),
        (starred, "'*images' can't be an input. Name each input."),
        (named_starred, "'**images' can't be an input. Name each input."),
        (positional, "parameter 'image' is positional only; inputs are given by name. Take the '/' out."),
        (waits, "an async node can't wait for its lazy input 'image'. Name the lazy inputs that it needs with wants=."),
        (list_of_what, "parameter 'images': a list needs the type of its items. Write it, e.g. 'list[Image]'."),
        (nested, "parameter 'images': lists of lists can't be sockets. Use one list, or a class of your own."),
        (list_or_not, "parameter 'images': a union with a list can't be a socket. Use the list: "),
        (bare_path, "parameter 'file': a Path needs the kind of file it names. Annotate it, e.g. "),
        (mixed, "parameter 'choice': choices ('a', 1) are of several types. Use texts only, or numbers only."),
        (mapping, "parameter 'image': dict[str, int] can't be a socket type. Use a class, a NewType or a scalar."),
        (unknown, "name 'NotImported' is not defined. Types of inputs and outputs are read when the node is defined"),
        (too_small, "parameter 'radius': the default is wrong: 0 is too small. Choose a value of at least 1."),
        (no_choice, "parameter 'mode': the default is wrong: 'c' is not one of its choices. Choose one of: a, b."),
        (wrong_type, "parameter 'radius': the default is wrong: '2' is not a whole number. Give it a whole number."),
        (
            socket_default,
            "parameter 'image': the default is wrong: 3 is no PICTURE. Use None for what may be left open.",
        ),
        (unplain, "parameter 'value': the default is wrong: "),
        (mapping_out, "return type: dict[str, int] can't be a socket type. Use a class, a NewType or a scalar."),
        (tuple_out, "return type: a tuple doesn't name its outputs. Return a NamedTuple, whose fields do: "),
        (lazy_of_what, "parameter 'image': Lazy stands around a whole input. Write it, e.g. 'Lazy[Image]' or "),
        (lazy_within, "parameter 'images': Lazy stands around a whole input. Write it, e.g. 'Lazy[Image]' or "),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_mistake_names_the_function_the_parameter_and_the_remedy(function: Any, message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        node("mypack.Blur", category="test")(function)
    line = function.__code__.co_firstlineno
    place = f"{__name__}.{function.__name__} (test_node_mistakes.py, line {line})"
    assert str(caught.value).startswith(f"{place}: {message}")


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (fine, {"id": ""}, "'' can't be a node's id. Write it like 'mypack.Blur'."),
        (fine, {"id": "subgraph:x"}, "'subgraph:x' can't be a node's id. Write it like 'mypack.Blur'."),
        (fine, {"version": 0}, "version=0 is below the first one. Begin with version=1."),
        (fine, {"fingerprint": lambda x: x}, "fingerprint: 'x' is no input of mypack.Blur. Its inputs: radius."),
        (fine, {"memory": lambda x: x}, "memory: 'x' is no input of mypack.Blur. Its inputs: radius."),
        (fine_lazy, {"wants": lambda x: x}, "wants: 'x' is no input of mypack.Blur. Its inputs: radius, image."),
        (fine, {"wants": lambda radius: ()}, "'wants' has no input to name. Annotate one as Lazy, e.g. Lazy[Image]."),
        (
            fine_lazy,
            {"wants": lambda image: ()},
            "'wants' reads 'image', which is lazy itself. Read plain inputs there.",
        ),
        (fine, {"refine": lambda x: x}, "'refine' takes two parameters, the literals and the facts of linked inputs."),
        (fine, {"body": Body(input="part")}, "body names 'part', which is no input. Add 'part: Subgraph'."),
    ],
    ids=["no id", "reserved", "version", "fingerprint", "memory", "wants", "not lazy", "lazy itself", "refine", "body"],
)
def test_a_mistaken_option_names_the_function_and_the_remedy(
    function: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DefinitionError) as caught:
        node(**{"id": "mypack.Blur", "category": "test", **options})(function)
    assert (
        str(caught.value)
        .removeprefix(f"{__name__}.{function.__name__} (test_node_mistakes.py, line ")
        .split("): ", 1)[1]
        == message
    )


def test_a_check_reads_inputs_of_its_node_only() -> None:
    @node("X", category="test")
    def f(width: int = 1) -> int:
        """Do it."""
        return 1

    assert not f.definition.has_check

    with pytest.raises(DefinitionError, match="'height' is no input of X"):

        @f.check
        def _check(height: int) -> None: ...

    @f.check
    def _check_width(width: int) -> None: ...

    assert f.definition.has_check
    assert f.checks == [_check_width]


def test_a_fingerprint_reads_inputs_of_its_node_only() -> None:
    def f(width: int = 1) -> int:
        """Do it."""
        return 1

    with pytest.raises(DefinitionError, match="fingerprint: 'height' is no input of X"):
        node("X", category="test", fingerprint=lambda height: height)(f)


@pytest.mark.parametrize("version", [0, 2, 3])
def test_a_migration_starts_below_the_current_version(version: int) -> None:
    @node("X", category="test", version=2)
    def f(width: int = 1) -> int:
        """Do it."""
        return 1

    with pytest.raises(DefinitionError, match=rf"migrate_from\({version}\) is not below version=2"):
        f.migrate_from(version)
