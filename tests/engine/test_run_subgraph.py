"""Nodes that run a sub-graph in the midst of their work."""

from __future__ import annotations

from typing import Any

import pytest

from graphengine import Body, Context, NodePack, Subgraph, node
from graphengine.authoring.context import Blocked
from graphengine.authoring.testing import FakeContext, run_node
from graphengine.config import Settings
from graphengine.core.events import Event
from graphengine.core.registry import Registry
from graphengine.core.subgraphs import SubgraphValue
from graphengine.core.workflow import Subgraph as SubgraphDocument
from graphengine.core.workflow import Workflow
from graphengine.engine import Engine
from graphengine.engine.context import RunServices
from graphengine.errors import Cancelled, GraphEngineError, InvalidWorkflow, NodeFailed
from tests.drawn import Document, Seen, document, drawn
from tests.packs import arithmetic, waiting


class Weights:
    """A value that JSON can't hold, so that it counts as made by the node."""

    def __init__(self, number: float) -> None:
        self.number = number


@node("Read", category="test", outputs="number")
def read(weights: Weights) -> float:
    """Read the number."""
    return weights.number


@node("Fit", category="test", outputs="seen", body=Body(input="watch", supplies=("weights", "step"), outputs=False))
def fit(
    ctx: Context,
    first: int = 1,
    steps: int = 3,
    watch: Subgraph | None = None,
    **inputs: Any,  # Any: what the watching sub-graph asks for besides
) -> list[float]:
    """Do steps, and have each watched."""
    seen = []
    for step in range(first, steps + 1):
        ctx.check_cancelled()
        if watch is None:
            continue
        outputs = ctx.run_subgraph(watch, f"step{step}", weights=Weights(step * 10), **inputs)
        seen.append(-1.0 if isinstance(outputs["number"], Blocked) else outputs["number"])
    return seen


@node("FitAsync", category="test", outputs="seen", body=Body(input="watch", supplies=("weights",), outputs=False))
async def fit_async(ctx: Context, watch: Subgraph) -> list[float]:
    """Watch from where it isn't possible."""
    return [ctx.run_subgraph(watch, "now", weights=Weights(0))["number"]]


PACK = NodePack("fitting", functions=[read, fit, fit_async])


@pytest.fixture
def engine(settings: Settings) -> Engine:
    return Engine(Registry([arithmetic.pack, waiting.pack, PACK]), settings)


def watching(second: str = "Add", *, outputs: bool = True) -> Document:
    """
    weights ──▶ read ──▶ second(number, offset) ──▶ number
    """
    parts = document({"read": "Read", "second": (second, {"a" if second == "Add" else "value": "@read.number"})})
    inputs: Document = {"weights": {"type": "WEIGHTS", "to": ["read.weights"]}}
    if second == "Add":
        inputs["offset"] = {"type": "FLOAT", "to": ["second.b"]}
    given = {"number": {"from": "second.sum" if second == "Add" else "second.value"}}
    return {"nodes": parts["nodes"], "inputs": inputs, "outputs": given if outputs else {}}


def fitting(body: Document, kind: str = "Fit", **inputs: Any) -> Workflow:
    return drawn(
        {"fit": (kind, {"watch": {"$subgraph": "watch"}, **inputs})},
        subgraphs={"watch": body},
        outputs={"out": {"from": "fit.seen"}},
    )


def test_each_run_of_the_body_sees_what_the_node_has_by_then(engine: Engine) -> None:
    seen = Seen()
    assert engine.run(fitting(watching(), offset=1), emit=seen.append).outputs == {"out": [11, 21, 31]}
    assert seen.of("node_finished")[:3] == ["fit/step1/read", "fit/step1/second", "fit/step2/read"]
    assert seen.of("node_finished")[-1] == "fit"


def test_a_node_without_a_body_does_without(engine: Engine) -> None:
    assert engine.run(drawn({"fit": "Fit"}, outputs={"out": {"from": "fit.seen"}})).outputs == {"out": []}


def test_what_the_node_made_at_another_time_is_not_taken_for_this(engine: Engine) -> None:
    """A training that goes on from step 2 makes other weights than one that begins, under the same inputs' key."""
    values = [engine.run(fitting(watching(), offset=1, first=first)).outputs["out"] for first in (1, 2)]
    assert values == [[11, 21, 31], [21, 31]]


def test_a_failure_inside_is_reported_and_ends_nothing(engine: Engine) -> None:
    seen = Seen()
    assert engine.run(fitting(watching("Fail"), steps=2), emit=seen.append).outputs == {"out": [-1, -1]}
    assert seen.of("node_failed") == ["fit/step1/second", "fit/step2/second"]


def test_the_body_is_checked_before_anything_runs(engine: Engine) -> None:
    with pytest.raises(InvalidWorkflow, match=r"'fit' \(Fit\), input 'offset': it has no value"):
        engine.run(fitting(watching()))
    wrong = watching()
    wrong["nodes"]["second"]["inputs"]["a"] = {"$link": "read.numbr"}
    with pytest.raises(InvalidWorkflow, match="numbr"):
        engine.run(fitting(wrong, offset=1))


def test_the_bodys_outputs_are_the_nodes_own_matter(engine: Engine) -> None:
    nodes = {"fit": ("Fit", {"watch": {"$subgraph": "watch"}, "offset": 1})}
    with pytest.raises(InvalidWorkflow, match=r"'fit\.number', which doesn't exist"):
        engine.run(drawn(nodes, subgraphs={"watch": watching()}, outputs={"out": {"from": "fit.number"}}))


def test_an_async_node_is_told_what_to_do_instead(engine: Engine) -> None:
    with pytest.raises(NodeFailed, match="return an Expansion instead"):
        engine.run(fitting(watching("Fail"), "FitAsync"))


def test_a_cancelled_run_stops_inside(engine: Engine) -> None:
    services = RunServices(engine.settings)
    seen = Seen()

    def watch(event: Event) -> None:
        seen.append(event)
        if "fit/step2/read" in seen.of("node_finished"):
            services.cancel.set()

    with pytest.raises(Cancelled):
        engine.run(fitting(watching(), offset=1), emit=watch, services=services)
    assert seen.of("node_finished")[-1] == "fit/step2/read"


def test_a_fake_context_remembers_the_runs() -> None:
    ctx = FakeContext()
    declared = {"number": {"from": "second.sum"}}
    body = SubgraphValue("watch", SubgraphDocument.model_validate({"nodes": {}, "outputs": declared}))
    assert run_node(fit, ctx=ctx, steps=2, watch=body) == [-1, -1]
    assert [(each.name, each.inputs["weights"].number) for each in ctx.subgraph_runs] == [("step1", 10), ("step2", 20)]


def test_a_body_that_cannot_take_what_it_is_given_fails_the_node(engine: Engine) -> None:
    @node("Mistaken", category="test", outputs="seen", body=Body(input="watch", supplies=("weights",), outputs=False))
    def mistaken(ctx: Context, watch: Subgraph) -> float:
        """Give what the body doesn't take."""
        return float(len(ctx.run_subgraph(watch, "now", wieghts=Weights(0))))

    other = Engine(
        Registry([arithmetic.pack, waiting.pack, PACK, NodePack("m", functions=[mistaken])]), engine.settings
    )
    with pytest.raises(NodeFailed, match="wieghts") as caught:
        other.run(fitting(watching("Fail"), "Mistaken"))
    assert caught.value.node == "fit"
    assert isinstance(caught.value.__cause__, GraphEngineError)
