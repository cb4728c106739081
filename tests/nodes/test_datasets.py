"""Dataset nodes, run by the engine as a workflow runs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from graphengine.core.events import Event, NodeWarning
from graphengine.errors import InvalidWorkflow, NodeFailed
from tests.nodes.test_training import Nodes, engine, workflow


def make_folder(folder: Path) -> None:
    """Three pictures of two sizes, two of them with captions."""
    mine = folder / "datasets" / "mine"
    mine.mkdir(parents=True)
    for number, size in enumerate([(32, 32), (40, 20), (64, 64)]):
        Picture.new("RGB", size, (80 * number, 0, 0)).save(mine / f"{number}.png")
    (mine / "0.txt").write_text("dark, plain")
    (mine / "2.txt").write_text("red, plain")


FOLDER: Nodes = {"folder": ("ImageFolder", {"folder": "mine", "size": 16})}


def test_image_nodes_run_over_a_dataset_and_make_a_new_one(tmp_path: Path) -> None:
    """
    folder ──▶ list ──▶ invert, once for each ──▶ made ──▶ look
                └───────────────── captions ────────┘
    """
    make_folder(tmp_path)
    nodes: Nodes = {
        **FOLDER,
        "list": ("DatasetToList", {"dataset": "@folder.dataset", "first": 1, "count": 5}),
        "invert": ("ImageInvert", {"image": "@list.images"}),
        "made": ("ListDataset", {"images": "@invert.image", "captions": "@list.captions"}),
        "look": ("DatasetToList", {"dataset": "@made.dataset"}),
    }
    ran = engine(tmp_path).run(workflow(nodes, "look.images", "look.captions"))
    assert ran.outputs["look_captions"] == ["", "red, plain"]
    reds = [round(255 * (1 - image[0, 0, 0, 0].item())) for image in ran.outputs["look_images"]]
    assert reds == [80, 160]


def test_buckets_report_what_they_hold_and_pictures_without_captions_are_told(tmp_path: Path) -> None:
    make_folder(tmp_path)
    events: list[Event] = []
    nodes: Nodes = {
        **FOLDER,
        "buckets": (
            "AspectBuckets",
            {"dataset": "@folder.dataset", "resolution": 32, "min_side": 16, "max_side": 64, "step": 8},
        ),
        "augment": ("AugmentDataset", {"dataset": "@buckets.dataset", "flip": 0.5}),
        "rules": ("CaptionRules", {"dataset": "@augment.dataset", "prefix": "sks", "shuffle": True}),
        "list": ("DatasetToList", {"dataset": "@rules.dataset", "count": 6}),
        "show": ("DatasetImages", {"dataset": "@rules.dataset", "captions": True, "count": 6}),
    }
    ran = engine(tmp_path).run(
        workflow(nodes, "buckets.report", "list.images", "list.captions", "show.image"), emit=events.append
    )
    assert "32 x 32: 2 pictures" in ran.outputs["buckets_report"]
    assert "40 x 24: 1 picture," in ran.outputs["buckets_report"]
    sizes = [tuple(image.shape[1:3]) for image in ran.outputs["list_images"]]
    assert sizes == [(32, 32), (24, 40), (32, 32)] * 2  # six: a second variation of each
    assert set(ran.outputs["list_captions"]) <= {
        "sks dark, plain",
        "sks plain, dark",
        "sks",
        "sks red, plain",
        "sks plain, red",
    }
    assert ran.outputs["show_image"].shape[2] == 3 * 40 + 2 * 2
    warnings = [event.message for event in events if isinstance(event, NodeWarning)]
    assert warnings == ["Without a caption, and trained with the empty one: 1.png."]


def test_a_model_trains_on_buckets_with_a_regularisation_set(tmp_path: Path) -> None:
    make_folder(tmp_path)
    nodes: Nodes = {
        **FOLDER,
        "buckets": (
            "AspectBuckets",
            {"dataset": "@folder.dataset", "resolution": 16, "min_side": 8, "max_side": 32, "step": 8},
        ),
        "split": ("SplitDataset", {"dataset": "@buckets.dataset", "share": 0.34}),
        "both": ("JoinDatasets", {"first": "@split.train", "second": "@split.held_out", "second_repeats": 2}),
        "known": ("ResizeDataset", {"dataset": "@folder.dataset", "width": 16, "height": 16, "fit": "pad"}),
        "data": ("AddRegularisation", {"dataset": "@both.dataset", "regularisation": "@known.dataset", "weight": 0.5}),
        "new": ("NewUNet2D", {"block_channels": "8", "attention_levels": "0", "norm_groups": 4, "channels": 3}),
        "recipe": ("TrainRecipe", {"batch_size": 8}),
        "train": (
            "TrainLoop",
            {"model": "@new.model", "dataset": "@data.dataset", "recipe": "@recipe.recipe", "steps": 3},
        ),
    }
    ran = engine(tmp_path).run(workflow(nodes, "train.report"))
    assert len(ran.outputs["train_report"].losses) == 3
    assert np.isfinite(ran.outputs["train_report"].losses).all()


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ({"a": ("CaptionRules", {"dataset": "@folder.dataset", "separator": ""})}, "separator"),
        ({"a": ("AspectBuckets", {"dataset": "@shapes.dataset"})}, "this dataset makes its own"),
        ({"a": ("SplitDataset", {"dataset": "@shapes.dataset"})}, "it is endless"),
        ({"a": ("AspectBuckets", {"dataset": "@folder.dataset", "min_side": 1024})}, "no size of at most"),
    ],
)
def test_what_can_not_be_is_refused(tmp_path: Path, nodes: Nodes, message: str) -> None:
    make_folder(tmp_path)
    sources: Nodes = {**FOLDER, "shapes": ("DrawnShapes", {"size": 32})}
    output = "train" if nodes["a"][0] == "SplitDataset" else "dataset"
    with pytest.raises((InvalidWorkflow, NodeFailed), match=message):
        engine(tmp_path).run(workflow({**sources, **nodes}, f"a.{output}"))


def test_masks_and_tables_are_found_in_the_datasets_folder(tmp_path: Path) -> None:
    make_folder(tmp_path)
    mine = tmp_path / "datasets" / "mine"
    (mine / "masks").mkdir()
    Picture.new("L", (8, 8), 0).save(mine / "masks" / "1.png")
    (mine / "list.csv").write_text("file_name,text\n2.png,two\n0.png,zero\n")
    nodes: Nodes = {
        "folder": ("ImageFolder", {"folder": "mine", "size": 16, "masks": "mine/masks"}),
        "list": ("DatasetToList", {"dataset": "@folder.dataset"}),
        "table": ("ImageTable", {"file": "mine/list.csv", "size": 16}),
        "rows": ("DatasetToList", {"dataset": "@table.dataset"}),
    }
    ran = engine(tmp_path).run(workflow(nodes, "list.masks", "rows.captions"))
    assert [mask.max().item() for mask in ran.outputs["list_masks"]] == [1, 0, 1]
    assert all(torch.is_tensor(mask) and mask.shape == (1, 16, 16) for mask in ran.outputs["list_masks"])
    assert ran.outputs["rows_captions"] == ["two", "zero"]
