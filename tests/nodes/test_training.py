"""Training, dataset and network nodes, run by the engine as a workflow runs them."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from graphengine.config import Settings
from graphengine.core.events import Event, NodeMetrics, NodeProgress
from graphengine.core.registry import Registry
from graphengine.core.workflow import Workflow, parse_workflow
from graphengine.engine import Engine, RunResult
from graphengine.engine.context import RunServices
from graphengine.errors import Cancelled, InvalidWorkflow, NodeFailed
from graphengine_nodes import pack

Nodes = Mapping[str, tuple[str, Mapping[str, object]]]


def workflow(nodes: Nodes, *outputs: str) -> Workflow:
    """Write a workflow from ``id -> (type, inputs)``; inputs that name a node's output with '@' are links."""

    def value(given: object) -> object:
        return {"$link": given[1:]} if isinstance(given, str) and given.startswith("@") else given

    return parse_workflow(
        json.dumps(
            {
                "format": "graphengine",
                "version": 1,
                "outputs": {name.replace(".", "_"): {"from": name} for name in outputs},
                "nodes": {
                    node: {"type": kind, "inputs": {name: value(given) for name, given in inputs.items()}}
                    for node, (kind, inputs) in nodes.items()
                },
            }
        )
    )


def engine(folder: Path) -> Engine:
    settings = Settings(data=folder / "data", output=folder / "output", roots=(folder,), check_immutable=True)
    return Engine(Registry([pack]), settings)


MIXING: Nodes = {
    "digits": ("DrawnDigits", {"count": 64}),
    "new": ("NewBasicUNet", {}),
    "recipe": ("TrainRecipe", {"batch_size": 2, "optimizer": "adam", "learning_rate": 0.001}),
    "train": (
        "TrainLoop",
        {"model": "@new.model", "dataset": "@digits.dataset", "recipe": "@recipe.recipe", "steps": 4, "name": "digits"},
    ),
    "sample": ("MixingSampler", {"model": "@train.model", "steps": 3, "count": 2}),
    "plot": ("LossPlot", {"report": "@train.report", "width": 100, "height": 80}),
}


def test_a_model_is_trained_and_sampled(tmp_path: Path) -> None:
    events: list[Event] = []
    ran = engine(tmp_path).run(
        workflow(MIXING, "train.model", "train.report", "sample.images", "sample.steps", "plot.image"),
        emit=events.append,
    )

    assert ran.outputs["train_model"].prediction == "mixing"
    assert ran.outputs["train_report"].steps == 4
    assert ran.outputs["sample_images"].shape == (2, 28, 28, 3)
    assert ran.outputs["sample_steps"].shape == (1, 3 * 28, 2 * 56 + 4, 3)
    assert ran.outputs["plot_image"].shape == (1, 80, 100, 3)
    metrics = [event for event in events if isinstance(event, NodeMetrics)]
    assert [event.step for event in metrics] == [1, 2, 3, 4]
    assert [event.values["loss"] for event in metrics] == list(ran.outputs["train_report"].losses)
    kept = (tmp_path / "data" / "state" / "training" / "digits" / "metrics.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in kept.splitlines()]
    assert [{"step": event.step, **event.values} for event in metrics] == [
        {name: value for name, value in line.items() if name != "time"} for line in lines
    ]
    assert {"loss", "learning_rate", "grad_norm", "items_per_s", "eta_s", "time"} <= lines[-1].keys()
    assert ["eta_s" in line for line in lines] == [False, True, True, True]  # the first step is no measure
    assert lines[-1]["eta_s"] == 0


def test_trainings_for_each_item_of_a_list_are_compared_in_one_plot(tmp_path: Path) -> None:
    kind, recipe = MIXING["recipe"]
    nodes: Nodes = {
        "digits": MIXING["digits"],
        "new": MIXING["new"],
        "seeds": ("Range", {"start": 1, "stop": 3}),
        "recipe": (kind, recipe),
        "train": (
            "TrainLoop",
            {
                "model": "@new.model",
                "dataset": "@digits.dataset",
                "recipe": "@recipe.recipe",
                "steps": 1,
                "seed": "@seeds.numbers",
            },
        ),
        "compare": ("ComparePlot", {"reports": "@train.report", "width": 200, "height": 100}),
    }
    ran = engine(tmp_path).run(workflow(nodes, "compare.image", "train.report"))
    assert ran.outputs["compare_image"].shape == (1, 100, 200, 3)
    assert [report.training["seed"] for report in ran.outputs["train_report"]] == ["1", "2"]


def test_stopping_a_run_saves_and_the_same_workflow_continues(tmp_path: Path) -> None:
    cancel = threading.Event()

    def stop_after_two(event: Event) -> None:
        if isinstance(event, NodeProgress) and event.node == "train" and event.done == 2:
            cancel.set()

    document = workflow(MIXING, "train.model", "train.report")
    first = engine(tmp_path)
    with pytest.raises(Cancelled):
        first.run(document, emit=stop_after_two, services=RunServices(first.settings, cancel=cancel))
    saved = list((tmp_path / "data" / "state" / "training" / "digits").glob("step-*"))
    assert len(saved) == 1

    events: list[Event] = []
    resumed = engine(tmp_path).run(document, emit=events.append)
    whole = engine(tmp_path / "other").run(document)

    steps = [event.step for event in events if isinstance(event, NodeMetrics)]
    assert steps[-1] == 4
    assert steps[0] == 3 + int(saved[0].stem.removeprefix("step-")) - 2
    mine, theirs = (ran.outputs["train_model"].network.state_dict() for ran in (resumed, whole))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    assert resumed.outputs["train_report"] == whole.outputs["train_report"]


def test_another_seed_is_a_training_of_its_own_and_the_first_one_is_kept(tmp_path: Path) -> None:
    """Seed 0, seed 1, then seed 0 with more steps: only what is new is trained, in a new process too."""
    kind, inputs = MIXING["train"]

    def trained(seed: int, steps: int) -> list[int]:
        given = {**inputs, "seed": seed, "steps": steps, "name": ""}
        events: list[Event] = []
        engine(tmp_path).run(workflow({**MIXING, "train": (kind, given)}, "train.report"), emit=events.append)
        return [event.step for event in events if isinstance(event, NodeMetrics)]

    assert trained(0, 2) == [1, 2]
    assert trained(1, 2) == [1, 2]
    assert trained(0, 3) == [3]


@pytest.mark.slow
def test_two_devices_train_as_one_with_twice_the_batch(tmp_path: Path) -> None:
    """By SGD, whose steps are the gradients themselves."""

    def trained(devices: int, batch_size: int) -> RunResult:
        recipe = {"batch_size": batch_size, "optimizer": "sgd", "learning_rate": 0.01}
        train = {**MIXING["train"][1], "devices": devices}
        nodes: Nodes = {**MIXING, "recipe": ("TrainRecipe", recipe), "train": ("TrainLoop", train)}
        return engine(tmp_path / str(devices)).run(workflow(nodes, "train.model", "train.report"))

    two, one = trained(2, batch_size=2), trained(1, batch_size=4)
    mine, theirs = (each.outputs["train_model"].network.state_dict() for each in (two, one))
    for name, weight in theirs.items():
        torch.testing.assert_close(mine[name], weight, atol=1e-6, rtol=1e-6)
    assert two.outputs["train_report"].losses == pytest.approx(one.outputs["train_report"].losses, rel=1e-6)


def test_a_whole_checkpoint_is_made_from_nothing(tmp_path: Path) -> None:
    """Tokenizer, text encoder, autoencoder and denoiser, each trained for a step, as the shipped workflows do."""
    shapes = {"dataset": "@shapes.dataset", "recipe": "@recipe.recipe", "steps": 1}
    nodes: Nodes = {
        "shapes": ("DrawnShapes", {"size": 32}),
        "recipe": ("TrainRecipe", {"batch_size": 2, "attention": "manual"}),
        "tokenizer": ("TrainTokenizer", {"dataset": "@shapes.dataset", "vocab_size": 520}),
        "new_clip": ("NewClip", {"tokenizer": "@tokenizer.tokenizer", "width": 16, "layers": 1, "heads": 2}),
        "text": ("TrainLoop", {"model": "@new_clip.clip", **shapes}),
        "new_vae": ("NewAutoencoder", {"block_channels": "4, 4, 4, 4", "size": 32}),
        "vae": ("TrainLoop", {"model": "@new_vae.vae", **shapes}),
        "new_unet": (
            "NewUNet",
            {
                "clip": "@text.model",
                "block_channels": "8, 16",
                "attention_levels": "0, 1",
                "heads": 2,
                "norm_groups": 4,
                "latent_size": 4,
            },
        ),
        "unet": ("TrainLoop", {"model": "@new_unet.model", "clip": "@text.model", **shapes}),
        "save": ("SaveCheckpoint", {"model": "@unet.model", "clip": "@unet.clip", "vae": "@vae.model", "name": "mine"}),
    }
    engine(tmp_path).run(workflow(nodes))

    from graphengine.diffusion import checkpoints

    model, clip, vae = checkpoints.load(tmp_path / "output" / "mine")
    assert model.prediction == "v_prediction"
    assert model.latent_factor == 8
    assert clip.encoders[0].tokenizer.model_max_length == 32
    assert vae.autoencoder is not None


def test_what_goes_in_comes_out_so_a_vae_is_no_model(tmp_path: Path) -> None:
    """The training's output has the kind of its input, and that is known before anything runs."""
    nodes: Nodes = {
        "new": ("NewAutoencoder", {}),
        "shapes": ("DrawnShapes", {}),
        "recipe": ("TrainRecipe", {}),
        "train": ("TrainLoop", {"model": "@new.vae", "dataset": "@shapes.dataset", "recipe": "@recipe.recipe"}),
        "sample": ("MixingSampler", {"model": "@train.model"}),
    }
    with pytest.raises(InvalidWorkflow, match="VAE"):
        engine(tmp_path).run(workflow(nodes, "sample.images"))


def test_pictures_and_digits_of_ones_own(tmp_path: Path) -> None:
    folder = tmp_path / "datasets" / "mine"
    folder.mkdir(parents=True)
    for number in range(3):
        Picture.fromarray(np.full((6, 6, 3), 80 * number, dtype=np.uint8)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"number {number}")
    pictures = np.full((2, 4, 4), 255, dtype=np.uint8)
    (tmp_path / "datasets" / "digits.idx").write_bytes(b"\0\0\x08\3\0\0\0\2\0\0\0\4\0\0\0\4" + pictures.tobytes())
    nodes: Nodes = {
        "folder": ("ImageFolder", {"folder": "mine", "size": 8}),
        "show": ("DatasetImages", {"dataset": "@folder.dataset", "captions": True}),
        "digits": ("IDXDataset", {"images_file": "digits.idx"}),
        "one": ("DatasetImage", {"dataset": "@digits.dataset", "index": 1}),
        "model": ("NewUNet2D", {"block_channels": "8", "attention_levels": "0", "norm_groups": 4}),
        "strip": ("NoiseStrip", {"images": "@one.image", "model": "@model.model"}),
        "schedule": ("PlotSchedule", {"model": "@model.model"}),
    }
    ran = engine(tmp_path).run(workflow(nodes, "show.image", "one.image", "strip.image", "schedule.image"))

    assert ran.outputs["show_image"].shape[0] == 1
    assert torch.all(ran.outputs["one_image"] == 1)
    assert ran.outputs["strip_image"].shape == (1, 4, 32, 3)
    assert ran.outputs["schedule_image"].shape == (1, 400, 640, 3)


@pytest.mark.parametrize(
    ("levels", "message"), [("0, 2", "holds more than 0 and 1"), ("0", "speaks of 1 levels")], ids=["two", "too few"]
)
def test_levels_that_do_not_fit_are_refused(tmp_path: Path, levels: str, message: str) -> None:
    nodes: Nodes = {"new": ("NewUNet2D", {"block_channels": "8, 8", "attention_levels": levels, "norm_groups": 4})}
    with pytest.raises(NodeFailed, match=message):
        engine(tmp_path).run(workflow(nodes, "new.model"))
