"""Running plans: values, the cache, failures, events."""

from __future__ import annotations

import enum
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import pytest
from pydantic import TypeAdapter

from graphengine import Context, FilesIn, InputError, node
from graphengine.config import Settings
from graphengine.core.events import AnyEvent, Event, JobFinished, NodeFailedEvent, NodeProgress
from graphengine.core.graph import check
from graphengine.core.workflow import parse_workflow
from graphengine.engine import Engine
from graphengine.errors import InvalidWorkflow, NodeFailed
from graphengine.types import Image, Latent
from tests.drawn import Seen, chain, drawn
from tests.engine.conftest import MakeEngine

T = TypeVar("T")


# Values


def test_two_nodes_that_do_the_same_run_once(engine: Engine) -> None:
    """
    one ──▶ add ──▶ out
    two ──▶ sum ──▶ other     'two' is like 'one', so what follows is alike as well
    """
    seen = Seen()
    nodes = {
        "one": ("Number", {"value": 2}),
        "two": ("Number", {"value": 2}),
        "add": ("Add", {"a": "@one.number"}),
        "sum": ("Add", {"a": "@two.number"}),
    }
    result = engine.run(
        drawn(nodes, outputs={"out": {"from": "add.sum"}, "other": {"from": "sum.sum"}}), emit=seen.append
    )
    assert result.outputs == {"out": 2, "other": 2}
    assert len(seen.of("node_started")) == 2
    assert len(seen.of("node_cached")) == 2


def test_values_travel_along_the_links(engine: Engine) -> None:
    """
    seven ──▶ divide ─quotient──▶ sum ──▶ out
    two   ──────▲   └─remainder───▲
    """
    workflow = drawn(
        {
            "seven": ("Whole", {"value": 7}),
            "two": ("Whole", {"value": 2}),
            "divide": ("Divide", {"a": "@seven.number", "b": "@two.number"}),
            "sum": ("Add", {"a": "@divide.quotient", "b": "@divide.remainder"}),
            "out": ("Show", {"value": "@sum.sum"}),
        },
        outputs={"total": {"from": "sum.sum"}, "rest": {"from": "divide.remainder"}},
    )
    result = engine.run(workflow)
    assert result.outputs == {"total": 4, "rest": 1}
    assert result.targets == {"out": {"value": 4}, "sum": {"sum": 4}, "divide": {"quotient": 3, "remainder": 1}}


def test_one_output_may_feed_two_inputs_of_one_node(engine: Engine) -> None:
    workflow = drawn({"n": ("Number", {"value": 3}), "s": ("Add", {"a": "@n.number", "b": "@n.number"})})
    assert engine.run(workflow, targets=["s"]).targets == {"s": {"sum": 6.0}}


def test_an_optional_socket_may_be_left_open(engine: Engine) -> None:
    nodes = {"box": ("Pack", {"number": 3}), "open": ("Unpack", {"box": "@box.box"})}
    nodes["both"] = ("Unpack", {"box": "@box.box", "spare": "@box.box"})
    assert engine.run(drawn(nodes), targets=["open", "both"]).targets == {"open": {"number": 3}, "both": {"number": 6}}


@pytest.mark.slow
def test_a_chain_of_20000_nodes_is_read_checked_planned_run_and_written(engine: Engine) -> None:
    workflow = chain(20_000)
    assert check(workflow, engine.registry.definitions, engine.settings) == []
    assert engine.run(workflow).outputs == {"out": 20_000.0}
    assert parse_workflow(workflow.dump()) == workflow


def test_nothing_runs_when_anything_is_wrong(engine: Engine) -> None:
    seen = Seen()
    with pytest.raises(InvalidWorkflow):
        engine.run(
            drawn({"x": "Tick", "out": ("Show", {"value": "@x.value"}), "bad": ("Show", {"value": "@no.value"})}),
            emit=seen.append,
        )
    assert seen == []


def test_an_enum_input_receives_the_member(engine_with: MakeEngine) -> None:
    @node("Tint", category="test", outputs="name")
    def tint(first: Colour, second: Colour = Colour.BLUE) -> str:
        """Name two colours."""
        return f"{first.name} {second.name}"

    assert tint(Colour.RED) == "RED BLUE"
    result = engine_with(tint).run(drawn({"x": ("Tint", {"first": "red"})}, outputs={"name": {"from": "x.name"}}))
    assert result.outputs == {"name": "RED BLUE"}


# Outputs that don't fit


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Pair(NamedTuple):
    """Two numbers."""

    left: float
    right: float


@pytest.mark.parametrize("returned", [(1.0,), (1.0, 2.0, 3.0), 5.0, None, [1.0, 2.0]], ids=repr)
def test_the_wrong_number_of_outputs_is_said(engine_with: MakeEngine, returned: object) -> None:
    @node("Pair", category="test")
    def pair() -> Pair:
        """Promise two numbers."""
        return returned  # type: ignore[return-value]  # the mistake

    with pytest.raises(NodeFailed, match=r"it returned .* instead of its outputs \(left, right\)"):
        engine_with(pair).run(drawn({"p": "Pair"}), targets=["p"])


def test_a_plain_tuple_of_the_right_length_will_do(engine_with: MakeEngine) -> None:
    @node("Pair", category="test")
    def pair() -> Pair:
        """Give two numbers."""
        return 1.0, 2.0  # type: ignore[return-value]  # as people write it

    result = engine_with(pair).run(drawn({"p": "Pair"}), targets=["p"])
    assert result.targets == {"p": {"left": 1.0, "right": 2.0}}


def test_a_single_output_may_be_a_tuple(engine_with: MakeEngine) -> None:
    @node("Size", category="test", outputs="size")
    def size() -> object:
        """Give one value made of two."""
        return (64, 32)

    assert engine_with(size).run(drawn({"s": "Size"}), targets=["s"]).targets == {"s": {"size": (64, 32)}}


# The cache


def test_a_second_run_executes_nothing(engine: Engine) -> None:
    """
    one ──▶ sum ──▶ out
    """
    workflow = drawn({"one": "Number", "sum": ("Add", {"a": "@one.number"}), "out": ("Show", {"value": "@sum.sum"})})
    first, second = Seen(), Seen()
    results = [engine.run(workflow, emit=seen.append) for seen in (first, second)]
    assert first.of("node_finished") == ["one", "sum", "out"]
    assert second.kinds == ["job_started", "node_cached", "job_finished"]
    assert results[0].targets == results[1].targets


def test_only_what_comes_after_a_change_runs_again(engine: Engine) -> None:
    """
    one ──▶ sum ──▶ out     'sum' gets another literal
    """
    nodes = {"one": "Number", "sum": ("Add", {"a": "@one.number"}), "out": ("Show", {"value": "@sum.sum"})}
    engine.run(drawn(nodes))
    seen = Seen()
    assert engine.run(drawn(nodes).with_settings({"sum.b": 5}), emit=seen.append).targets == {"out": {"value": 5.0}}
    assert (seen.of("node_cached"), seen.of("node_finished")) == (["one"], ["sum", "out"])


def test_a_cached_node_hides_its_ancestors(engine: Engine) -> None:
    """
    tick ──▶ …                          never cached, so it runs each time
    one ──▶ slow ──▶ sum ──▶ out        'sum' is cached, so neither 'slow' nor 'one' must run again
                      └────▶ new
    """
    nodes = {"one": "Number", "slow": ("Slow", {"value": "@one.number"}), "sum": ("Add", {"a": "@slow.value"})}
    engine.run(drawn({**nodes, "out": ("Show", {"value": "@sum.sum"})}))
    seen = Seen()
    engine.run(
        drawn({**nodes, "new": ("Unpack", {"box": "@p.box"}), "p": ("Pack", {"number": "@sum.sum"})}),
        targets=["new"],
        emit=seen.append,
    )
    assert (seen.of("node_cached"), seen.of("node_started")) == (["sum"], ["p", "new"])


def test_targets_with_a_cached_end_need_no_declared_outputs_of_their_ancestry(engine: Engine) -> None:
    """
    one (declared) ──▶ sum (target, cached)
    """
    workflow = drawn({"one": "Number", "sum": ("Add", {"a": "@one.number"})}, outputs={"first": {"from": "one.number"}})
    for _ in range(2):
        result = engine.run(workflow, targets=["sum"])
        assert (result.outputs, result.targets) == ({}, {"sum": {"sum": 0.0}})


def test_an_uncacheable_node_runs_each_time_with_all_after_it(engine: Engine) -> None:
    workflow = drawn({"t": "Tick", "out": ("Show", {"value": "@t.value"})})
    assert [engine.run(workflow).targets["out"]["value"] for _ in range(3)] == [1, 2, 3]


def test_a_failed_node_is_not_kept(engine: Engine) -> None:
    workflow = drawn({"f": "Fail"}, outputs={"out": {"from": "f.value"}})
    for _ in range(2):
        with pytest.raises(NodeFailed):
            engine.run(workflow)


def test_what_a_node_kept_is_its_own(engine_with: MakeEngine) -> None:
    """Another workflow may give another kind of node the same id."""

    @node("Other", category="test", outputs="value", cacheable=False)
    def other(ctx: Context) -> str:
        """Keep a text where Tick keeps a counter."""
        return str(ctx.keep("counter", lambda: "mine"))

    engine = engine_with(other)
    engine.run(drawn({"x": "Tick"}), targets=["x"])
    assert engine.run(drawn({"x": "Other"}), targets=["x"]).targets == {"x": {"value": "mine"}}
    assert engine.run(drawn({"x": "Tick"}), targets=["x"]).targets == {"x": {"value": 2}}


# Failing


def test_a_failure_is_an_event_first_and_then_ends_the_job(engine: Engine) -> None:
    """
    fail ──▶ never
    other (not begun)
    """
    nodes = {
        "fail": ("Fail", {"value": 2, "message": "no luck"}),
        "never": ("Show", {"value": "@fail.value"}),
        "other": ("Show", {"value": "@n.number"}),
        "n": "Number",
    }
    seen = Seen()
    with pytest.raises(NodeFailed) as caught:
        engine.run(drawn(nodes), emit=seen.append)
    assert seen.kinds[-2:] == ["node_failed", "job_finished"]
    assert isinstance(seen[-1], JobFinished)
    assert seen[-1].state == "failed"
    assert str(caught.value) == (
        "node 'fail' (Fail) failed: RuntimeError: no luck\n  It was given:\n    value: 2.0\n    message: 'no luck'"
    )
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_failures_traceback_starts_in_the_nodes_own_code(engine: Engine) -> None:
    seen = Seen()
    with pytest.raises(NodeFailed) as caught:
        engine.run(drawn({"fail": "Fail"}), targets=["fail"], emit=seen.append)
    event = next(each for each in seen if isinstance(each, NodeFailedEvent))
    assert "raise RuntimeError(message)" in event.traceback
    assert "executor.py" not in event.traceback
    assert caught.value.__cause__ is not None
    assert traceback.extract_tb(caught.value.__cause__.__traceback__)[0].name == "fail"


def test_tensors_are_told_by_shape_dtype_and_device(engine_with: MakeEngine) -> None:
    import torch

    @node("Noise", category="test")
    def noise() -> Image:
        """Make a picture."""
        return Image(torch.zeros(1, 4, 4, 3))

    @node("Encode", category="test")
    def encode(image: Image) -> Latent:
        """Make a latent."""
        return Latent(torch.zeros(1, 4, 2, 2, dtype=torch.float16))

    @node("Break", category="test", outputs="value")
    def break_it(image: Image, latent: Latent, text: str = "x" * 1000) -> int:
        """Fail at a size."""
        raise ValueError("mat1 and mat2")

    nodes = {
        "i": "Noise",
        "l": ("Encode", {"image": "@i.image"}),
        "b": ("Break", {"image": "@i.image", "latent": "@l.latent"}),
    }
    with pytest.raises(NodeFailed) as caught:
        engine_with(noise, encode, break_it).run(drawn(nodes), targets=["b"])
    assert caught.value.inputs["image"] == "tensor 1×4×4×3 float32 on cpu"
    assert caught.value.inputs["latent"] == "Latent(samples tensor 1×4×2×2 float16 on cpu)"
    assert len(caught.value.inputs["text"]) <= 200


def test_a_nodes_input_error_is_told_without_its_class(engine_with: MakeEngine) -> None:
    @node("Picky", category="test", outputs="value")
    def picky(width: int = 3) -> int:
        """Refuse."""
        raise InputError("width", "3 is odd.", "Choose an even one.")

    with pytest.raises(NodeFailed) as caught:
        engine_with(picky).run(drawn({"p": "Picky"}), targets=["p"])
    assert caught.value.message == "input 'width': 3 is odd.\n  Choose an even one."


# Events


def test_events_are_numbered_from_1_without_gaps_and_survive_json(engine_with: MakeEngine) -> None:
    @node("Talk", category="test", outputs="value")
    def talk(ctx: Context) -> int:
        """Say everything there is to say."""
        for _ in ctx.progress(iter(range(2)), total=2):
            ctx.report(1, loss=0.5, bad=float("nan"))
        ctx.report_progress(5, 10)
        ctx.warn("the text was cut")
        ctx.outputs.write_text("hello", "a.txt")
        return 1

    seen = Seen()
    engine_with(talk).run(drawn({"x": "Talk", "n": "Number"}), targets=["x", "n"], emit=seen.append)
    assert [event.number for event in seen] == list(range(1, len(seen) + 1))
    assert seen.kinds == [
        "job_started",
        "node_started",
        *["node_progress", "node_metrics", "node_progress", "node_metrics", "node_progress"],
        *["node_progress", "node_warning", "node_showed", "node_finished"],
        "node_started",
        "node_finished",
        "job_finished",
    ]
    assert [(each.done, each.total) for each in seen if isinstance(each, NodeProgress)] == [
        (0, 2),
        (1, 2),
        (2, 2),
        (5, 10),
    ]
    read = TypeAdapter[Event](AnyEvent)
    again = [read.validate_json(event.model_dump_json()) for event in seen]
    assert repr(again) == repr(list(seen))  # by repr: NaN is not equal to itself


def test_an_event_can_not_be_changed(engine: Engine) -> None:
    seen = Seen()
    engine.run(drawn({"n": "Number"}), targets=["n"], emit=seen.append)
    with pytest.raises(ValueError, match="frozen"):
        seen[0].number = 7


# The context


def test_random_numbers_come_from_the_cpu_and_from_the_seed(engine_with: MakeEngine) -> None:
    import torch

    drawn_numbers: list[torch.Tensor] = []

    @node("Roll", category="test", outputs="value", cacheable=False)
    def roll(ctx: Context, seed: int) -> int:
        """Draw."""
        generator = ctx.generator(seed)
        assert generator.device.type == "cpu"
        drawn_numbers.append(torch.randn(3, generator=generator))
        return 1

    engine = engine_with(roll, device="meta")  # a device that can't draw
    for seed in (2**64 - 1, 2**64 - 1, 0):
        engine.run(drawn({"r": ("Roll", {"seed": seed})}), targets=["r"])
    assert torch.equal(drawn_numbers[0], drawn_numbers[1])
    assert not torch.equal(drawn_numbers[0], drawn_numbers[2])


@pytest.mark.parametrize("name", ["", ".", "..", "../other", "/tmp/x", "a/../..", "a\0b"])
def test_a_state_folder_stays_in_its_place(engine_with: MakeEngine, name: str) -> None:
    @node("Trains", category="test", outputs="value")
    def trains(ctx: Context) -> str:
        """Ask for a folder."""
        return str(ctx.state_folder(name))

    with pytest.raises(NodeFailed, match="can't name a folder"):
        engine_with(trains).run(drawn({"x": "Trains"}), targets=["x"])


def test_a_state_folder_outlives_the_run(engine_with: MakeEngine, settings: Settings) -> None:
    @node("Trains", category="test", outputs="value")
    def trains(ctx: Context) -> str:
        """Ask for a folder."""
        return str(ctx.state_folder("mine/first"))

    path = engine_with(trains).run(drawn({"x": "Trains"}), targets=["x"]).targets["x"]["value"]
    assert Path(path) == settings.data / "state" / "mine" / "first"


def test_a_node_knows_its_id_and_device(engine_with: MakeEngine) -> None:
    @node("Who", category="test", outputs="value")
    def who(ctx: Context) -> str:
        """Say who it is."""
        return f"{ctx.node_id} on {ctx.device}"

    assert engine_with(who).run(drawn({"me": "Who"}), targets=["me"]).targets == {"me": {"value": "me on cpu"}}


def test_an_engine_of_numbers_never_loads_torch(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from graphengine.config import Settings\n"
        "from graphengine.core.registry import Registry\n"
        "from graphengine.engine import Engine\n"
        "from tests.packs.arithmetic import pack\n"
        "from tests.drawn import drawn\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "engine = Engine(Registry([pack]), Settings(folder, folder))\n"
        "print(engine.run(drawn({'n': ('Number', {'value': 3})}), targets=['n']).targets)\n"
        "assert 'torch' not in sys.modules\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("{'n': {'number': 3.0}}\n", "")


# Linked values


def test_a_linked_value_is_held_to_the_inputs_limits(engine: Engine) -> None:
    """
    zero ──▶ divide.b     'b' starts at 1, which only the run can see.
    """
    workflow = drawn(
        {"zero": ("Whole", {"value": 0}), "divide": ("Divide", {"a": 1, "b": "@zero.number"})},
        outputs={"out": {"from": "divide.quotient"}},
    )
    with pytest.raises(NodeFailed, match=r"input 'b': 0 is too small\.\n  Choose a value of at least 1\."):
        engine.run(workflow)


def test_a_linked_file_name_becomes_a_path(engine_with: MakeEngine, tmp_path: Path) -> None:
    @node("Name", category="test", outputs="name")
    def name(value: str) -> str:
        return value

    @node("Size", category="test", outputs="size")
    def size(file: Annotated[Path, FilesIn("input")]) -> int:
        return file.stat().st_size

    (tmp_path / "three.txt").write_bytes(b"abc")
    nodes = {"name": ("Name", {"value": "three.txt"}), "size": ("Size", {"file": "@name.name"})}
    outputs = {"size": {"from": "size.size"}}
    engine = engine_with(name, size, beside=(tmp_path,))

    assert engine.run(drawn(nodes, outputs=outputs)).outputs == {"size": 3}
    nodes["name"] = ("Name", {"value": "four.txt"})
    with pytest.raises(NodeFailed, match=r"there is no file 'four\.txt'"):
        engine.run(drawn(nodes, outputs=outputs))
