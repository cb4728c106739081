"""From a function's signature to a definition."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, TypeVar, Union

import pytest
from pydantic import Field

from graphengine import Context, FilesIn, Lazy, Widget, node
from graphengine.authoring.docstrings import read_docstring
from graphengine.core.definition import InputDefinition, NodeDefinition

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


def test_the_context_may_be_left_out_in_tests() -> None:
    assert not inputs_of(with_optional_context)


def with_optional_context(ctx: Context | None = None) -> int:
    """Blur."""
    return 1


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
