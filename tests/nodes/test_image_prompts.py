from __future__ import annotations

from typing import Any

import pytest
import torch

import graphengine_nodes
from graphengine.config import Settings
from graphengine.core.graph import check
from graphengine.core.registry import Registry
from graphengine.diffusion import checkpoints
from graphengine.engine import Engine
from graphengine.errors import Problem
from graphengine.model_listing import ModelHashes, list_models
from tests.diffusion.tiny_checkpoint import tiny_clip, tiny_vae
from tests.diffusion.tiny_control import LIKE_SD, steered_model
from tests.diffusion.tiny_image_prompt import image_encoder, ip_adapter, written
from tests.drawn import drawn


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry([graphengine_nodes.pack])


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Hold the adapters "plain" and "plus" of the checkpoint "tiny", and "other" for another family."""
    folder = tmp_path_factory.mktemp("pictures")
    models = folder / "models"
    model = steered_model()
    checkpoints.save(models / "checkpoints" / "tiny", model=model, clip=tiny_clip(), vae=tiny_vae())
    image_encoder().save_pretrained(models / "clip_vision" / "encoder")
    wide = steered_model(LIKE_SD | {"cross_attention_dim": 768}).network
    for name, tensors in {
        "plain": ip_adapter(model.network),
        "plus": ip_adapter(model.network, "plus"),
        "other": ip_adapter(wide),
        "small": ip_adapter(model.network) | {"image_proj.proj.weight": torch.zeros(64, 8)},
    }.items():
        written(models / "ipadapter" / f"{name}.safetensors", tensors)
    return Settings(data=folder / "data", output=folder / "output", roots=(models,), check_immutable=True)


def drawing(adapter: str = "plain", **apply: Any) -> dict[str, Any]:  # Any: nodes, as drawn() takes them
    prompts = {"positive": "@prompt.conditioning", "negative": "@prompt.conditioning"}
    sampler = {"steps": 2, "latent_image": "@empty.latent", **prompts}
    applied = {"ip_adapter": "@adapter.ip_adapter", "pictures": "@seen.pictures"}
    return {
        "checkpoint": ("LoadCheckpoint", {"ckpt_name": "tiny"}),
        "prompt": ("CLIPEncode", {"clip": "@checkpoint.clip", "text": "red"}),
        "empty": ("EmptyLatent", {"model": "@checkpoint.model", "width": 16, "height": 16}),
        "half": ("SolidMask", {"value": 0.5, "width": 40, "height": 30}),
        "image": ("MaskToImage", {"mask": "@half.mask"}),
        "adapter": ("LoadIPAdapter", {"ipadapter_name": f"{adapter}.safetensors"}),
        "encoder": ("LoadCLIPVision", {"clip_name": "encoder"}),
        "seen": ("CLIPVisionEncode", {"clip_vision": "@encoder.clip_vision", "image": "@image.image"}),
        "apply": ("ApplyIPAdapter", {"model": "@checkpoint.model", **applied, **apply}),
        "again": ("ApplyIPAdapter", {"model": "@apply.model", **applied, "weight": 0.3}),
        "sampler": ("KSampler", {"model": "@again.model", **sampler}),
        "plain": ("KSampler", {"model": "@checkpoint.model", **sampler}),
    }


def found(nodes: dict[str, Any], registry: Registry, settings: Settings) -> list[Problem]:
    return check(drawn(nodes), registry.definitions, settings, targets=["sampler"], function_of=registry.function)


def test_pictures_change_a_run_and_leave_the_checkpoint_alone(registry: Registry, settings: Settings) -> None:
    """
    checkpoint ──▶ apply ──▶ again ──▶ sampler
        └─────────────────────────────▶ plain
    """
    outputs = {name: {"from": f"{name}.latent"} for name in ("plain", "sampler")}
    engine = Engine(registry, settings)
    first = engine.run(drawn(drawing(attention_mask="@half.mask"), outputs=outputs)).outputs
    engine.forget()
    alone = engine.run(drawn(drawing(), outputs={"plain": {"from": "plain.latent"}})).outputs
    assert torch.isfinite(first["sampler"].samples).all()
    assert not torch.allclose(first["sampler"].samples, first["plain"].samples, atol=1e-3)
    assert torch.equal(first["plain"].samples, alone["plain"].samples)


def test_an_adapter_for_another_family_is_refused_when_it_is_wired(registry: Registry, settings: Settings) -> None:
    assert found(drawing("plus"), registry, settings) == []
    (problem,) = found(drawing("other"), registry, settings)
    assert (problem.node, problem.input) == ("apply", "ip_adapter")
    assert problem.message == (
        "it is made for Stable Diffusion 1, this model is of a family whose prompts have 16 features a token."
    )
    assert problem.remedy == "Choose an IP-Adapter for this model's family."


def test_an_adapter_of_another_image_encoder_is_refused_when_it_is_wired(
    registry: Registry, settings: Settings
) -> None:
    problem, _at_the_other = found(drawing("small"), registry, settings)
    assert (problem.node, problem.input) == ("apply", "pictures")
    assert problem.message == "the image encoder says 20 numbers of a picture, the IP-Adapter reads 8."


def test_a_range_that_ends_before_it_begins_is_refused(registry: Registry, settings: Settings) -> None:
    (problem,) = found(drawing(start_percent=0.6, end_percent=0.5), registry, settings)
    assert (problem.node, problem.input) == ("apply", "end_percent")


def test_adapters_are_listed_by_what_they_are_for(settings: Settings) -> None:
    listed = list_models(settings, ModelHashes(settings.data / "hashes.json"), ("clip_vision", "ipadapter"))
    families = {(each.kind, each.name): each.family for each in listed}
    assert families["ipadapter", "other.safetensors"] == "Stable Diffusion 1"
    assert ("clip_vision", "encoder") in families
