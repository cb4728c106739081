"""A ControlNet made, trained, watched, saved, opened and trained again by workflows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from graphengine.cli import main
from graphengine.config import Settings
from graphengine.core.registry import Registry
from graphengine.core.workflow import Workflow, parse_workflow
from graphengine.engine import Engine
from graphengine.errors import InvalidWorkflow, NodeFailed
from graphengine_nodes import pack
from tests.drawn import Document, document

SMALL = {"width": 64, "height": 64}


def steering(*, layout: str = "single file", precision: str = "float32", **further: object) -> Workflow:
    """
    shapes ──▶ edges ──▶ train ──▶ save          watch: the sub-graph samples by what was trained
    checkpoint ──▶ new ──┘  └──▶ steered ──▶ sample
    """
    in_the_look = {"positive": "@prompt.conditioning", "negative": "@prompt.conditioning"}
    applied = in_the_look | {"image": "@hint.image", "control_net": "@train.model"}
    sampled = {"steps": 1, "cfg": 1.0, "positive": "@steered.positive", "negative": "@steered.negative"}
    prompt = ("CLIPEncode", {"clip": "@checkpoint.clip", "text": "a red star"})
    body: Document = document(
        {
            "prompt": ("CLIPEncode", {"text": "a red star"}),
            "steered": ("ControlNetApplyAdvanced", in_the_look),
            "empty": ("EmptyLatent", SMALL),
            "sample": ("KSampler", sampled | {"latent_image": "@empty.latent"}),
            "decode": ("VAEDecode", {"samples": "@sample.latent"}),
            "show": ("SaveImage", {"images": "@decode.image", "filename_prefix": "watch/sample"}),
        }
    )
    look: Document = {
        "nodes": body["nodes"],
        "inputs": {
            "model": {"type": "CONTROL_NET", "to": ["steered.control_net"]},
            "base": {"type": "MODEL", "to": ["sample.model", "empty.model"]},
            "clip": {"type": "CLIP", "to": ["prompt.clip"]},
            "vae": {"type": "VAE", "to": ["decode.vae"]},
            "hint": {"type": "IMAGE", "to": ["steered.image"]},
        },
        "outputs": {},
    }
    trained = {
        "model": "@new.control_net", "dataset": "@edges.dataset", "recipe": "@recipe.recipe", "steps": 1,
        "clip": "@checkpoint.clip", "vae": "@checkpoint.vae", "base": "@checkpoint.model",
        "watch": {"$subgraph": "look"}, "hint": "@hint.image",
    }  # fmt: skip
    whole = document(
        {
            "shapes": ("DrawnShapes", {"size": 64}),
            "edges": ("DatasetEdges", {"dataset": "@shapes.dataset"}),
            "checkpoint": ("LoadCheckpoint", {"ckpt_name": "embedded"}),
            "new": ("NewControlNet", {"model": "@checkpoint.model", "hint_widths": "4, 4, 8, 8"}),
            "recipe": ("TrainRecipe", {"batch_size": 1, "learning_rate": 0.01}),
            "train": ("TrainLoop", trained | further),
            "save": (
                "SaveControlNet",
                {"control_net": "@train.model", "name": "edges", "layout": layout, "precision": precision},
            ),
            "prompt": prompt,
            "hint": ("DatasetImage", {"dataset": "@shapes.dataset"}),
            "empty": ("EmptyLatent", SMALL | {"model": "@checkpoint.model"}),
            "steered": ("ControlNetApplyAdvanced", applied),
            "sample": ("KSampler", sampled | {"model": "@checkpoint.model", "latent_image": "@empty.latent"}),
        }
    )
    outputs = {"latent": {"from": "sample.latent"}, "net": {"from": "train.model"}}
    return parse_workflow(json.dumps(whole | {"subgraphs": {"look": look}, "outputs": outputs}))


def engine(folder: Path) -> Engine:
    settings = Settings(data=folder / "data", output=folder / "output")
    return Engine(Registry([pack]), replace(settings, roots=(folder, *settings.roots)))


@pytest.mark.slow
def test_a_control_net_is_trained_watched_saved_and_trains_itself_again(tmp_path: Path) -> None:
    ran = engine(tmp_path).run(steering())
    saved = tmp_path / "output" / "edges.safetensors"
    assert len(list((tmp_path / "output" / "watch").glob("*.png"))) == 1
    assert torch.isfinite(ran.outputs["latent"].samples).all()

    with safe_open(saved, "pt") as file:
        told = json.loads(file.metadata()["graphengine_training"])
        first = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    assert told["steps"] == "1"
    assert told["base model"] == "embedded"
    assert main(["run", str(saved), "--data", str(tmp_path / "other"), "--out", str(tmp_path / "again")]) == 0
    with safe_open(tmp_path / "again" / "edges.safetensors", "pt") as file:
        assert all(torch.equal(file.get_tensor(name), first[name]) for name in first)

    (tmp_path / "controlnet").mkdir()
    saved.rename(tmp_path / "controlnet" / "edges.safetensors")
    loading = document({"load": ("LoadControlNet", {"control_net_name": "edges.safetensors"})})
    opened = engine(tmp_path).run(
        parse_workflow(json.dumps(loading | {"outputs": {"net": {"from": "load.control_net"}}}))
    )
    network: Any = opened.outputs["net"].network  # Any: diffusers is untyped
    assert network.config.addition_embed_type_num_heads == 8
    ours = ran.outputs["net"].network.state_dict()
    assert all(torch.equal(network.state_dict()[name], ours[name]) for name in ours)


def test_what_is_missing_is_told_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(NodeFailed) as refused:
        engine(tmp_path).run(steering(base=None, dataset={"$link": "shapes.dataset"}))
    assert "input 'base': it is missing" in str(refused.value)
    assert "input 'dataset': it gives no hints to steer by" in str(refused.value)
    assert not (tmp_path / "output").exists()
    with pytest.raises(InvalidWorkflow, match="input 'clip': it is missing"):
        engine(tmp_path).run(steering(clip=None))


def test_edges_whose_thresholds_cross_are_refused(tmp_path: Path) -> None:
    nodes = {"shapes": "DrawnShapes", "edges": ("DatasetEdges", {"dataset": "@shapes.dataset", "low_threshold": 2.0})}
    crossed = document(nodes) | {"outputs": {"dataset": {"from": "edges.dataset"}}}
    with pytest.raises((InvalidWorkflow, NodeFailed), match=r"2\.0 is above the high threshold, 0\.8"):
        engine(tmp_path).run(parse_workflow(json.dumps(crossed)))


def test_image_nodes_make_hints(tmp_path: Path) -> None:
    """shapes ──▶ a list ──▶ Canny, once for each ──▶ a dataset ──▶ its hints and pictures"""
    nodes = {
        "shapes": ("DrawnShapes", {"size": 64}),
        "listed": ("DatasetToList", {"dataset": "@shapes.dataset", "count": 2}),
        "edges": ("Canny", {"image": "@listed.images"}),
        "made": ("ListDataset", {"images": "@listed.images", "captions": "@listed.captions", "hints": "@edges.image"}),
        "found": ("DatasetEdges", {"dataset": "@shapes.dataset"}),
        "again": ("DatasetToList", {"dataset": "@made.dataset"}),
        "shown": ("DatasetImages", {"dataset": "@made.dataset", "hints": True}),
        "expected": ("DatasetImages", {"dataset": "@found.dataset", "count": 2, "hints": True}),
        "none": ("DatasetToList", {"dataset": "@shapes.dataset", "count": 2}),
    }
    outputs = {"hints": "again.hints", "shown": "shown.image", "expected": "expected.image", "none": "none.hints"}
    whole = document(nodes) | {"outputs": {name: {"from": source} for name, source in outputs.items()}}
    ran = engine(tmp_path).run(parse_workflow(json.dumps(whole))).outputs
    assert [tuple(each.shape) for each in ran["hints"]] == [(1, 64, 64, 3)] * 2
    assert (ran["shown"] - ran["expected"]).abs().mean() < 0.01  # pictures become bytes in a list
    assert ran["shown"].std() > 0.1
    assert list(ran["none"]) == []

    nodes["shown"] = ("DatasetImages", {"dataset": "@shapes.dataset", "hints": True})
    whole = document(nodes) | {"outputs": {"shown": {"from": "shown.image"}}}
    with pytest.raises(NodeFailed, match="the dataset gives none"):
        engine(tmp_path).run(parse_workflow(json.dumps(whole)))
