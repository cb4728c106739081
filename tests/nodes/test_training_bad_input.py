"""What users give a training by mistake: a clear error before the first step, or a rule that they are told of.

mistake                                     test
empty folder, corrupt files                 here
animated and CMYK files, missing captions   here, told and used
one picture, a batch larger than the data   here, used
sizes below the buckets' minimum            here
parts of another family                     tests/diffusion/test_facts.py, before anything runs
target modules that match nothing           here
the state of another run, changed data      here, by what differs
a training that runs already                tests/diffusion/test_training_state.py
a folder or a name of another training      here
a full or read-only disk                    tests/diffusion/test_training_state.py
steps 0, batches of 0                       here, all at once and before anything runs
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Picture

from graphengine.core.events import Event, NodeWarning
from graphengine.engine import Engine
from graphengine.errors import InvalidWorkflow, NodeFailed
from tests.nodes.test_training import Nodes, engine, workflow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hold data sets: "empty", "one", "odd", "damaged" and "small"."""
    folder = tmp_path_factory.mktemp("bad")
    for name in ("empty", "one", "odd", "damaged", "small"):
        (folder / "datasets" / name).mkdir(parents=True)
    data = folder / "datasets"
    Picture.new("RGB", (16, 16)).save(data / "one" / "a.png")
    Picture.new("CMYK", (16, 16)).save(data / "odd" / "ink.jpg")
    frames = [Picture.new("L", (16, 16), shade) for shade in (0, 255)]
    frames[0].save(data / "odd" / "moving.gif", save_all=True, append_images=frames[1:])
    (data / "odd" / "ink.txt").write_text("")
    (data / "odd" / "moving.txt").write_text("it moves")
    (data / "damaged" / "text.png").write_bytes(b"hello")
    (data / "damaged" / "nothing.jpg").write_bytes(b"")
    Picture.new("RGB", (16, 16)).save(data / "damaged" / "whole.png")
    Picture.new("RGB", (4, 4)).save(data / "small" / "a.png")
    return folder


@pytest.fixture(scope="module")
def it(folder: Path) -> Iterator[Engine]:
    made = engine(folder)
    yield made
    made.close()


def training(data: str = "one", *, nodes: Nodes | None = None, **changed: dict[str, Any]) -> Nodes:  # Any: literals
    """Train a small network on a folder, with other inputs for these nodes."""
    inputs: dict[str, tuple[str, dict[str, Any]]] = {
        "folder": ("ImageFolder", {"folder": data, "size": 8}),
        "new": ("NewUNet2D", {"block_channels": "8", "attention_levels": "0", "norm_groups": 4, "channels": 3}),
        "recipe": ("TrainRecipe", {"batch_size": 4}),
        "train": ("TrainLoop", {"model": "@new.model", "dataset": "@folder.dataset", "recipe": "@recipe.recipe"}),
    }
    inputs["train"][1]["steps"] = 1
    for id_, given in changed.items():
        inputs[id_][1].update(given)
    return {**inputs, **(nodes or {})}


def refused(it: Engine, nodes: Nodes) -> str:
    with pytest.raises((InvalidWorkflow, NodeFailed)) as caught:
        it.run(workflow(nodes, "train.report"))
    error = caught.value
    return f"{error.node}: {error.message}" if isinstance(error, NodeFailed) else str(error)


def trained(it: Engine, nodes: Nodes) -> tuple[int, list[str]]:
    """Give the steps that were trained and the warnings."""
    events: list[Event] = []
    ran = it.run(workflow(nodes, "train.report"), emit=events.append)
    warnings = [each.message for each in events if isinstance(each, NodeWarning)]
    return ran.outputs["train_report"].steps, warnings


def test_an_empty_folder_says_what_it_takes(it: Engine) -> None:
    assert refused(it, training("empty")).startswith(
        "folder: input 'folder': 'empty' holds no pictures.\n  Put in files ending in .avif,"
    )


def test_all_damaged_files_are_named_or_left_out(it: Engine) -> None:
    assert refused(it, training("damaged")) == (
        "folder: input 'folder': these files can't be read as pictures: nothing.jpg (it is empty), "
        "text.png (it is no picture).\n"
        "  Replace or remove them, or choose unreadable 'skip' to leave them out."
    )
    steps, warnings = trained(it, training("damaged", folder={"unreadable": "skip"}))
    assert steps == 1
    assert warnings == ["Unreadable, and left out: nothing.jpg (it is empty), text.png (it is no picture)."]


def test_odd_files_and_empty_captions_are_used_and_told(it: Engine) -> None:
    steps, warnings = trained(it, training("odd"))
    assert steps == 1
    assert warnings == [
        "Animated, of which the first frame is used: moving.gif.",
        "In CMYK colours, which become RGB without colour management: ink.jpg.",
        "Without a caption, and trained with the empty one: ink.jpg.",
    ]


def test_one_picture_fills_a_batch_larger_than_the_data(it: Engine) -> None:
    assert trained(it, training("one", train={"steps": 2})) == (2, [])


def test_pictures_below_the_buckets_minimum_can_be_enlarged(it: Engine) -> None:
    sizes = {"resolution": 16, "min_side": 8, "max_side": 32, "step": 8}
    buckets: Nodes = {"buckets": ("AspectBuckets", {"dataset": "@folder.dataset", "small": "skip", **sizes})}
    nodes = training("small", nodes=buckets, train={"dataset": "@buckets.dataset"})
    assert refused(it, nodes) == (
        "buckets: input 'dataset': no picture fits a bucket.\n  Choose small 'enlarge', or raise max_crop."
    )


def test_numbers_below_one_are_told_together_before_anything_runs(it: Engine) -> None:
    nodes = training(recipe={"batch_size": 0, "learning_rate": 0, "accumulate": 0}, train={"steps": 0, "name": "../x"})
    told = refused(it, nodes)
    assert told.startswith("workflow: 5 problems")
    for name in ("batch_size", "learning_rate", "accumulate", "steps"):
        assert f"input '{name}': 0" in told
    assert "'../x' leads out of the folder of trainings" in told


def test_all_that_a_training_can_not_be_is_told_together(it: Engine) -> None:
    lora: Nodes = {"lora": ("LoraRecipe", {"targets": "attn9.to_q, foo", "block_ranks": "bar=3"})}
    assert refused(it, training(nodes=lora, recipe={"lora": "@lora.lora"})).startswith(
        "train: input 'recipe': its LoRA is for layers that aren't there: 'attn9.to_q', 'foo', 'bar'.\n  Choose kinds"
    )
    told = refused(it, training(nodes=lora, recipe={"lora": "@lora.lora", "optimizer": "custom"}))
    assert told.startswith("train: 2 problems:\n  input 'recipe': its optimizer '' can't be imported")
    assert "\n  input 'recipe': its LoRA is for layers that aren't there" in told


def test_pictures_of_other_channels_are_told_by_both_numbers(it: Engine) -> None:
    assert refused(it, training(new={"channels": 1})) == (
        "train: input 'dataset': its images have 3 channels; the network reads 1.\n"
        "  Choose a dataset with as many, or make the network with 3."
    )


def test_the_state_of_another_training_is_refused_by_what_differs_and_stays(it: Engine, folder: Path) -> None:
    assert trained(it, training(train={"name": "mine"})) == (1, [])
    saved = {path: path.read_bytes() for path in (folder / "data" / "state" / "training" / "mine").iterdir()}
    told = refused(it, training("odd", recipe={"learning_rate": 0.01}, train={"name": "mine", "seed": 4}))
    assert "step-00000001.safetensors: this state belongs to another training." in told
    assert "\n  learning_rate: 0.0001 in the state, 0.01 now\n  seed: 0 in the state, 4 now\n" in told
    assert "\n  dataset: other examples now; their files, captions, sizes or changes\n" in told
    assert "Put these back to resume it, or give this training another name to begin anew." in told
    assert {path: path.read_bytes() for path in saved} == saved
