"""A training that is watched by a sub-graph of ordinary nodes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from graphengine import NodePack, node
from graphengine.config import Settings
from graphengine.core.events import Event, NodeFailedEvent, NodeMetrics, NodeShowed
from graphengine.core.registry import Registry
from graphengine.core.workflow import Workflow, parse_workflow
from graphengine.engine import Engine
from graphengine.errors import InvalidWorkflow
from graphengine.types import Image, Model
from graphengine_nodes import pack
from tests.drawn import Document, document


@node("Weigh", category="test", outputs="sum")
def weigh(model: Model) -> float:
    """Add up a model's weights."""
    return float(sum(parameter.double().sum() for parameter in model.network.parameters()))


@node("Brightness", category="test", outputs="mean")
def brightness(image: Image, fail: bool = False) -> float:
    """Measure pictures."""
    if fail:
        raise RuntimeError("out of light")
    return float(image.mean())


def watched(*, fail: bool = False, steps: int = 5, **watching: object) -> Workflow:
    """
    model ──▶ sample(count) ──▶ save, brightness ──▶ numbers drawn beside the loss
    """
    body: Document = document(
        {
            "sample": ("MixingSampler", {"steps": 2}),
            "save": ("SaveImage", {"images": "@sample.images", "filename_prefix": "watch/sample"}),
            "bright": ("Brightness", {"image": "@sample.images", "fail": fail}),
            "weigh": "Weigh",
        }
    )
    look: Document = {"nodes": body["nodes"]}
    look["inputs"] = {
        "model": {"type": "MODEL", "to": ["sample.model", "weigh.model"]},
        "step": {"type": "INT", "to": ["sample.seed"]},
        "count": {"type": "INT", "to": ["sample.count"]},
    }
    look["outputs"] = {"brightness": {"from": "bright.mean"}, "weights": {"from": "weigh.sum"}}
    whole = document(
        {
            "digits": ("DrawnDigits", {"count": 16}),
            "new": "NewBasicUNet",
            "recipe": ("TrainRecipe", {"batch_size": 2, "optimizer": "adam", "learning_rate": 0.01}),
            "train": (
                "TrainLoop",
                {"model": "@new.model", "dataset": "@digits.dataset", "recipe": "@recipe.recipe", "steps": steps}
                | {"watch": {"$subgraph": "look"}, "look_every": 2, "held_out": "@digits.dataset"}
                | watching,
            ),
            "weigh": ("Weigh", {"model": "@train.model"}),
        }
    )
    whole |= {"subgraphs": {"look": look}, "outputs": {"weights": {"from": "weigh.sum"}}}
    return parse_workflow(json.dumps(whole))


@pytest.fixture
def engine(settings: Settings) -> Engine:
    own = NodePack("measuring", functions=[weigh, brightness])
    return Engine(Registry([pack, own]), settings)


def metrics_of(events: list[Event], name: str) -> dict[int, float]:
    return {each.step: each.values[name] for each in events if isinstance(each, NodeMetrics) and name in each.values}


def pictures_in(folder: Path) -> int:
    return len(list((folder / "watch").glob("sample_*.png")))


def test_pictures_and_numbers_come_while_the_training_goes_on(engine: Engine, settings: Settings) -> None:
    events: list[Event] = []
    done = engine.run(watched(count=3), emit=events.append)

    assert list(metrics_of(events, "brightness")) == [2, 4, 5]
    assert list(metrics_of(events, "held_out_loss")) == [2, 4, 5]
    weights = metrics_of(events, "weights")
    assert len(set(weights.values())) == 3
    assert weights[5] == done.outputs["weights"]
    assert pictures_in(settings.output) == 9
    order = [each for each in events if isinstance(each, NodeShowed | NodeMetrics)]
    shown = next(index for index, each in enumerate(order) if isinstance(each, NodeShowed))
    before = order[shown - 1]
    assert isinstance(before, NodeMetrics)
    assert before.step == 2

    events.clear()
    assert engine.run(watched(count=3), emit=events.append).outputs == done.outputs
    assert metrics_of(events, "loss") == {}
    assert pictures_in(settings.output) == 9


def test_another_way_of_watching_trains_nothing_again(engine: Engine, settings: Settings) -> None:
    first = engine.run(watched(count=1)).outputs
    events: list[Event] = []
    assert engine.run(watched(count=2), emit=events.append).outputs == first
    assert metrics_of(events, "loss") == {}

    engine.run(watched(count=2, steps=6), emit=events.append)
    assert list(metrics_of(events, "loss")) == [6]
    assert list(metrics_of(events, "brightness")) == [6]


def test_a_failing_look_does_not_end_a_training(engine: Engine) -> None:
    events: list[Event] = []
    engine.run(watched(count=1, fail=True), emit=events.append)
    failed = [each for each in events if isinstance(each, NodeFailedEvent)]
    assert [each.node for each in failed] == [f"train/step{step}/bright" for step in (2, 4, 5)]
    assert "out of light" in failed[0].message
    assert list(metrics_of(events, "weights")) == [2, 4, 5]


def test_what_the_look_needs_besides_is_asked_for_before_the_run(engine: Engine) -> None:
    with pytest.raises(InvalidWorkflow, match=r"'train' \(TrainLoop\), input 'count': it has no value"):
        engine.run(watched())
