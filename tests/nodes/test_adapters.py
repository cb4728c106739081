from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import graphengine_nodes
from graphengine import node
from graphengine.authoring.packs import NodePack
from graphengine.config import Settings
from graphengine.core.events import Event, NodeStarted
from graphengine.core.graph import check
from graphengine.core.registry import Registry
from graphengine.diffusion import checkpoints
from graphengine.engine import Engine
from graphengine.errors import NodeFailed
from graphengine.types import Latent, Model
from graphengine_nodes.adapters import load_lora, load_lora_model_only
from tests.diffusion.tiny_checkpoint import tiny_clip, tiny_model, tiny_vae
from tests.diffusion.tiny_lora import dotted, in_tensors, kohya, written
from tests.drawn import drawn
from tests.nodes.running import Run

SAMPLER = {"positive": "@prompt.conditioning", "negative": "@prompt.conditioning", "latent_image": "@empty.latent"}


@node("Break", category="test")
def broken(model: Model) -> Latent:
    """Use the model, and fail."""
    raise ZeroDivisionError(f"with {sum(1 for _ in model.network.parameters())} parameters")


@node("Alike", category="test")
def alike(first: Model, second: Model) -> bool:
    """Tell whether two models are of the same network."""
    return first.network is second.network


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry([graphengine_nodes.pack, NodePack("test", functions=[broken, alike])])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Hold the checkpoint "tiny", the LoRAs "one" and "two" for it, and "xl" for another family."""
    models = tmp_path / "models"
    checkpoints.save(models / "checkpoints" / "tiny", model=tiny_model(), clip=tiny_clip(), vae=tiny_vae())
    unet, encoder = tiny_model().network, tiny_clip().encoders[0].network
    for seed, name in enumerate(("one", "two")):
        tensors = in_tensors(unet, kohya("lora_unet"), seed=seed) | in_tensors(encoder, kohya("lora_te"), seed=seed)
        written(models / "loras" / f"{name}.safetensors", tensors)
    other = in_tensors(tiny_model(width=2048).network, dotted("unet"))
    written(models / "loras" / "xl.safetensors", other)
    return Settings(data=tmp_path / "data", output=tmp_path / "output", roots=(models,), check_immutable=True)


def drawing(lora: str = "one", **more: Any) -> dict[str, Any]:  # Any: nodes, as drawn() takes them
    return {
        "checkpoint": ("LoadCheckpoint", {"ckpt_name": "tiny"}),
        "lora": (
            "LoadLora",
            {"model": "@checkpoint.model", "clip": "@checkpoint.clip", "lora_name": f"{lora}.safetensors"},
        ),
        "prompt": ("CLIPEncode", {"clip": "@lora.clip", "text": "red"}),
        "empty": ("EmptyLatent", {"model": "@lora.model", "width": 16, "height": 16}),
        "sampler": ("KSampler", {"model": "@lora.model", "steps": 2, **SAMPLER}),
        "plain": ("KSampler", {"model": "@checkpoint.model", "steps": 2, **SAMPLER}),
        **more,
    }


def run(engine: Engine, nodes: Mapping[str, Any], *outputs: str) -> tuple[list[Any], list[str]]:  # Any: latents
    """Give the outputs' samples and the nodes that ran."""
    events: list[Event] = []
    wanted = {name: {"from": f"{name}.latent"} for name in outputs}
    result = engine.run(drawn(nodes, outputs=wanted), emit=events.append)
    return [result.outputs[name].samples for name in outputs], [
        each.node for each in events if isinstance(each, NodeStarted)
    ]


def test_a_swapped_lora_leaves_the_checkpoint_loaded(registry: Registry, settings: Settings) -> None:
    """
    checkpoint ──▶ lora ──▶ sampler     the checkpoint is one node's, and never opened again
        └────────────────▶ plain
    """
    engine = Engine(registry, settings)
    (one, plain), _ran = run(engine, drawing(), "sampler", "plain")
    (two,), ran = run(engine, drawing("two"), "sampler")
    (again, plain_again), _ran = run(Engine(registry, settings), drawing(), "plain", "sampler")
    engine.forget()

    assert set(ran) == {"lora", "prompt", "empty", "sampler"}
    assert not torch.equal(one, two)
    assert not torch.equal(one, plain)
    assert torch.equal(plain_again, one)
    assert torch.equal(again, plain)


def test_two_nodes_that_open_one_file_share_its_weights(registry: Registry, settings: Settings) -> None:
    nodes = {
        "one": ("LoadCheckpoint", {"ckpt_name": "tiny"}),
        "two": ("LoadCheckpoint", {"ckpt_name": "tiny"}),
        "alike": ("Alike", {"first": "@one.model", "second": "@two.model"}),
    }
    result = Engine(registry, settings).run(drawn(nodes, outputs={"alike": {"from": "alike.boolean"}}))
    assert result.outputs["alike"] is True


def test_a_failed_run_leaves_no_trace_of_the_lora(registry: Registry, settings: Settings) -> None:
    engine = Engine(registry, settings)
    (expected,), _ran = run(engine, drawing(), "plain")
    with pytest.raises(NodeFailed):
        run(engine, drawing(broken=("Break", {"model": "@lora.model"})), "broken")
    other_seed = drawing(plain=("KSampler", {"model": "@checkpoint.model", "steps": 2, "seed": 1, **SAMPLER}))
    (other,), ran = run(engine, other_seed, "plain")
    engine.forget()
    (fresh,), _ran = run(engine, other_seed, "plain")
    assert ran == ["plain"]
    assert torch.equal(other, fresh)
    assert not torch.equal(other, expected)


def test_a_lora_of_another_family_is_refused_before_anything_runs(registry: Registry, settings: Settings) -> None:
    workflow = drawn(drawing("xl"))
    (problem,) = check(workflow, registry.definitions, settings, targets=["sampler"], function_of=registry.function)
    assert (problem.node, problem.input) == ("lora", "lora_name")
    assert problem.message == (
        "'xl.safetensors' is made for Stable Diffusion XL, "
        "this model is of a family whose prompts have 16 features a token."
    )


def test_warnings_name_the_file(tmp_path: Path) -> None:
    tensors = in_tensors(tiny_model().network, kohya("lora_unet"))
    tensors |= {f"lora_te2_text_projection.lora_{role}.weight": torch.ones(2, 2) for role in ("up", "down")}
    path = written(tmp_path / "style.safetensors", tensors)
    running = Run(tmp_path)
    load_lora(running.context, tiny_model(), tiny_clip(), path)
    load_lora_model_only(running.context, tiny_model(), path)
    (warning,) = running.warnings
    assert warning.startswith("style.safetensors: left out, for layers that this model doesn't have: text_encoder_2.")
