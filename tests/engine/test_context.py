"""What a node may ask of its run: progress in parts, previews, networks on the device, what it leaves behind."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image as pillow
from pydantic import TypeAdapter

from graphengine import Context, NodePack, node
from graphengine.config import Settings
from graphengine.core.events import AnyEvent, Event, NodePreview
from graphengine.core.registry import Registry, RunnableNode
from graphengine.engine import Engine
from graphengine.engine.context import ExecutionContext, RunServices
from graphengine.engine.device_memory import DeviceMemory
from graphengine.errors import Cancelled, GraphEngineError
from graphengine.types import Image
from tests.drawn import drawn


class Watched:
    """A node's context, with the progress and the events that it gave."""

    def __init__(self, services: RunServices) -> None:
        self.services = services
        self.events: list[Event] = []
        self.context = ExecutionContext(services, "node", self._emit)

    def _emit(self, kind: type[Event], **facts: object) -> None:
        self.events.append(kind(number=len(self.events) + 1, **facts))

    @property
    def progress(self) -> list[tuple[int, int]]:
        return [(each.done, each.total) for each in self.events if each.type == "node_progress"]  # type: ignore[attr-defined]  # every event has a type


@pytest.fixture
def watched(settings: Settings) -> Watched:
    return Watched(RunServices(settings))


# Progress


def test_progress_without_parts_is_told_as_it_is(watched: Watched) -> None:
    assert list(watched.context.progress("abc")) == ["a", "b", "c"]
    assert watched.progress == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_progress_within_a_part_fills_the_parts_share(watched: Watched) -> None:
    with watched.context.part(0.25):
        list(watched.context.progress(range(2)))
    with watched.context.part(0.75):
        watched.context.report_progress(1, 3)
    assert _distinct(watched.progress) == [(0, 1000), (125, 1000), (250, 1000), (500, 1000), (1000, 1000)]


def test_parts_within_a_part_share_what_it_has(watched: Watched) -> None:
    with watched.context.part(0.5):
        with watched.context.part(0.5):
            list(watched.context.progress(range(1)))
        with watched.context.part(0.5):
            list(watched.context.progress(range(1)))
    assert _distinct(watched.progress) == [(0, 1000), (250, 1000), (500, 1000)]


def test_what_is_told_after_a_part_fills_the_rest(watched: Watched) -> None:
    with watched.context.part(0.5):
        pass
    list(watched.context.progress(range(2)))
    assert _distinct(watched.progress) == [(0, 1000), (500, 1000), (750, 1000), (1000, 1000)]


def test_parts_that_add_up_to_more_than_the_bar_stay_within_it(watched: Watched) -> None:
    for _ in range(3):
        with watched.context.part(0.6):
            list(watched.context.progress(range(3)))
    done = [done for done, _ in watched.progress]
    assert done == sorted(done)
    assert done[-1] == 1000


@pytest.mark.parametrize("share", [0, -0.5, 1.5, float("nan")])
def test_a_part_that_is_no_share_is_refused(watched: Watched, share: float) -> None:
    with pytest.raises(GraphEngineError, match="a share of the bar"), watched.context.part(share):
        pass


def test_cancelling_takes_effect_where_a_part_begins(watched: Watched) -> None:
    watched.services.cancel.set()
    with pytest.raises(Cancelled), watched.context.part(0.5):
        pytest.fail("the part began")


def test_a_part_that_fails_is_not_told_to_be_done(watched: Watched) -> None:
    with pytest.raises(ZeroDivisionError), watched.context.part(0.5):
        raise ZeroDivisionError
    assert watched.progress == [(0, 1000)]


# Previews


def test_nobody_pays_for_previews_that_nobody_watches(watched: Watched) -> None:
    watched.context.preview(None)  # type: ignore[arg-type]  # it isn't even looked at
    assert watched.events == []


def test_a_preview_is_a_small_jpeg(settings: Settings) -> None:
    watched = Watched(RunServices(settings, previews=True))
    red = torch.zeros(1, 300, 1024, 3)
    red[..., 0] = 1.2
    watched.context.preview(Image(red))
    (event,) = watched.events
    assert isinstance(event, NodePreview)
    picture = pillow.open(io.BytesIO(event.jpeg))
    assert (picture.format, picture.size) == ("JPEG", (512, 150))
    assert picture.getpixel((10, 10)) == pytest.approx((254, 0, 0), abs=3)


def test_previews_that_come_too_soon_are_dropped(settings: Settings) -> None:
    hasty, patient = (Watched(RunServices(settings, previews=True, preview_interval_s=s)) for s in (60, 0))
    for watched in (hasty, patient):
        for _ in range(3):
            watched.context.preview(Image(torch.zeros(8, 8, 3)))
    assert (len(hasty.events), len(patient.events)) == (1, 3)


def test_a_preview_is_only_made_if_it_is_shown(settings: Settings) -> None:
    made: list[Image] = []

    def make() -> Image:
        made.append(Image(torch.zeros(8, 8, 3)))
        return made[-1]

    unwatched = Watched(RunServices(settings))
    hasty = Watched(RunServices(settings, previews=True, preview_interval_s=60))
    for watched in (unwatched, hasty, hasty):
        watched.context.preview(make)
    assert (len(made), len(unwatched.events), len(hasty.events)) == (1, 0, 1)


def test_a_node_may_find_that_it_has_nothing_to_show(settings: Settings) -> None:
    watched = Watched(RunServices(settings, previews=True))
    watched.context.preview(lambda: None)
    assert watched.events == []


def test_a_preview_of_something_else_is_refused(settings: Settings) -> None:
    watched = Watched(RunServices(settings, previews=True))
    with pytest.raises(GraphEngineError, match=r"not a tensor \[1, 4, 8, 8\]"):
        watched.context.preview(Image(torch.zeros(1, 4, 8, 8)))


def test_a_preview_survives_json(settings: Settings) -> None:
    event = NodePreview(number=1, node="x", jpeg=b"\xff\xd8\x00")
    assert TypeAdapter(AnyEvent).validate_json(event.model_dump_json()) == event


# The run


def test_a_node_sees_the_settings_and_the_workflow(settings: Settings) -> None:
    workflow = drawn({"n": "Number"})
    context = Watched(RunServices(settings, workflow)).context
    assert context.workflow is workflow
    assert context.settings is settings


def test_networks_are_on_the_device_within_the_block(settings: Settings) -> None:
    moves: list[str] = []
    memory = DeviceMemory(free_bytes=lambda device: None, move=lambda module, device, weights: moves.append(device))
    on_gpu = Settings(**{**vars(settings), "device": "cuda:0"})
    with Watched(RunServices(on_gpu, device_memory=memory)).context.loaded(torch.nn.Linear(1, 1)) as device:
        assert device == torch.device("cuda:0")
        assert moves == ["cuda:0"]
    with Watched(RunServices(settings, device_memory=memory)).context.loaded(torch.nn.Linear(1, 1)) as device:
        assert device == torch.device("cpu")
        assert moves == ["cuda:0"]


@node("Hungry", category="test", device="gpu", outputs="size", memory=lambda size: size * 100)
def hungry(size: int, other: float = 0.0) -> int:
    """Need memory."""
    return size


def test_room_is_made_for_what_a_node_says_it_needs(settings: Settings) -> None:
    asked: list[int] = []

    class Asked(DeviceMemory):
        def make_room(self, wanted_bytes: int, device: str, values: object = ()) -> None:
            asked.append(wanted_bytes)

    (function,) = NodePack("own", functions=[hungry], version="1").nodes
    runnable: RunnableNode = function
    on_gpu = Settings(**{**vars(settings), "device": "cuda:0"})
    RunServices(on_gpu, device_memory=Asked()).make_room(runnable, {"size": 7, "other": 1.0})
    RunServices(settings, device_memory=Asked()).make_room(runnable, {"size": 8, "other": 1.0})
    assert asked == [700]


LEAVING: dict[str, tuple[Callable[[ExecutionContext], object], bool]] = {
    "state": (lambda context: context.state_folder("mine"), True),
    "kept": (lambda context: context.keep("mine", dict), True),
    "folder": (lambda context: context.outputs.folder("mine"), True),
    "picture": (lambda context: context.outputs.write_images(Image(torch.zeros(1, 2, 2, 3)), "mine"), False),
    "text": (lambda context: context.outputs.write_text("", "mine.txt"), False),
    "nothing": (lambda context: context.progress([]), False),
}


@pytest.mark.parametrize(("use", "leaves"), LEAVING.values(), ids=LEAVING)
def test_what_a_node_leaves_besides_its_files_is_noted(
    watched: Watched, use: Callable[[ExecutionContext], object], leaves: bool, tmp_path: Path
) -> None:
    use(watched.context)
    assert watched.context.left_traces is leaves


def _distinct(steps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return list(dict.fromkeys(steps))


def test_what_is_shared_is_made_once_for_all_nodes_of_a_pack(settings: Settings) -> None:
    """In this run and later ones, as far as the engine's budget goes; another pack has its own."""
    made: list[str] = []

    def opened(name: str) -> int:
        made.append(name)
        return len(made)

    @node("one.Opener", category="test", outputs="number", cacheable=False)
    def opener(ctx: Context, name: str) -> int:
        """Open something slow."""
        return int(ctx.shared(name, lambda: opened(name)))

    @node("two.Opener", category="test", outputs="number", cacheable=False)
    def other(ctx: Context, name: str) -> int:
        """Open the same."""
        return int(ctx.shared(name, lambda: opened(f"other {name}")))

    engine = Engine(Registry([NodePack("sharing", functions=[opener, other])]), settings)
    nodes = {"a": ("one.Opener", {"name": "x"}), "b": ("one.Opener", {"name": "x"}), "c": ("two.Opener", {"name": "x"})}
    for _ in range(2):
        engine.run(drawn(nodes), targets=["a", "b", "c"])
    assert made == ["x", "other x"]
