"""Words taught by a workflow, as files that are read in prompts and train themselves again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from graphengine import NodePack, node
from graphengine.config import Settings
from graphengine.core.events import Event, NodeMetrics
from graphengine.core.registry import Registry
from graphengine.engine import Engine
from graphengine.errors import InvalidWorkflow, NodeFailed
from graphengine.training_types import WordRecipe
from graphengine.types import Conditioning, LearnedVectors
from graphengine.workflow_files import read_workflow
from graphengine_nodes import pack
from graphengine_nodes.saving import save_checkpoint
from graphengine_nodes.training import train_recipe
from graphengine_nodes.training_parts import word_recipe
from tests.diffusion.tiny_checkpoint import tiny_clip
from tests.drawn import document, drawn
from tests.nodes.running import Run
from tests.nodes.test_training import Nodes, engine, workflow

WORD: Nodes = {
    "shapes": ("DrawnShapes", {"size": 32}),
    "told": ("CaptionRules", {"dataset": "@shapes.dataset", "prefix": "<it>"}),
    "digits": ("DrawnDigits", {"count": 8}),
    "tokenizer": ("TrainTokenizer", {"dataset": "@digits.dataset", "vocab_size": 520}),
    "clip": ("NewClip", {"tokenizer": "@tokenizer.tokenizer", "width": 16, "layers": 1, "heads": 2}),
    "unet": (
        "NewUNet",
        {"clip": "@clip.clip", "block_channels": "8, 16", "attention_levels": "0, 1", "heads": 2, "norm_groups": 4}
        | {"latent_size": 4},
    ),
    "word": ("WordRecipe", {"placeholder": "<it>", "initial": "a", "vectors": 2}),
    "recipe": ("TrainRecipe", {"batch_size": 2, "learning_rate": 0.1, "word": "@word.word"}),
    "train": (
        "TrainLoop",
        {"model": "@unet.model", "clip": "@clip.clip", "dataset": "@told.dataset", "recipe": "@recipe.recipe"}
        | {"steps": 2},
    ),
    "card": ("ModelCard", {"report": "@train.report", "trigger": "<it>"}),
    "save": ("SaveEmbedding", {"word": "@train.word", "card": "@card.card"}),
    "taught": ("CLIPEncode", {"clip": "@train.clip", "text": "a (<it>:1.2) star"}),
    "loaded": ("CLIPEncode", {"clip": "@clip.clip", "text": "a (embedding:it:1.2) star"}),
}


def test_a_saved_word_trains_itself_again_and_is_read_in_prompts(tmp_path: Path) -> None:
    nodes = {name: given for name, given in WORD.items() if name != "loaded"}
    ran = engine(tmp_path).run(workflow(nodes, "taught.conditioning"))
    saved = tmp_path / "output" / "it" / "it.safetensors"
    assert "Write `<it>` into prompts" in (saved.parent / "README.md").read_text(encoding="utf-8")
    first = load_file(saved)
    assert {name: tensor.shape for name, tensor in first.items()} == {"emb_params": (2, 16)}

    engine(tmp_path / "again").run(read_workflow(str(saved))[0])  # as `graphengine run` does
    again = load_file(tmp_path / "again" / "output" / "it" / "it.safetensors")
    assert torch.equal(again["emb_params"], first["emb_params"])

    (tmp_path / "embeddings").mkdir()
    saved.rename(tmp_path / "embeddings" / "it.safetensors")
    kept = {name: WORD[name] for name in ("digits", "tokenizer", "clip", "loaded")}
    loaded = engine(tmp_path).run(workflow(kept, "loaded.conditioning")).outputs["loaded_conditioning"]
    taught = ran.outputs["taught_conditioning"]
    assert torch.equal(loaded.parts[0].embedding, taught.parts[0].embedding)


@node("Reading", category="test", outputs="sum")
def reading(conditioning: Conditioning) -> float:
    """Add up what a prompt became."""
    return float(conditioning.parts[0].embedding.double().sum())


def test_a_look_at_the_training_reads_the_word_as_it_is_by_then(tmp_path: Path) -> None:
    """
    TrainLoop ──clip──▶ CLIPEncode "<it>" ──▶ Reading     after each step, and of what comes out in the end
    """
    nodes = {name: given for name, given in WORD.items() if name not in ("save", "card", "loaded")}
    kind, inputs = nodes["train"]
    nodes["train"] = (kind, {**inputs, "watch": {"$subgraph": "look"}, "look_every": 1})
    look = document(
        {
            "read": ("CLIPEncode", {"text": "a (<it>:1.2) star"}),
            "sum": ("Reading", {"conditioning": "@read.conditioning"}),
        }
    )
    declared = {"inputs": {"clip": {"type": "CLIP", "to": ["read.clip"]}}, "outputs": {"read": {"from": "sum.sum"}}}
    nodes["sum"] = ("Reading", {"conditioning": "@taught.conditioning"})
    whole = drawn(nodes, subgraphs={"look": {"nodes": look["nodes"], **declared}}, outputs={"sum": {"from": "sum.sum"}})
    settings = Settings(data=tmp_path / "data", output=tmp_path / "output", roots=(tmp_path,))
    events: list[Event] = []
    ran = Engine(Registry([pack, NodePack("measuring", functions=[reading])]), settings).run(whole, emit=events.append)
    seen = {
        each.step: each.values["read"] for each in events if isinstance(each, NodeMetrics) and "read" in each.values
    }
    assert list(seen) == [1, 2]
    assert seen[1] != seen[2] == ran.outputs["sum"]


def test_parts_of_a_word_come_through() -> None:
    word = word_recipe(
        placeholder=" <it> ", initial="red, blue", vectors=3, keep_length=True, templates="a {word}\n\n {word} b \n"
    )
    assert word == WordRecipe(
        placeholder="<it>", initial=("red", "blue"), vectors=3, keep_length=True, templates=("a {word}", "{word} b")
    )
    assert train_recipe(word=word).word == word


@pytest.mark.parametrize(
    ("inputs", "match"),
    [
        ({"placeholder": " "}, "placeholder.*it is empty"),
        ({"placeholder": "my cat"}, r"it has ' ' in it"),
        ({"placeholder": "cat."}, r"it has '\.' in it"),
        ({"vectors": 0}, "0 is too small"),
        ({"templates": "a {word}\na photo"}, "'a photo' is without {word}"),
        ({"initial": " "}, "initial"),
    ],
    ids=["empty", "two words", "an end", "no vector", "no word", "no start"],
)
def test_words_that_make_no_sense_are_refused_before_the_run(
    inputs: dict[str, object], match: str, tmp_path: Path
) -> None:
    given = {"placeholder": "<it>", "initial": "a", **inputs}
    with pytest.raises(InvalidWorkflow, match=match):
        engine(tmp_path).run(workflow({"part": ("WordRecipe", given)}, "part.word"))


def test_a_checkpoint_says_that_it_has_no_room_for_words(tmp_path: Path) -> None:
    clip = replace(tiny_clip(), words=(LearnedVectors("<it>", (torch.zeros(1, 16),)),))
    run = Run(tmp_path)
    save_checkpoint(run.context, clip=clip, name="mine")
    assert [warning for warning in run.warnings if "taught <it>" in warning]


def test_saving_a_word_that_was_not_trained_says_what_to_link(tmp_path: Path) -> None:
    subject = {"model": "@new.model", "dataset": "@shapes.dataset", "recipe": "@recipe.recipe"}
    nodes: Nodes = {
        "shapes": WORD["shapes"],
        "new": ("NewBasicUNet", {"channels": 3}),
        "recipe": ("TrainRecipe", {"batch_size": 2}),
        "train": ("TrainLoop", {**subject, "steps": 1}),
        "save": ("SaveEmbedding", {"word": "@train.word"}),
    }
    with pytest.raises(NodeFailed, match=r"no word was trained(?s:.*)WordRecipe"):
        engine(tmp_path).run(workflow(nodes, "train.model"))
    assert not (tmp_path / "output").exists() or not any((tmp_path / "output").iterdir())
