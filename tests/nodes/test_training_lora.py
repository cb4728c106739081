"""LoRAs trained by a workflow, as files that load again and train again."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from graphengine.cli import main
from graphengine.core.events import Event, NodeMetrics, NodeProgress
from graphengine.engine.context import RunServices
from graphengine.errors import Cancelled, FileFormatError, InputError, NodeFailed
from graphengine.workflow_files import read_workflow
from graphengine_nodes.training import train_recipe
from graphengine_nodes.training_parts import lora_recipe, objective_recipe, optimizer_recipe
from tests.nodes.test_training import Nodes, engine, workflow

LORA: Nodes = {
    "digits": ("DrawnDigits", {"count": 8}),
    "unet": (
        "NewUNet2D",
        {"block_channels": "4, 8", "attention_levels": "0, 1", "layers_per_block": 1, "norm_groups": 4},
    ),
    "adapters": (
        "LoraRecipe",
        {"rank": 2, "targets": "attention, conv_in", "block_ranks": "mid_block = 4,\nconv_in=1"},
    ),
    "recipe": ("TrainRecipe", {"batch_size": 2, "learning_rate": 0.01, "lora": "@adapters.lora"}),
    "train": (
        "TrainLoop",
        {"model": "@unet.model", "dataset": "@digits.dataset", "recipe": "@recipe.recipe", "steps": 2},
    ),
    "save": ("SaveLora", {"lora": "@train.lora", "name": "digits", "precision": "float32"}),
    "load": ("LoadLoraModelOnly", {"model": "@unet.model", "lora_name": "digits.safetensors"}),
}


def test_a_saved_lora_trains_itself_again_and_loads(tmp_path: Path) -> None:
    nodes = {name: given for name, given in LORA.items() if name != "load"}
    ran = engine(tmp_path).run(workflow(nodes, "train.model"))
    saved = tmp_path / "output" / "digits.safetensors"
    first = load_file(saved)

    assert main(["run", str(saved), "--data", str(tmp_path / "other"), "--out", str(tmp_path / "again")]) == 0
    again = load_file(tmp_path / "again" / "digits.safetensors")
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)

    (tmp_path / "loras").mkdir()
    saved.rename(tmp_path / "loras" / "digits.safetensors")
    kept = {name: given for name, given in LORA.items() if name not in ("adapters", "recipe", "train", "save")}
    loaded = engine(tmp_path).run(workflow(kept, "load.model")).outputs["load_model"].network.state_dict()
    trained = ran.outputs["train_model"].network.state_dict()
    assert all(torch.allclose(loaded[name], trained[name], atol=1e-6) for name in trained)


def test_a_file_without_a_workflow_can_not_be_run(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "plain.safetensors")
    with pytest.raises(FileFormatError, match="carries no workflow"):
        read_workflow(str(tmp_path / "plain.safetensors"))


def test_raising_the_steps_of_a_lora_trains_only_the_new_ones(tmp_path: Path) -> None:
    """Without a name, whatever is raised or stopped before: the key of a training holds no number of steps."""
    nodes = {name: given for name, given in LORA.items() if name not in ("load", "save")}
    cancel = threading.Event()

    def stop_after_one(event: Event) -> None:
        if isinstance(event, NodeProgress) and event.node == "train" and event.done == 1:
            cancel.set()

    first = engine(tmp_path)
    with pytest.raises(Cancelled):
        first.run(
            workflow(nodes, "train.lora"), emit=stop_after_one, services=RunServices(first.settings, cancel=cancel)
        )
    seen: list[int] = []
    for steps in (2, 4):
        kind, inputs = nodes["train"]
        events: list[Event] = []
        engine(tmp_path).run(
            workflow({**nodes, "train": (kind, {**inputs, "steps": steps})}, "train.lora"), emit=events.append
        )
        seen += [event.step for event in events if isinstance(event, NodeMetrics)]
    assert seen[-2:] == [3, 4]
    assert seen == sorted(set(seen))


def test_saving_a_lora_that_was_not_trained_says_what_to_link(tmp_path: Path) -> None:
    nodes = {name: given for name, given in LORA.items() if name not in ("load", "adapters")}
    nodes["recipe"] = ("TrainRecipe", {"batch_size": 2})
    with pytest.raises(NodeFailed, match=r"no LoRA was trained(?s:.*)LoraRecipe"):
        engine(tmp_path).run(workflow(nodes, "train.model"))
    assert not (tmp_path / "output").exists() or not any((tmp_path / "output").iterdir())


def test_parts_of_a_recipe_come_through() -> None:
    lora = lora_recipe(method="lokr", rank=4, alpha=2.0, targets="attention,ff.net.2", block_ranks="a.b=3\nc = 0")
    assert (lora.targets, lora.block_ranks) == (("attention", "ff.net.2"), (("a.b", 3), ("c", 0)))
    objective = objective_recipe(timesteps="mode", noise_offset=0.1)
    options = optimizer_recipe(momentum=0.5, custom_class=" torch.optim.RAdam ")
    recipe = train_recipe(lora=lora, objective=objective, optimizer_options=options, accumulate=3)
    assert (recipe.lora, recipe.objective, recipe.optimizer_options) == (lora, objective, options)
    assert options.custom_class == "torch.optim.RAdam"
    assert replace(recipe, accumulate=1) == train_recipe(lora=lora, objective=objective, optimizer_options=options)


@pytest.mark.parametrize(
    ("part", "inputs", "match"),
    [
        ("LoraRecipe", {"block_ranks": "mid_block=4, mid_block=8"}, "'mid_block' is there twice"),
        ("LoraRecipe", {"block_ranks": "mid_block: 4"}, "block_ranks"),
        ("LoraRecipe", {"targets": " , "}, "none is named"),
        ("ObjectiveRecipe", {"first_timestep": 0.5, "last_timestep": 0.5}, "0.5 is not above first_timestep"),
    ],
    ids=["twice", "not written so", "no target", "no timestep"],
)
def test_parts_that_make_no_sense_are_refused_before_the_run(
    part: str, inputs: dict[str, object], match: str, tmp_path: Path
) -> None:
    from graphengine.errors import InvalidWorkflow

    output = {"LoraRecipe": "part.lora", "ObjectiveRecipe": "part.objective"}[part]
    with pytest.raises((InvalidWorkflow, NodeFailed, InputError), match=match):
        engine(tmp_path).run(workflow({"part": (part, inputs)}, output))
