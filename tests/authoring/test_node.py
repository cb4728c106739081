"""From a function's signature to a definition, and what is said when it can't be."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, TypeVar, Union

import pytest
from pydantic import Field

from graphengine import Body, Context, FilesIn, Lazy, Widget, node
from graphengine.authoring.docstrings import read_docstring
from graphengine.core.definition import InputDefinition, NodeDefinition
from graphengine.errors import DefinitionError

Picture = NewType("Picture", object)
Cover = NewType("Cover", object)
T = TypeVar("T")
P = TypeVar("P", Picture, Cover)


class Hull:
    socket = "mypack.HULL"


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


def inputs_of(function: Any) -> dict[str, InputDefinition]:  # Any: a function of any signature
    return dict(node("X", category="test")(function).definition.inputs_by_name)


def facts(definition: InputDefinition) -> dict[str, Any]:  # Any: the definition's own fields
    return definition.model_dump(exclude_defaults=True, exclude={"name"})


# Inputs


def test_scalars_are_read_with_their_constraints() -> None:
    def f(
        steps: Annotated[int, Field(ge=1, le=10)] = 5,
        cfg: Annotated[float, Field(gt=0, lt=2, multiple_of=0.5), Widget("slider", step=0.5)] = 1.0,
        text: Annotated[str, Field(min_length=1, max_length=9, pattern="^a", description="What to say.")] = "a",
        flag: bool = False,
    ) -> int:
        """Do it."""
        return 1

    found = {name: facts(each) for name, each in inputs_of(f).items()}
    assert found["steps"] == {"type": "INT", "required": False, "default": 5, "minimum": 1, "maximum": 10}
    assert found["cfg"] == {
        "type": "FLOAT",
        "required": False,
        "default": 1.0,
        "exclusive_minimum": 0,
        "exclusive_maximum": 2,
        "multiple_of": 0.5,
        "widget": {"kind": "slider", "hints": {"step": 0.5}},
    }
    assert found["text"]["pattern"] == "^a"
    assert (found["text"]["min_length"], found["text"]["max_length"], found["text"]["doc"]) == (1, 9, "What to say.")
    assert found["flag"] == {"type": "BOOLEAN", "required": False, "default": False}


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Picture, {"type": "PICTURE"}),
        (Hull, {"type": "mypack.HULL"}),
        (Picture | Cover, {"type": "PICTURE|COVER"}),
        (Union[Picture, None], {"type": "PICTURE"}),  # noqa: UP007 - as older packs write it
        (Optional[Picture], {"type": "PICTURE"}),  # noqa: UP045 - as older packs write it
        (Annotated[Picture | None, Widget("plain")], {"type": "PICTURE", "widget": {"kind": "plain"}}),
        (Annotated[int, Field(ge=1)] | None, {"type": "INT", "minimum": 1}),
        (int | str, {"type": "INT|STRING"}),
        (object, {"type": "*"}),
        (Any, {"type": "*"}),
        (T, {"type": "$T"}),
        (Lazy[T], {"type": "$T", "lazy": True}),  # type: ignore[valid-type]  # as in a signature
        (Lazy[Annotated[int, Field(le=3)]], {"type": "INT", "maximum": 3, "lazy": True}),
        (Annotated[Lazy[int], Field(le=3)], {"type": "INT", "maximum": 3, "lazy": True}),
        (Literal["a", "b"], {"type": "STRING", "choices": ("a", "b")}),
        (Literal[1, 2], {"type": "INT", "choices": (1, 2)}),
        (Colour, {"type": "STRING", "choices": ("red", "blue")}),
        (Level, {"type": "INT", "choices": (1, 2)}),
        (Annotated[Path, FilesIn("texts")], {"type": "STRING", "files": "texts"}),
    ],
    ids=lambda value: str(value).partition(" at 0x")[0],
)
def test_an_annotation_is_its_socket(annotation: Any, expected: dict[str, Any]) -> None:
    def f(x: Any) -> int:
        """Do it."""
        return 1

    f.__annotations__["x"] = annotation
    assert facts(inputs_of(f)["x"]) == expected


def test_no_default_is_required_and_none_may_be_left_open() -> None:
    def f(must: Picture, may: Picture | None = None, *, keyword: Cover) -> Picture:
        """Do it."""
        return must

    found = inputs_of(f)
    assert [each.required for each in found.values()] == [True, False, True]
    assert list(found) == ["must", "may", "keyword"]


def test_defaults_are_plain_data_of_the_inputs_type() -> None:
    """Else a default and the same value written in a file would have two cache keys."""

    def f(
        cfg: float = 7,
        colour: Colour = Colour.BLUE,
        level: Level = Level.HIGH,
        file: Annotated[Path, FilesIn("x")] = Path("a/b.txt"),
    ) -> int:
        """Do it."""
        return 1

    assert [repr(each.default) for each in inputs_of(f).values()] == ["7.0", "'blue'", "2", "'a/b.txt'"]


def test_the_context_is_no_input() -> None:
    def f(number: int, context: Context) -> int:
        """Do it."""
        return 1

    made = node("X", category="test")(f)
    assert list(made.definition.inputs_by_name) == ["number"]
    assert made.context_parameter == "context"


def test_type_variables_are_listed_with_what_they_may_be() -> None:
    def f(a: P, b: Lazy[T]) -> P:
        """Do it."""
        return a

    made = node("X", category="test")(f)
    assert made.definition.variables == {"$P": "PICTURE|COVER", "$T": "*"}


# Outputs


class Both(NamedTuple):
    """A picture and more.

    Attributes:
        picture: What was painted.
        cover: Where it is
            opaque.
    """

    picture: Picture
    cover: Annotated[Cover, "of another library"]
    steps: Annotated[int, Field(ge=1)]


def test_a_named_tuple_is_several_outputs_with_their_docs() -> None:
    def f() -> Both:
        """Do it."""
        raise NotImplementedError

    outputs = node("X", category="test")(f).definition.outputs
    assert [(each.name, each.type, each.doc) for each in outputs] == [
        ("picture", "PICTURE", "What was painted."),
        ("cover", "COVER", "Where it is opaque."),
        ("steps", "INT", ""),
    ]


@pytest.mark.parametrize(
    ("annotation", "name", "socket"),
    [
        (Picture, "picture", "PICTURE"),
        (Hull, "hull", "mypack.HULL"),
        (float, "float", "FLOAT"),
        (T, "value", "$T"),
        (object, "value", "*"),
        (Picture | Cover, "value", "PICTURE|COVER"),
        (Annotated[int, Field(ge=1)], "int", "INT"),
    ],
    ids=str,
)
def test_a_single_output_is_named_after_its_type(annotation: Any, name: str, socket: str) -> None:
    def f() -> Any:
        """Do it."""

    f.__annotations__["return"] = annotation
    made = [node("X", category="test", outputs=outputs)(f).definition.outputs for outputs in (None, "mine")]
    assert [(each.name, each.type) for (each,) in made] == [(name, socket), ("mine", socket)]


def test_none_is_no_output() -> None:
    def f(number: int) -> None:
        """Do it."""

    assert node("X", category="test", output_node=True)(f).definition.outputs == ()


# The function


def test_a_node_is_still_a_function() -> None:
    @node("X", category="test")
    def double(number: int = 2) -> int:
        """Double it."""
        return number * 2

    assert (double(), double(5), double(number=6)) == (4, 10, 12)
    assert (double.__name__, double.__doc__) == ("double", "Double it.")
    assert repr(double) == f"<node X ({__name__}.double)>"


def test_a_definition_survives_json() -> None:
    def f(a: Annotated[float, Field(ge=0)] = 1.0, b: Literal[1, 2] = 1, c: Colour = Colour.RED) -> Both:
        """Do it."""
        raise NotImplementedError

    definition = node("X", category="test", aliases=("Y",), status="deprecated", replaced_by="Z")(f).definition
    again = NodeDefinition.model_validate_json(definition.model_dump_json())
    assert repr(again) == repr(definition)


def test_a_definition_can_not_be_changed() -> None:
    def f() -> int:
        """Do it."""
        return 1

    with pytest.raises(ValueError, match="frozen"):
        node("X", category="test")(f).definition.id = "Y"


# Mistakes


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
    place = f"{__name__}.{function.__name__} (test_node.py, line {line})"
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
        str(caught.value).removeprefix(f"{__name__}.{function.__name__} (test_node.py, line ").split("): ", 1)[1]
        == message
    )


def test_the_context_may_be_left_out_in_tests() -> None:
    assert not inputs_of(with_optional_context)


def with_optional_context(ctx: Context | None = None) -> int:
    """Blur."""
    return 1


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


# Docstrings


def test_a_docstring_is_summary_and_entries() -> None:
    docs = read_docstring(
        "Blur a picture.\n\nSlowly: it takes time.\n\nArgs:\n    image: What to blur.\n    radius (float): In pixels;\n"
        "        at least 1: not less.\n\n    mode: How.\n\nReturns:\n    image: not an input.\n"
    )
    assert docs.summary == "Blur a picture.\n\nSlowly: it takes time."
    assert docs.entries == {"image": "What to blur.", "radius": "In pixels; at least 1: not less.", "mode": "How."}


def test_text_after_the_entries_is_none() -> None:
    docs = read_docstring("Blur.\n\nArgs:\n    image: What to blur.\n\nMore about it: see elsewhere.\n")
    assert docs.entries == {"image": "What to blur."}


@pytest.mark.parametrize("doc", ["", "Args:", "Args:\n    no colon here\n"])
def test_a_docstring_without_entries_has_none(doc: str) -> None:
    assert read_docstring(doc).entries == {}


def test_docs_reach_the_definition() -> None:
    @node("X", category="test")
    def f(width: int = 1) -> int:
        """Make it wide.

        Args:
            width: In pixels.
        """
        return 1

    assert f.definition.doc == "Make it wide."
    assert f.definition.inputs_by_name["width"].doc == "In pixels."
