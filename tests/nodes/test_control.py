from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import graphengine_nodes
from graphengine.config import Settings
from graphengine.core.graph import check
from graphengine.core.registry import Registry
from graphengine.diffusion import checkpoints
from graphengine.engine import Engine
from graphengine.errors import InputError, Problem
from graphengine.types import Conditioning, Image
from graphengine_nodes.control import control_net_apply_advanced, load_control_net, set_union_control_net_type
from tests.diffusion.tiny_checkpoint import tiny_clip, tiny_vae
from tests.diffusion.tiny_control import LIKE_SD, controlnet, steered_model, union
from tests.drawn import drawn
from tests.nodes.running import Run

PROMPT = Conditioning.of(torch.zeros(1, 8, 16))
PICTURE = Image(torch.zeros(1, 8, 8, 3))


def test_prompts_share_one_control_and_keep_those_before(tmp_path: Path) -> None:
    controlnet().save_pretrained(tmp_path / "edges")
    opened = load_control_net(Run(tmp_path).context, tmp_path / "edges")
    first = control_net_apply_advanced(PROMPT, PROMPT, opened, PICTURE, 0.5, 0.1, 0.9)
    second = control_net_apply_advanced(first.positive, first.negative, opened, PICTURE)
    (control,) = first.positive.parts[0].controls
    assert first.negative.parts[0].controls[0] is control
    assert (control.control_net.source, control.strength, control.timesteps) == ("edges", 0.5, (0.1, 0.9))
    assert [each.strength for each in second.positive.parts[0].controls] == [0.5, 1.0]
    assert PROMPT.parts[0].controls == ()
    assert control_net_apply_advanced(PROMPT, PROMPT, opened, PICTURE, 0.0) == (PROMPT, PROMPT)


def test_a_unions_kinds_are_numbered_as_in_its_files(tmp_path: Path) -> None:
    union().save_pretrained(tmp_path / "union")
    opened = load_control_net(Run(tmp_path).context, tmp_path / "union")
    assert opened.kind is None
    assert set_union_control_net_type(opened, "depth").kind == 1
    with pytest.raises(InputError, match="doesn't read 'tile'"):
        set_union_control_net_type(opened, "tile")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry([graphengine_nodes.pack])


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("control")
    models = folder / "models"
    checkpoints.save(models / "checkpoints" / "tiny", model=steered_model(), clip=tiny_clip(), vae=tiny_vae())
    controlnet().save_pretrained(models / "controlnet" / "edges")
    other = controlnet(LIKE_SD | {"cross_attention_dim": 32})
    save_file(other.state_dict(), models / "controlnet" / "other.safetensors")
    return Settings(data=folder / "data", output=folder / "output", roots=(models,), check_immutable=True)


def drawing(**control: Any) -> dict[str, Any]:  # Any: nodes, as drawn() takes them
    prompts = {"positive": "@prompt.conditioning", "negative": "@prompt.conditioning"}
    return {
        "checkpoint": ("LoadCheckpoint", {"ckpt_name": "tiny"}),
        "prompt": ("CLIPEncode", {"clip": "@checkpoint.clip", "text": "red"}),
        "empty": ("EmptyLatent", {"model": "@checkpoint.model", "width": 16, "height": 16}),
        "white": ("SolidMask", {"value": 1.0, "width": 64, "height": 64}),
        "image": ("MaskToImage", {"mask": "@white.mask"}),
        "control": ("LoadControlNet", {"control_net_name": "edges"} | control),
        "apply": (
            "ControlNetApplyAdvanced",
            {"control_net": "@control.control_net", "image": "@image.image", **prompts},
        ),
        "sampler": (
            "KSampler",
            {
                "model": "@checkpoint.model",
                "steps": 2,
                "positive": "@apply.positive",
                "negative": "@apply.negative",
                "latent_image": "@empty.latent",
            },
        ),
    }


def found(nodes: dict[str, Any], registry: Registry, settings: Settings) -> list[Problem]:
    return check(drawn(nodes), registry.definitions, settings, targets=["sampler"], function_of=registry.function)


def test_a_control_net_steers_a_run(registry: Registry, settings: Settings) -> None:
    nodes = drawing()
    assert found(nodes, registry, settings) == []
    outputs = {"latent": {"from": "sampler.latent"}}
    engine = Engine(registry, settings)
    steered = engine.run(drawn(nodes, outputs=outputs)).outputs["latent"]
    nodes["apply"][1]["strength"] = 0.0
    plain = engine.run(drawn(nodes, outputs=outputs)).outputs["latent"]
    assert torch.isfinite(steered.samples).all()
    assert not torch.allclose(steered.samples, plain.samples, atol=1e-3)


def test_a_control_net_of_another_family_is_refused_when_it_is_wired(registry: Registry, settings: Settings) -> None:
    problems = found(drawing(control_net_name="other.safetensors"), registry, settings)
    assert [(each.node, each.input, each.code) for each in problems] == [("apply", "control_net", "facts_differ")]
    assert problems[0].remedy == "Choose a ControlNet for the model's family."
    assert problems[0].message.startswith("the ControlNet 'other.safetensors' (node 'control'), 32 wide; ")


def test_a_range_that_ends_before_it_begins_is_refused(registry: Registry, settings: Settings) -> None:
    nodes = drawing()
    nodes["apply"][1].update(start_percent=0.6, end_percent=0.5)
    (problem,) = found(nodes, registry, settings)
    assert (problem.node, problem.input) == ("apply", "end_percent")
