"""What is told of values that a run left in memory."""

from __future__ import annotations

import base64
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
import torch
from PIL import Image as pillow

from graphengine import NodePack, node
from graphengine.config import Settings
from graphengine.core.registry import Registry
from graphengine.core.workflow import Workflow, workflow_of
from graphengine.engine import Engine
from graphengine.engine.probe import Probed, probe
from graphengine.types import Image, Latent, Mask


@node("Grey", category="test", outputs="image")
def grey(level: float = 0.5) -> Image:
    """Give a picture of one grey."""
    return Image(torch.full((2, 8, 16, 3), level))


@node("Half", category="test", outputs="mask", output_node=True)
def half(image: Image) -> Mask:
    """Select the left half of a picture."""
    mask = torch.zeros(image.shape[:3])
    mask[:, :, : image.shape[2] // 2] = 1
    return Mask(mask)


@node("Broken", category="test", outputs="latent", output_node=True)
def broken() -> Latent:
    """Give a latent that has become no number in places."""
    return Latent(torch.tensor([[[[1.0, float("nan"), 3.0, float("inf")]]]]))


@node("Pictures", category="test", outputs="images", output_node=True)
def pictures() -> list[Image]:
    """Give pictures of several sizes."""
    return [Image(torch.ones(1, side, side, 3)) for side in (4, 8)]


@node("Fresh", category="test", outputs="number", output_node=True, cacheable=False)
def fresh() -> int:
    """Give a number that is never kept."""
    return 4


@pytest.fixture
def engine(settings: Settings) -> Engine:
    pack = NodePack("own", functions=[grey, half, broken, pictures, fresh])
    return Engine(Registry([pack]), replace(settings, disk_cache_bytes=0))


def document(**extra: Any) -> Workflow:  # Any: JSON
    nodes = {
        "grey": {"type": "Grey"},
        "half": {"type": "Half", "inputs": {"image": {"$link": "grey.image"}}},
        "broken": {"type": "Broken"},
        "pictures": {"type": "Pictures"},
        "fresh": {"type": "Fresh"},
    }
    return workflow_of({"format": "graphengine", "version": 1, "nodes": nodes} | extra)


def probed(engine: Engine, workflow: Workflow, node: str, output: str) -> Probed:
    found = probe(engine, workflow, node, output)
    assert found is not None
    return found


def size_of(thumbnail: str) -> tuple[int, int]:
    with pillow.open(BytesIO(base64.b64decode(thumbnail))) as picture:
        return picture.size


def test_nothing_is_known_before_a_run_and_nothing_is_run(engine: Engine) -> None:
    assert probe(engine, document(), "grey", "image") is None
    engine.run(document(), targets=["grey"])
    assert probe(engine, document(), "grey", "image") is not None
    assert probe(engine, document(), "half", "mask") is None
    engine.forget()
    assert probe(engine, document(), "grey", "image") is None


def test_pictures_and_masks_are_measured_and_shown(engine: Engine) -> None:
    engine.run(document())
    picture, mask = probed(engine, document(), "grey", "image"), probed(engine, document(), "half", "mask")
    assert picture.text == "tensor 2×8×16×3 float32 on cpu"
    assert (picture.tensors[0].minimum, picture.tensors[0].maximum) == (0.5, 0.5)
    assert (mask.tensors[0].shape, mask.tensors[0].mean) == ((2, 8, 16), 0.5)
    assert size_of(picture.thumbnail) == size_of(mask.thumbnail) == (16, 8)


def test_what_is_no_number_is_counted_and_left_out(engine: Engine) -> None:
    engine.run(document())
    (tensor,) = probed(engine, document(), "broken", "latent").tensors
    assert (tensor.name, tensor.not_finite) == ("samples", 2)
    assert (tensor.minimum, tensor.maximum, tensor.mean) == (1, 3, 2)


def test_lists_are_told_item_by_item(engine: Engine) -> None:
    engine.run(document())
    found = probed(engine, document(), "pictures", "images")
    assert (found.text, [each.name for each in found.tensors]) == ("list of 2", ["[0]", "[1]"])
    assert size_of(found.thumbnail) == (4, 4)


def test_values_inside_and_behind_sub_graphs_are_found(engine: Engine) -> None:
    inner = {"nodes": {"grey": {"type": "Grey"}}, "outputs": {"made": {"from": "grey.image"}}}
    nodes = {"s": {"type": "subgraph:inner"}, "half": {"type": "Half", "inputs": {"image": {"$link": "s.made"}}}}
    nested = document(nodes=nodes, subgraphs={"inner": inner})
    engine.run(nested)
    assert probed(engine, nested, "s/grey", "image") == probed(engine, nested, "s", "made")


@pytest.mark.parametrize(("node", "output"), [("fresh", "number"), ("grey", "odd"), ("odd", "image"), ("s/a", "b")])
def test_what_is_never_kept_or_not_there_is_unknown(engine: Engine, node: str, output: str) -> None:
    engine.run(document())
    assert probe(engine, document(), node, output) is None


def test_workflow_with_problems_elsewhere_is_still_probed(engine: Engine) -> None:
    engine.run(document())
    nodes = {"grey": {"type": "Grey"}, "odd": {"type": "Nonsense"}}
    assert probe(engine, document(nodes=nodes), "grey", "image") is not None
