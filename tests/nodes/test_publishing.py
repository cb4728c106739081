"""What comes out of a training: files that other programs open, that tell what they are, and that train again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline
from PIL import Image as Picture
from torch import Tensor

from graphengine.cli import main
from graphengine.diffusion import checkpoints, conditioning, sampling, vae
from graphengine.types import Latent
from tests.known_definitions import share_definitions
from tests.nodes.test_training import Nodes, engine, workflow
from tests.nodes.test_training_lora import LORA

WHOLE: Nodes = {
    "shapes": ("DrawnShapes", {"size": 32}),
    "recipe": ("TrainRecipe", {"batch_size": 2}),
    "tokenizer": ("TrainTokenizer", {"dataset": "@shapes.dataset", "vocab_size": 520}),
    "clip": ("NewClip", {"tokenizer": "@tokenizer.tokenizer", "width": 16, "layers": 1, "heads": 2}),
    "vae": ("NewAutoencoder", {"block_channels": "4, 4, 4, 4", "size": 32}),
    "unet": (
        "NewUNet",
        {
            "clip": "@clip.clip",
            "block_channels": "8, 16",
            "attention_levels": "0, 1",
            "heads": 2,
            "norm_groups": 4,
            "latent_size": 4,
            "pooled_text": False,
        },
    ),
    "train": (
        "TrainLoop",
        {
            "model": "@unet.model",
            "clip": "@clip.clip",
            "dataset": "@shapes.dataset",
            "recipe": "@recipe.recipe",
            "steps": 2,
        },
    ),
    "folder": (
        "SaveCheckpoint",
        {"model": "@train.model", "clip": "@train.clip", "vae": "@vae.vae", "name": "whole"},
    ),
    "file": (
        "SaveCheckpoint",
        {
            "model": "@train.model",
            "clip": "@train.clip",
            "vae": "@vae.vae",
            "name": "one",
            "layout": "single file",
        },
    ),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a training was saved as a folder and as a file."""
    home = tmp_path_factory.mktemp("home")
    engine(home).run(workflow(WHOLE))
    return home


def metadata_of(card: Path) -> dict[str, Any]:  # Any: YAML
    from huggingface_hub import ModelCard

    told: dict[str, Any] = ModelCard.load(card, ignore_metadata_errors=False).data.to_dict()
    return told


def our_picture(path: Path) -> Tensor:
    model, clip, autoencoder = checkpoints.load(path)
    latent = sampling.sample(
        model, Latent(torch.zeros(1, 4, 4, 4)), seed=3, steps=2, cfg=4.0, scheduler="normal",
        sampler_name="diffusers:EulerDiscreteScheduler", positive=conditioning.encode(clip, "a red star"),
        negative=conditioning.encode(clip, ""),
    )  # fmt: skip
    return vae.decode(autoencoder, latent)


def their_picture(pipeline: Any) -> Tensor:  # Any: diffusers is untyped
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = EulerDiscreteScheduler.from_config(pipeline.scheduler.config)
    made = pipeline(
        "a red star", negative_prompt="", num_inference_steps=2, guidance_scale=4.0, height=32, width=32,
        generator=torch.Generator().manual_seed(3), output_type="np",
    )  # fmt: skip
    return torch.from_numpy(made.images)


@pytest.mark.slow
def test_a_trained_checkpoint_makes_the_same_picture_from_either_layout_here_and_in_diffusers(home: Path) -> None:
    folder, file = home / "output" / "whole", home / "output" / "one.safetensors"
    pipeline: Any = StableDiffusionPipeline  # Any: diffusers is untyped
    expected = their_picture(pipeline.from_pretrained(folder, local_files_only=True))
    assert expected.std() > 0.01
    again = their_picture(pipeline.from_single_file(str(file), config=str(folder), local_files_only=True))
    torch.testing.assert_close(again, expected, rtol=0, atol=1e-5)
    for path in (folder, file):
        torch.testing.assert_close(our_picture(path), expected, rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("saved", ["whole", "one.safetensors"])
def test_a_saved_checkpoint_runs_its_training_again_which_is_found_finished(
    saved: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained_again(home, home / "output" / saved, capsys)
    assert our_picture(home / "again" / saved).equal(our_picture(home / "output" / saved))


def trained_again(home: Path, saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a saved file where its training's state is kept, without results of earlier runs; no step may be done."""
    where = ["--data", str(share_definitions(home / "data")), "--out", str(home / "again")]
    assert main(["run", str(saved), "--json", "--no-cache", *where]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "train" in {event.get("node") for event in events if event["type"] == "node_finished"}
    assert not [event for event in events if event["type"] == "node_metrics"]


def test_cards_tell_of_what_was_saved_and_it_runs_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A LoRA, beside which its card lies in a folder of its own, and the same as a diffusers folder."""
    nodes = {name: given for name, given in LORA.items() if name != "load"}
    card = {"report": "@train.report", "base_model": "me/digits", "trigger": "dgt", "samples": "@plot.image"}
    nodes |= {
        "card": ("ModelCard", {**card, "sample_prompts": "a dgt | nine"}),
        "plain": ("ModelCard", {"report": "@train.report", "title": "Digits", "license": "mit", "tags": "small, grey"}),
        "plot": ("LossPlot", {"report": "@train.report", "width": 100, "height": 80}),
        "save": ("SaveLora", {**nodes["save"][1], "card": "@card.card"}),
        "whole": ("SaveCheckpoint", {"model": "@train.model", "name": "whole", "card": "@plain.card"}),
    }
    ran = engine(tmp_path).run(workflow(nodes, "save.path", "whole.path"))
    lora, whole = tmp_path / "output" / "digits", tmp_path / "output" / "whole"
    assert ran.outputs == {"save_path": str(lora), "whole_path": str(whole)}
    assert {each.name for each in lora.iterdir()} == {"README.md", "digits.safetensors", "loss.png", "sample_1.png"}
    assert {each.path.name for each in ran.shown} == {"digits.safetensors", "README.md", "whole"}
    check_card_of_lora(lora)
    check_card_of_folder(whole)
    trained_again(tmp_path, lora / "digits.safetensors", capsys)


def check_card_of_lora(folder: Path) -> None:
    told = metadata_of(folder / "README.md")
    assert (told["base_model"], told["base_model_relation"]) == ("me/digits", "adapter")
    assert told["instance_prompt"] == "dgt"
    assert told["widget"] == [{"text": "a dgt | nine", "output": {"url": "sample_1.png"}}]
    assert {"lora", "diffusers"} <= set(told["tags"])
    assert "license" not in told
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "\n# digits\n" in text
    assert '| lora targets | ["attention", "conv_in"] |' in text
    assert r"a dgt \| nine" in text
    assert "ComfyUI" not in text  # which knows no such network
    with Picture.open(folder / "loss.png") as plot:
        assert plot.size == (640, 400)


def check_card_of_folder(folder: Path) -> None:
    told = metadata_of(folder / "README.md")
    assert (told["license"], told["library_name"]) == ("mit", "diffusers")
    assert {"small", "grey"} <= set(told["tags"])
    assert "base_model" not in told  # made from nothing
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "\n# Digits\n" in text
    assert "| examples | 8 |" in text
    assert "](loss.png)" in text
    assert 'DDPMPipeline.from_pretrained("path/to/this/folder")' in text
    assert "graphengine run whole\n" in text
