"""What checkpoints' configurations tell, and that ``check`` refuses parts that don't fit before anything is opened."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import graphengine_nodes
from graphengine.config import Settings
from graphengine.core.graph import check
from graphengine.core.registry import Registry
from graphengine.diffusion import checkpoints
from graphengine.diffusion.facts import checkpoint_facts
from graphengine.errors import Problem
from tests.diffusion.tiny_checkpoint import tiny_clip, tiny_model, tiny_vae
from tests.drawn import document, drawn

EMBEDDED = Path(checkpoints.__file__).parents[1] / "models" / "checkpoints" / "embedded"


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hold "tiny", 16 wide with a factor of 2, and "deep" with 8 channels."""
    folder = tmp_path_factory.mktemp("models")
    checkpoints.save(folder / "checkpoints" / "tiny", model=tiny_model(), clip=tiny_clip(), vae=tiny_vae())
    deep = {"model": tiny_model(channels=8, width=32), "clip": tiny_clip(width=32), "vae": tiny_vae(channels=8)}
    checkpoints.save(folder / "checkpoints" / "deep", **deep)  # type: ignore[arg-type]  # a dict of three types
    return folder


@pytest.fixture
def copied(roots: Path, tmp_path: Path) -> Path:
    return shutil.copytree(roots / "checkpoints" / "tiny", tmp_path / "tiny")


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


# Configurations


def test_the_embedded_checkpoint_is_known() -> None:
    assert checkpoint_facts(EMBEDDED) == {
        "model": {"family": None, "context_width": 128, "latent_channels": 4, "latent_factor": 8},
        "clip": {"family": None, "context_width": 128},
        "vae": {"latent_channels": 4, "latent_factor": 8},
    }


@pytest.mark.parametrize("name", ["tiny", "deep"])
def test_facts_are_those_of_the_opened_checkpoint(roots: Path, name: str) -> None:
    folder = roots / "checkpoints" / name
    model, clip, vae = checkpoints.load(folder)
    network: Any = model.network.config  # Any: diffusers' and transformers' configurations are untyped
    text: Any = clip.encoders[0].network.config
    autoencoder: Any = vae.autoencoder.config
    known = checkpoint_facts(folder)
    assert known["model"] == {
        "family": None,
        "context_width": network.cross_attention_dim,
        "latent_channels": model.latent_channels,
        "latent_factor": model.latent_factor,
    }
    assert known["clip"]["context_width"] == text.hidden_size
    assert known["vae"] == {"latent_channels": autoencoder.latent_channels, "latent_factor": model.latent_factor}


@pytest.mark.parametrize(("width", "family"), [(768, "Stable Diffusion 1"), (1024, "Stable Diffusion 2"), (640, None)])
def test_families_are_known_by_their_levels_and_width(copied: Path, width: int, family: str | None) -> None:
    levels = [320, 640, 1280, 1280]
    change(copied / "unet" / "config.json", block_out_channels=levels, cross_attention_dim=width)
    known = checkpoint_facts(copied)
    assert (known["model"]["family"], known["clip"]["family"]) == (family, family)


@pytest.mark.parametrize(
    ("values", "width"),
    [
        ({"cross_attention_dim": [16, 16]}, 16),
        ({"cross_attention_dim": [16, 32]}, None),
        ({"encoder_hid_dim": 24}, 24),
        ({"cross_attention_dim": "wide"}, None),
        ({"cross_attention_dim": True}, None),
        ({"cross_attention_dim": []}, None),
        ({"_class_name": "UNet2DModel"}, None),
    ],
)
def test_width_is_that_of_the_text_which_the_unet_reads(
    copied: Path, values: Mapping[str, object], width: int | None
) -> None:
    change(copied / "unet" / "config.json", **values)
    assert checkpoint_facts(copied)["model"]["context_width"] == width


def test_one_of_two_text_encoders_does_not_tell_the_width_of_both(copied: Path) -> None:
    (copied / "text_encoder_2").mkdir()
    assert checkpoint_facts(copied)["clip"]["context_width"] is None


def test_an_inpainting_models_channels_are_no_latents_channels(copied: Path) -> None:
    change(copied / "unet" / "config.json", in_channels=9)
    assert checkpoint_facts(copied)["model"]["latent_channels"] == 4


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"block_out_channels": 3}'])
def test_what_is_missing_or_damaged_is_not_known(copied: Path, content: bytes | None) -> None:
    for part in ("unet", "vae", "text_encoder"):
        path = copied / part / "config.json"
        path.unlink() if content is None else path.write_bytes(content)
    assert {fact for facts in checkpoint_facts(copied).values() for fact in facts.values()} == {None}


def test_of_a_file_nothing_is_known(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    for path in (tmp_path / "model.safetensors", tmp_path / "nowhere"):
        assert checkpoint_facts(path)["model"]["latent_channels"] is None


# Workflows


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry([graphengine_nodes.pack])


@pytest.fixture
def found(roots: Path, tmp_path: Path, registry: Registry) -> Any:  # Any: a function of nodes
    settings = Settings(data=tmp_path / "data", output=tmp_path / "output", roots=(roots, EMBEDDED.parents[1]))

    def found(nodes: Mapping[str, Any]) -> list[Problem]:
        return check(drawn(nodes), registry.definitions, settings, targets=list(nodes), function_of=registry.function)

    return found


Found = Any  # Any: the fixture above


Nodes = dict[str, tuple[str, dict[str, Any]]]  # Any: literals


def drawing(**changed: tuple[str, dict[str, Any]]) -> Nodes:
    """Draw a picture with "embedded", beside "tiny" and "deep"."""
    sampler: dict[str, Any] = {
        "positive": "@prompt.conditioning",
        "negative": "@prompt.conditioning",
        "latent_image": "@empty.latent",
    }
    nodes: Nodes = {
        "checkpoint": ("LoadCheckpoint", {"ckpt_name": "embedded"}),
        "tiny": ("LoadCheckpoint", {"ckpt_name": "tiny"}),
        "deep": ("LoadCheckpoint", {"ckpt_name": "deep"}),
        "prompt": ("CLIPEncode", {"clip": "@checkpoint.clip"}),
        "empty": ("EmptyLatent", {}),
        "sampler": ("KSampler", {"model": "@checkpoint.model", **sampler}),
        "decoded": ("VAEDecode", {"samples": "@sampler.latent", "vae": "@checkpoint.vae"}),
    }
    return nodes | changed


def test_a_checkpoints_own_parts_fit(found: Found) -> None:
    assert found(drawing()) == []


def test_a_prompt_of_another_text_encoder_is_refused_at_both_inputs(found: Found) -> None:
    problems = found(drawing(prompt=("CLIPEncode", {"clip": "@tiny.clip"})))
    assert [(each.code, each.node, each.input) for each in problems] == [
        ("facts_differ", "sampler", "positive"),
        ("facts_differ", "sampler", "negative"),
    ]
    assert str(problems[0]) == (
        "node 'sampler' (KSampler), input 'positive': made with the text encoder of 'tiny' (node 'tiny'), 16 wide; "
        "'model' is the denoiser of 'embedded' (node 'checkpoint'), 128 wide.\n"
        "  Take both from the same checkpoint."
    )


def test_an_autoencoder_of_other_latents_is_refused(found: Found) -> None:
    nodes = drawing(decoded=("VAEDecode", {"samples": "@sampler.latent", "vae": "@deep.vae"}))
    nodes["empty"] = ("EmptyLatent", {"model": "@checkpoint.model"})
    (problem,) = found(nodes)
    assert str(problem) == (
        "node 'decoded' (VAEDecode), input 'samples': a latent of 'embedded' (node 'checkpoint'), 4 latent channels, "
        "8 pixels to a latent cell; 'vae' is the autoencoder of 'deep' (node 'deep'), 8 latent channels, "
        "2 pixels to a latent cell.\n"
        "  Take both from the same checkpoint."
    )


def test_a_blank_latent_of_the_wrong_shape_is_to_follow_the_model(found: Found) -> None:
    sampler = drawing()["sampler"][1] | {"model": "@deep.model"}
    nodes = drawing(prompt=("CLIPEncode", {"clip": "@deep.clip"}), sampler=("KSampler", sampler))
    nodes["decoded"] = ("VAEDecode", {"samples": "@sampler.latent", "vae": "@deep.vae"})
    (problem,) = found(nodes)
    assert str(problem) == (
        "node 'sampler' (KSampler), input 'latent_image': a latent of node 'empty' (EmptyLatent), 4 latent channels, "
        "8 pixels to a latent cell; 'model' is the denoiser of 'deep' (node 'deep'), 8 latent channels, "
        "2 pixels to a latent cell.\n"
        "  Link 'model' of node 'empty' too."
    )
    assert found(nodes | {"empty": ("EmptyLatent", {"model": "@deep.model"})}) == []


def test_new_networks_are_held_to_what_their_settings_say(found: Found) -> None:
    """
    clip (16 wide) ──▶ unet (8 channels) ──▶ save ◀── vae (4 channels)
    """
    nodes: Nodes = {
        "data": ("DrawnShapes", {}),
        "tokenizer": ("TrainTokenizer", {"dataset": "@data.dataset"}),
        "clip": ("NewClip", {"tokenizer": "@tokenizer.tokenizer", "width": 16}),
        "unet": ("NewUNet", {"clip": "@clip.clip", "latent_channels": 8}),
        "vae": ("NewAutoencoder", {}),
        "save": ("SaveCheckpoint", {"model": "@unet.model", "clip": "@clip.clip", "vae": "@vae.vae"}),
    }
    (problem,) = found(nodes)
    assert str(problem) == (
        "node 'save' (SaveCheckpoint), input 'vae': the autoencoder of node 'vae' (NewAutoencoder), 4 latent channels; "
        "'model' is the denoiser of node 'unet' (NewUNet), 8 latent channels.\n"
        "  Set 'latent_channels' of node 'vae' to 8."
    )
    assert found(nodes | {"vae": ("NewAutoencoder", {"latent_channels": 8})}) == []
    other = {"other": ("NewClip", {"tokenizer": "@tokenizer.tokenizer", "width": 32})}
    parts = {"model": "@unet.model", "clip": "@other.clip"}
    (problem,) = found(nodes | other | {"save": ("SaveCheckpoint", parts)})
    assert "32 wide" in problem.message
    assert "16 wide" in problem.message


def test_what_training_gives_is_of_the_kind_that_was_trained(found: Found) -> None:
    """
    deep ──▶ train ──▶ sampler ◀── empty (4 channels)
    """
    sampler = drawing()["sampler"][1] | {"model": "@train.model"}
    problems = found(drawing(sampler=("KSampler", sampler)) | training(model="deep.model", clip="deep.clip"))
    assert {each.input for each in problems} == {"positive", "negative", "latent_image"}
    assert all("'deep' (node 'deep')" in each.message for each in problems)


def training(**links: str) -> Nodes:
    """Train on drawn shapes what is linked."""
    linked = {name: f"@{link}" for name, link in links.items()}
    parts = {"dataset": "@data.dataset", "recipe": "@recipe.recipe"}
    return {"data": ("DrawnShapes", {}), "recipe": ("TrainRecipe", {}), "train": ("TrainLoop", parts | linked)}


def test_parts_of_another_family_are_refused_before_a_training(found: Found) -> None:
    """All that doesn't fit what is trained is told at once, and at a trial as well."""
    loaded = {"deep": drawing()["deep"], "checkpoint": drawing()["checkpoint"]}
    nodes = loaded | training(model="deep.model", clip="checkpoint.clip", vae="checkpoint.vae")
    nodes["try"] = ("TryTraining", nodes["train"][1])
    problems = found(nodes)
    told = {(each.node, each.input): each.message for each in problems}
    assert told.keys() == {(node, input) for node in ("train", "try") for input in ("clip", "vae")}
    assert told["train", "clip"] == (
        "the text encoder of 'embedded' (node 'checkpoint'), 128 wide; "
        "'model' is the denoiser of 'deep' (node 'deep'), 32 wide."
    )
    assert "8 latent channels" in told["train", "vae"]
    assert {each.remedy for each in problems} == {"Take both from the same checkpoint."}
    assert found(loaded | training(model="deep.model", clip="deep.clip", vae="deep.vae")) == []
    assert found(loaded | training(model="deep.vae")) == []


def test_a_text_encoder_that_is_missing_is_told_before_a_training(found: Found) -> None:
    loaded = {"deep": drawing()["deep"]}
    (problem,) = found(loaded | training(model="deep.model"))
    assert (problem.node, problem.input) == ("train", "clip")
    assert problem.message == "it is missing: the model reads captions."
    assert found(loaded | training(model="deep.clip")) == []
    pixels: Nodes = {"new": ("NewUNet2D", {}), **training(model="new.model")}
    assert found(pixels) == []


def test_latents_and_captions_cached_for_another_family_are_refused(found: Found) -> None:
    """
    data ──▶ latents (embedded's) ──▶ captions (embedded's) ──▶ train ◀── deep
    """
    nodes: Nodes = {"deep": drawing()["deep"], "checkpoint": drawing()["checkpoint"]}
    nodes |= training(model="deep.model", clip="deep.clip", dataset="captions.dataset")
    nodes["latents"] = ("CacheLatents", {"dataset": "@data.dataset", "vae": "@checkpoint.vae"})
    nodes["captions"] = ("CacheCaptions", {"dataset": "@latents.dataset", "clip": "@checkpoint.clip"})
    (problem,) = found(nodes)
    assert (problem.node, problem.input) == ("train", "dataset")
    assert problem.extra["facts"] == {
        "context_width": [128, 32],
        "latent_channels": [4, 8],
        "latent_factor": [8, 2],
    }


def test_pixel_models_take_pixels(found: Found) -> None:
    sampler = drawing()["sampler"][1] | {"model": "@new.model"}
    nodes = drawing(sampler=("KSampler", sampler), empty=("EmptyLatent", {"model": "@new.model"}))
    nodes |= {"new": ("NewUNet2D", {"channels": 3})}
    del nodes["decoded"]
    assert found(nodes) == []
    (problem,) = found(nodes | {"empty": ("EmptyLatent", {})})
    assert "3 latent channels, 1 pixel to a latent cell" in problem.message


def test_a_checkpoint_put_together_from_two_is_told_apart(found: Found, roots: Path) -> None:
    mixed = shutil.copytree(roots / "checkpoints" / "deep", roots / "checkpoints" / "mixed")
    change(mixed / "vae" / "config.json", latent_channels=4)
    nodes = drawing(mixed=("LoadCheckpoint", {"ckpt_name": "mixed"}))
    nodes |= {"save": ("SaveCheckpoint", {"model": "@mixed.model", "vae": "@mixed.vae"})}
    (problem,) = found(nodes)
    assert problem.remedy == "The parts of 'mixed' don't fit each other. Choose another."


def test_a_damaged_checkpoint_fits_until_it_is_opened(found: Found, roots: Path) -> None:
    damaged = shutil.copytree(roots / "checkpoints" / "deep", roots / "checkpoints" / "damaged")
    for config in damaged.glob("*/config.json"):
        config.write_text("{")
    nodes = drawing(prompt=("CLIPEncode", {"clip": "@damaged.clip"}))
    assert found(nodes | {"damaged": ("LoadCheckpoint", {"ckpt_name": "damaged"})}) == []


QUIET = """
import sys
from graphengine.cli import main
code = main(sys.argv[1:])
heavy = sorted({"torch", "diffusers", "transformers", "safetensors", "numpy"} & set(sys.modules))
sys.exit(f"loaded {heavy}" if heavy else code)
"""


def test_check_looks_at_checkpoints_without_loading_torch(tmp_path: Path, roots: Path) -> None:
    nodes = drawing(prompt=("CLIPEncode", {"clip": "@tiny.clip"}), shown=("PreviewImage", {"images": "@decoded.image"}))
    path = tmp_path / "drawing.json"
    path.write_text(json.dumps(document(nodes)))
    shutil.copytree(roots, tmp_path / "data" / "models")
    options = ["check", str(path), "--data", str(tmp_path / "data")]
    done = subprocess.run(
        [sys.executable, "-c", QUIET, *options], capture_output=True, text=True, cwd=tmp_path, env=dict(os.environ)
    )
    assert "loaded" not in done.stderr
    assert done.returncode == 2
    assert "Take both from the same checkpoint." in done.stdout + done.stderr
