"""Nodes called in tests as the engine would call them."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import pytest
import torch
from pydantic import Field

from graphengine import Blocked, Context, Expansion, FilesIn, Fragment, InputError, Lazy, node
from graphengine.authoring.testing import FakeContext, Metrics, run_node
from graphengine.errors import Cancelled, DefinitionError, GraphEngineError
from graphengine.types import Image

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Parts(NamedTuple):
    low: int
    high: float


@node("test.Blur", category="test", outputs="text")
def blur(
    radius: Annotated[int, Field(ge=1, le=9)] = 2,
    factor: float = 1.0,
    mode: Literal["box", "gauss"] = "box",
    colour: Colour = Colour.RED,
    image: Image | None = None,
) -> str:
    """Say what it was given."""
    return f"{radius} {factor} {mode} {colour.name} {image}"


@blur.check
def _(radius: int, factor: float) -> None:
    if factor > radius:
        raise InputError("factor", "it is above the radius.", "Choose less.")


@node("test.Parts", category="test")
def parts(number: int) -> Parts:
    """Take a number apart."""
    return Parts(number, number / 2)


@node("test.Choose", category="test", wants=lambda first: "a" if first else "b")
def choose(first: bool, a: Lazy[T], b: Lazy[T]) -> T:
    """Choose."""
    return a.get() if first else b.get()


@node("test.Wait", category="test", wants=lambda first: "a" if first else ())
async def wait(first: bool, a: Lazy[int], b: Lazy[int]) -> int:
    """Wait a little."""
    await asyncio.sleep(0)
    return a.get() if first else b.get()


@node("test.Length", category="test", outputs="length")
def length(images: list[Image], numbers: list[int] | None = None) -> int:
    """Count."""
    return len(images) + len(numbers or ())


@node("test.Read", category="test")
def read(path: Annotated[Path, FilesIn("texts")]) -> str:
    """Read."""
    return path.read_text(encoding="utf-8")


@node("test.Work", category="test", outputs="images", output_node=True)
def work(ctx: Context, steps: int = 4) -> Image:
    """Do all that a context allows."""
    with ctx.part(0.5):
        for step in ctx.progress(range(steps)):
            ctx.report(step, loss=1 / (step + 1))
    image = Image(torch.rand(2, 8, 8, 3, generator=ctx.generator(1)))
    with ctx.part(0.5), ctx.loaded(image) as device:
        ctx.preview(Image(image.to(device)))
    ctx.outputs.write_images(image, "trip/day")
    ctx.outputs.write_images(Image(image[:1]), "trip/day")
    ctx.outputs.write_text("done", "trip/log.txt")
    assert ctx.keep("x", lambda: [1]) is ctx.keep("x", lambda: [2])
    ctx.state_folder("training").mkdir(parents=True)
    ctx.warn("that was all")
    return image


def test_defaults_are_filled_in_and_literals_brought_to_their_types() -> None:
    assert run_node(blur) == "2 1.0 box RED None"
    assert run_node(blur, radius=3.0, factor=2, colour="blue") == "3 2.0 box BLUE None"
    assert run_node(blur, colour=Colour.BLUE, image=None) == "2 1.0 box BLUE None"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"radius": 0}, "input 'radius': 0 is too small."),
        ({"radius": "2"}, "input 'radius': '2' is not a whole number."),
        ({"radius": None}, "input 'radius': it is None, but may not be left open."),
        ({"mode": "gaus"}, "input 'mode': 'gaus' is not one of its choices."),
        ({"colour": "green"}, "input 'colour': 'green' is not one of its choices."),
        ({"factor": 5}, "input 'factor': it is above the radius."),
        ({"raduis": 5}, "input 'raduis': test.Blur has no such input.\n  Did you mean 'radius'? Its inputs: radius, "),
        ({"image": [1, 2]}, "input 'image': it takes one IMAGE, not a list; the engine calls the node once for each"),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
def test_what_the_engine_would_refuse_is_refused(inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        run_node(blur, **inputs)
    assert str(caught.value).startswith(message)


def test_a_required_input_is_missed() -> None:
    with pytest.raises(InputError, match="input 'number': it is required"):
        run_node(parts)


def test_only_nodes_can_be_run() -> None:
    function: Any = len
    with pytest.raises(DefinitionError, match=r"is no node\. Decorate it with '@node"):
        run_node(function)


def test_several_outputs_are_the_record_that_the_node_returns() -> None:
    given = run_node(parts, number=3)
    assert (given.low, given.high) == (3, 1.5)


def test_values_for_lazy_inputs_become_lazy() -> None:
    def never() -> int:
        raise AssertionError("not chosen")

    assert run_node(choose, first=True, a=1, b=Lazy(never)) == 1


def test_async_nodes_are_awaited_even_in_an_async_test() -> None:
    async def inside() -> int:
        return run_node(wait, first=True, a=5, b=6)

    assert run_node(wait, first=True, a=5, b=6) == 5
    assert asyncio.run(inside()) == 5


def test_an_async_node_gets_only_what_it_wants() -> None:
    with pytest.raises(GraphEngineError, match="its 'wants' had not named"):
        run_node(wait, first=False, a=5, b=6)


def test_one_value_for_a_list_is_a_list_of_one() -> None:
    image = Image(torch.zeros(1, 2, 2, 3))
    assert run_node(length, images=image) == 1
    assert run_node(length, images=[image, image], numbers=[1.0, 2]) == 4
    with pytest.raises(InputError, match=r"'numbers': item 1: 1.5 is not a whole number"):
        run_node(length, images=[], numbers=[1, 1.5])


def test_files_are_found_by_path(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    assert run_node(read, path=tmp_path / "a.txt") == "hello"
    with pytest.raises(InputError, match="input 'path': there is no file "):
        run_node(read, path="missing.txt")


def test_a_context_remembers_what_the_node_did(tmp_path: Path) -> None:
    ctx = FakeContext(tmp_path)
    image = run_node(work, ctx=ctx, steps=2)
    assert ctx.progress_reports == [0, 0, 0.25, 0.5, 0.5, 0.5, 1]
    assert ctx.metrics == [Metrics(0, {"loss": 1.0}), Metrics(1, {"loss": 0.5})]
    assert ctx.warnings == ["that was all"]
    assert [each is image for each in (ctx.images[0], ctx.loaded_values[0])] == [True, True]
    assert [tuple(each.shape) for each in (*ctx.images, *ctx.previews)] == [(2, 8, 8, 3), (1, 8, 8, 3), (2, 8, 8, 3)]
    assert [path.relative_to(tmp_path / "output").as_posix() for path in ctx.files] == [
        "trip/day_00001.png",
        "trip/day_00002.png",
        "trip/day_00003.png",
        "trip/log.txt",
    ]
    assert all(path.is_file() for path in ctx.files)


def test_a_file_gets_the_number_after_the_highest(tmp_path: Path) -> None:
    outputs = FakeContext(tmp_path).outputs
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "day_00007.webp").touch()
    (path,) = outputs.write_images(Image(torch.zeros(1, 2, 2, 3)), "day", picture_format="webp")
    assert (path.name, path.read_bytes()[8:12]) == ("day_00008.webp", b"WEBP")
    assert outputs.write_file(lambda draft: draft.write_text("x"), "day", ".txt").read_text() == "x"
    assert sorted(each.name for each in path.parent.iterdir()) == ["day_00001.txt", "day_00007.webp", "day_00008.webp"]


def test_what_a_node_wrote_is_gone_with_the_context() -> None:
    ctx = FakeContext()
    run_node(work, ctx=ctx, steps=0)
    (*_, path) = ctx.files
    assert path.is_file()
    del ctx
    assert not path.exists()


def test_a_run_can_be_stopped() -> None:
    ctx = FakeContext(cancel_after=3)
    with pytest.raises(Cancelled):
        run_node(work, ctx=ctx)
    assert len(ctx.metrics) == 2
    assert ctx.is_cancelled


@pytest.mark.parametrize("name", ["../out", "/etc/x", "."])
def test_nothing_is_written_outside_the_folder(name: str) -> None:
    with pytest.raises(InputError, match="names nothing inside"):
        FakeContext().outputs.write_text("", name)


def returning(value: object, annotation: object) -> Any:  # Any: a node
    def give() -> Any:
        """Give it."""
        return value

    give.__annotations__["return"] = annotation
    return node("test.Give", category="test")(give)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: returning((1,), Parts), "it returned (1,) instead of its outputs (low, high)"),
        (lambda: returning(1, list[int]), "it returned 1 for its output 'int', which is a list"),
        (lambda: returning(Expansion(Fragment(), []), int), "Say so in its return type"),
    ],
    ids=["several", "list", "expansion"],
)
def test_what_does_not_fit_the_outputs_is_refused(function: Callable[[], Any], message: str) -> None:
    with pytest.raises(GraphEngineError) as caught:
        run_node(function())
    assert message in str(caught.value)


def test_blocked_values_and_expansions_are_given_as_they_are() -> None:
    assert run_node(returning(Blocked("no"), Parts)) == Blocked("no")
    expansion = Expansion(Fragment(), [])
    assert run_node(returning(expansion, int | Expansion)) is expansion


def test_a_fake_context_is_a_context() -> None:
    ctx: Context = FakeContext()
    assert (ctx.node_id, ctx.workflow, str(ctx.device)) == ("node", None, "cpu")
    ctx.check_cancelled()
