"""Textual inversion: what is trained, what understands it, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from graphengine.diffusion import checkpoints, conditioning
from graphengine.diffusion.batch_order import make_order
from graphengine.diffusion.cached_captions import CachedCaptions
from graphengine.diffusion.embedding_writing import EmbeddingLayout, write_embedding
from graphengine.diffusion.learned_words import has_word
from graphengine.diffusion.step_random import StepRandom
from graphengine.diffusion.tensor_store import TensorStore
from graphengine.diffusion.textual_inversion import read_vectors
from graphengine.diffusion.training import Trained, train
from graphengine.diffusion.training_captions import read_captions
from graphengine.diffusion.training_denoisers import DenoisingTask
from graphengine.diffusion.training_trial import try_training
from graphengine.errors import InputError
from graphengine.training_types import ExampleField, Examples, LoraRecipe, Recipe, WordRecipe
from graphengine.types import Clip, LearnedVectors, Model
from tests.diffusion.test_conditioning import tiny_sdxl_clip
from tests.diffusion.test_model_prompts import sdxl_model
from tests.diffusion.tiny_checkpoint import WORDS, tiny_clip, tiny_model, tiny_vae
from tests.diffusion.tiny_flow import tiny_flow_clip, tiny_flow_model
from tests.diffusion.tiny_training import Blocks, finish, same_weights, weights_of
from tests.diffusion.tiny_training import tiny_model as pixel_model

CPU = torch.device("cpu")
WORD = WordRecipe(placeholder="<it>", initial=("red",))
RECIPE = Recipe(batch_size=4, learning_rate=1e-2, data_workers=0, word=WORD)


@dataclass(frozen=True)
class Captioned(Blocks):
    """Blocks whose captions are given, in turn."""

    channels: int = 3
    fields: Collection[ExampleField] = ("captions", "latents")
    told: tuple[str, ...] = ("a <it> b", "c <it>")

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        captions = [self.told[index % len(self.told)] for index in indices] if "captions" in fields else None
        return replace(super().examples(indices, fields), captions=captions)


DATA = Captioned()
ONLY_LATENTS: tuple[ExampleField, ...] = ("latents",)


def trained(
    recipe: Recipe = RECIPE,
    data: Blocks = DATA,
    *,
    steps: int = 2,
    folder: Path | None = None,
    clip: Clip | None = None,
) -> Trained[Model]:
    return finish(train(tiny_model(), data, recipe, steps=steps, seed=1, clip=clip or tiny_clip(), state_dir=folder))[1]


def vectors_of(result: Trained[Model]) -> tuple[torch.Tensor, ...]:
    assert result.word
    return result.word.vectors


def table(clip: Clip, encoder: int = 0) -> torch.Tensor:
    network: Any = clip.encoders[encoder].network  # Any: transformers' methods are untyped
    weight: torch.Tensor = network.get_input_embeddings().weight
    return weight.detach()


def test_nothing_but_the_vectors_is_trained_and_saved(tmp_path: Path) -> None:
    model, clip = tiny_model(), tiny_clip()
    model.network.requires_grad_(True)  # as a model comes that was made for training
    networks = [model.network, clip.encoders[0].network]
    before = [weights_of(network) for network in networks]
    _, result = finish(train(model, DATA, RECIPE, steps=2, seed=1, clip=clip, state_dir=tmp_path))

    assert all(same_weights(was, weights_of(network)) for was, network in zip(before, networks, strict=True))
    assert all(parameter.grad is None for network in networks for parameter in network.parameters())
    assert result.subject is model
    assert result.clip
    assert result.clip.encoders is clip.encoders
    assert not torch.equal(vectors_of(result)[0][0], table(clip)[WORDS.index("red</w>")])
    with safe_open(tmp_path / "step-00000002.safetensors", "pt") as file:
        sizes = {name: file.get_tensor(name).numel() for name in file.keys() if "history" not in name}  # noqa: SIM118 - no mapping
    assert sum(size for name, size in sizes.items() if name.startswith("weights/")) == 16
    assert sum(sizes.values()) <= 3 * 16 + 1  # AdamW's two moments, and its count of steps


def test_a_word_begins_as_the_words_it_starts_from() -> None:
    """Before the first step, captions with the placeholder are read as those with the known words."""
    recipe = replace(RECIPE, word=replace(WORD, initial=("red", "b"), vectors=3))
    task = DenoisingTask(tiny_model(), DATA, recipe, CPU, clip=tiny_clip(), vae=None)
    clip = task.result().clip
    assert clip
    encoders = [encoder.network for encoder in clip.encoders]
    states, _ = read_captions(clip, encoders, ["a <it> c", "(<it>), d e f g"], CPU)
    expected, _ = read_captions(tiny_clip(), encoders, ["a red b red c", "(red b red), d e f g"], CPU)
    torch.testing.assert_close(states, expected)  # the second is cut


def test_a_step_is_the_published_one() -> None:
    """Against it written out: the vector in the embedding table, add_noise, UNet, mse, AdamW."""
    model, clip = tiny_model(), tiny_clip()
    result = trained(steps=1)
    task = DenoisingTask(model, DATA, RECIPE, CPU, clip=clip, vae=None)
    numbers = make_order(DATA, 4, 1).indices(0)
    examples = DATA.examples(numbers, task.fields)
    assert examples.latents is not None
    random = StepRandom(1, 0)
    timesteps, noise = random.integers(1000, 4), random.normal(*examples.latents.shape)
    network, unet = clip.encoders[0].network, model.network
    weight: Any = network.get_input_embeddings().weight  # type: ignore[operator]  # transformers' own
    unused = WORDS.index("z</w>")  # stands for the word: no caption has it
    with torch.no_grad():
        weight[unused] = weight[WORDS.index("red</w>")]
    weight.requires_grad_(True)
    optimizer = torch.optim.AdamW([weight], lr=1e-2, weight_decay=0.01)
    captions = [caption.replace("<it>", "z") for caption in examples.captions or ()]
    tokenizer: Any = clip.encoders[0].tokenizer  # Any: untyped calls
    ids = tokenizer(captions, padding="max_length", max_length=8, truncation=True, return_tensors="pt").input_ids
    noised = task._levels.noised(examples.latents, noise, timesteps)
    predicted = unet(noised, timesteps, encoder_hidden_states=network(ids).last_hidden_state).sample
    loss: Any = torch.nn.functional.mse_loss(predicted, noise)  # Any: torch leaves backward untyped
    loss.backward()
    gradient = weight.grad[unused].clone()
    weight.grad.zero_()
    weight.grad[unused] = gradient * min(1, 1 / float(gradient.norm()))
    optimizer.step()
    torch.testing.assert_close(vectors_of(result)[0][0], weight.detach()[unused], atol=1e-6, rtol=1e-5)


def test_the_clip_that_comes_out_understands_the_word_at_once(tmp_path: Path) -> None:
    result = trained()
    assert result.clip
    vector = vectors_of(result)[0]
    known = replace(tiny_clip(), words=(LearnedVectors("other", (vector,)),))
    find = {"it": {0: vector}}.__getitem__  # as a file would be found
    expected = conditioning.encode(tiny_clip(), "a embedding:it b", find_learned=find).parts[0]
    for clip, text in (
        (result.clip, "a <it> b"),
        (result.clip, "a embedding:<it> b"),
        (result.clip, "a embedding:it b"),
        (known, "a other b"),
    ):
        assert torch.equal(conditioning.encode(clip, text).parts[0].embedding, expected.embedding)
    heavier = conditioning.encode(result.clip, "a (<it>:1.5) b").parts[0].embedding
    assert not torch.allclose(heavier, expected.embedding)


@pytest.mark.parametrize("text", ["<it>", "a <it>, b", "my <it>'s", "(<it>)"])
def test_a_word_is_found_wherever_it_stands_alone(text: str) -> None:
    assert has_word(text, "<it>")
    assert not has_word(text.replace("<it>", "a<it>"), "<it>")
    assert not has_word("it unit its", "ni")


@pytest.mark.parametrize(
    "change",
    [pytest.param({}, id="plain", marks=pytest.mark.slow), pytest.param({"ema_decay": 0.5}, id="averaged")],
)
def test_a_stopped_training_of_a_word_goes_on_bit_for_bit(change: dict[str, Any], tmp_path: Path) -> None:
    recipe = replace(RECIPE, **change)
    whole = vectors_of(trained(recipe, steps=4))
    trained(recipe, steps=2, folder=tmp_path)
    assert torch.equal(vectors_of(trained(recipe, steps=4, folder=tmp_path))[0], whole[0])
    assert not torch.equal(vectors_of(trained(recipe, steps=2))[0], whole[0])


def test_accumulated_batches_are_one_large_one() -> None:
    data = Captioned(fields=ONLY_LATENTS)  # whose captions are drawn
    word = replace(WORD, templates=("a {word}", "{word} b", "c d {word}"))
    whole = trained(replace(RECIPE, batch_size=8, word=word), data)
    parts = trained(replace(RECIPE, batch_size=2, accumulate=4, word=word), data)
    torch.testing.assert_close(vectors_of(whole)[0], vectors_of(parts)[0], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "tolerance"),
    [
        pytest.param({"gradient_checkpointing": True}, 1e-6, id="sparing"),
        pytest.param({"precision": "bfloat16"}, 1e-3, id="half precision", marks=pytest.mark.slow),
    ],
)
def test_gradients_reach_the_word_through_frozen_networks(change: dict[str, Any], tolerance: float) -> None:
    recipe = replace(RECIPE, optimizer="sgd", learning_rate=0.1)
    (plain,), (changed,) = vectors_of(trained(recipe)), vectors_of(trained(replace(recipe, **change)))
    torch.testing.assert_close(changed, plain, atol=tolerance, rtol=0)
    assert not torch.equal(changed[0], table(tiny_clip())[WORDS.index("red</w>")])


@pytest.mark.slow
def test_a_word_is_tried_and_measured_as_all_that_is_trained() -> None:
    training = train(tiny_model(), DATA, RECIPE, steps=2, seed=1, clip=tiny_clip(), held_out=DATA, look_every=1)
    results, _ = finish(training)
    assert len({result.held_out_loss for result in results}) == 2
    trial = try_training(tiny_model(), DATA, RECIPE, steps=10, seed=1, clip=tiny_clip(), trial_steps=1)
    assert trial.seconds == 10 * trial.seconds_per_step > 0


def test_pictures_without_captions_take_templates() -> None:
    word = replace(WORD, templates=("a {word}", "{word} b"))
    task = DenoisingTask(tiny_model(), DATA, replace(RECIPE, word=word), CPU, clip=tiny_clip(), vae=None)
    assert task._word
    given = task._word.captions(["", "c"] * 20, StepRandom(0, 0))
    assert set(given[::2]) == {"a <it>", "<it> b"}
    assert set(given[1::2]) == {"c"}
    assert (
        "captions"
        not in DenoisingTask(
            tiny_model(), Captioned(fields=ONLY_LATENTS), RECIPE, CPU, clip=tiny_clip(), vae=None
        ).fields
    )
    trained(data=Captioned(told=("", "a b")), steps=1)


def test_a_batch_without_the_word_teaches_nothing() -> None:
    data = Captioned(told=("a <it>", "b", "b", "b", "b", "b", "b", "b"))
    results, _ = finish(train(tiny_model(), data, replace(RECIPE, batch_size=1), steps=8, seed=1, clip=tiny_clip()))
    assert sorted(result.grad_norm > 0 for result in results) == [False] * 7 + [True]


def test_length_is_kept_if_wanted() -> None:
    recipe = replace(RECIPE, learning_rate=0.5, word=replace(WORD, keep_length=True, initial=("red", "b"), vectors=2))
    (vectors,) = vectors_of(trained(recipe))
    starts = table(tiny_clip())[[WORDS.index("red</w>"), WORDS.index("b</w>")]]
    torch.testing.assert_close(vectors.norm(dim=1), starts.norm(dim=1))
    assert not torch.allclose(vectors, starts, atol=1e-3)


def test_a_word_is_learnt_beside_a_lora_at_a_rate_of_its_own() -> None:
    recipe = replace(RECIPE, lora=LoraRecipe(rank=2), learning_rate=1e-3, text_encoder_rate=0.1, optimizer="adam")
    result = trained(replace(recipe, train_text_encoder=True), steps=1)
    assert result.lora
    assert result.clip
    assert {"denoiser", "text_encoder"} == set(result.lora.layers)
    assert torch.equal(result.clip.words[0].vectors[0], vectors_of(result)[0])
    moved = vectors_of(result)[0][0] - table(tiny_clip())[WORDS.index("red</w>")]
    torch.testing.assert_close(moved.abs(), torch.full_like(moved, 0.1), atol=2e-3, rtol=0)  # Adam's first step
    alone = trained(recipe, steps=1)
    assert alone.lora
    assert {"denoiser"} == set(alone.lora.layers)
    assert any(roles["up"].abs().max() > 0 for roles in alone.lora.layers["denoiser"].values())


def test_a_second_word_is_learnt_by_the_clip_that_knows_the_first() -> None:
    first = trained()
    data = Captioned(told=("a <it> zz", "zz b"))
    second = trained(replace(RECIPE, word=replace(WORD, placeholder="zz")), data, clip=first.clip)
    assert second.clip
    assert [word.placeholder for word in second.clip.words] == ["<it>", "zz"]
    assert torch.equal(second.clip.words[0].vectors[0], vectors_of(first)[0])
    other = replace(tiny_clip(), words=(LearnedVectors("<it>", (torch.ones(1, 16),)),))
    apart = trained(replace(RECIPE, word=replace(WORD, placeholder="zz")), data, clip=other)
    assert not torch.equal(vectors_of(second)[0], vectors_of(apart)[0])


@pytest.mark.parametrize("layout", ["web interfaces", pytest.param("diffusers", marks=pytest.mark.slow)])
def test_a_saved_word_reads_alike_in_diffusers_pipeline_and_from_prompts(
    layout: EmbeddingLayout, tmp_path: Path
) -> None:
    from diffusers import StableDiffusionPipeline

    recipe = replace(RECIPE, word=replace(WORD, vectors=2))
    result = trained(recipe)
    assert result.word
    path = tmp_path / "it.safetensors"
    write_embedding(path, result.word, layout=layout, workflow='{"a": 1}')
    checkpoints.save(tmp_path / "tiny", model=tiny_model(), clip=tiny_clip(), vae=tiny_vae())
    pipeline: Any = StableDiffusionPipeline.from_pretrained(
        tmp_path / "tiny", local_files_only=True, requires_safety_checker=False
    )
    pipeline.load_textual_inversion(str(path), **({} if layout == "diffusers" else {"token": "<it>"}))
    theirs, _ = pipeline.encode_prompt("a <it> b", "cpu", 1, do_classifier_free_guidance=False)

    find = {"it": read_vectors(path, tiny_clip())}.__getitem__
    ours = conditioning.encode(tiny_clip(), "a embedding:it b", find_learned=find).parts[0].embedding
    torch.testing.assert_close(ours, theirs)
    assert not torch.allclose(ours, conditioning.encode(tiny_clip(), "a red red b").parts[0].embedding, atol=1e-4)
    with safe_open(path, "pt") as file:
        header = file.metadata()
    told = json.loads(header["graphengine_training"])
    assert (told["word placeholder"], told["steps"], told["dataset"], told["base model"]) == (
        "<it>",
        "2",
        "blocks",
        "tiny",
    )
    assert (header["modelspec.trigger_phrase"], header["workflow"]) == ("<it>", '{"a": 1}')
    assert [each.name for each in tmp_path.iterdir() if each.suffix != ""] == ["it.safetensors"]


def test_a_word_for_sdxl_has_vectors_for_both_encoders(tmp_path: Path) -> None:
    clip = tiny_sdxl_clip()
    data = Captioned(told=("red <it>", "<it> a"))
    recipe = replace(RECIPE, batch_size=2)
    _, result = finish(train(sdxl_model(), data, recipe, steps=1, seed=1, clip=clip))
    assert result.word
    assert [each.shape for each in result.word.vectors] == [(1, 16), (1, 24)]
    starts = [table(clip, number)[WORDS.index("red</w>")] for number in (0, 1)]
    assert not any(torch.equal(learnt[0], start) for learnt, start in zip(result.word.vectors, starts, strict=True))

    write_embedding(tmp_path / "it.safetensors", result.word, layout="diffusers")
    read = read_vectors(tmp_path / "it.safetensors", clip)
    assert all(torch.equal(read[number], learnt) for number, learnt in enumerate(result.word.vectors))
    with safe_open(tmp_path / "it.safetensors", "pt") as file:
        assert sorted(file.keys()) == ["clip_g", "clip_l"]
        assert file.metadata()["modelspec.architecture"] == "stable-diffusion-xl-v1-base/textual-inversion"


def test_words_for_stable_diffusion_3_are_read_by_clip_alone(tmp_path: Path) -> None:
    clip, model = tiny_flow_clip(), tiny_flow_model()
    clip.encoders[2].tokenizer.model_max_length = 12  # of T5, which would be given 256
    data = Captioned(length=None, told=("a red <it>", "<it> a"))
    recipe = replace(RECIPE, batch_size=2, word=replace(WORD, initial=("a",)))
    _, result = finish(train(model, data, recipe, steps=1, seed=1, clip=clip))
    assert result.word
    assert result.clip
    assert [len(each) for each in result.word.vectors] == [1, 1, 0]
    assert not torch.equal(result.word.vectors[1][0], table(clip, 1)[clip.encoders[1].tokenizer("a").input_ids[1]])
    states, pooled = read_captions(result.clip, [each.network for each in clip.encoders], ["a red <it>"], CPU)
    (part,) = conditioning.encode(result.clip, "a red <it>").parts
    torch.testing.assert_close(states, part.embedding)
    torch.testing.assert_close(pooled, part.pooled)
    write_embedding(tmp_path / "it.safetensors", result.word, layout="web interfaces")
    read = read_vectors(tmp_path / "it.safetensors", clip)
    assert all(torch.equal(read[number], learnt) for number, learnt in enumerate(result.word.vectors))


def test_cached_captions_are_those_of_the_words_that_a_clip_was_taught(tmp_path: Path) -> None:
    store = TensorStore(tmp_path, 2**20)
    caches = [
        CachedCaptions(DATA, replace(tiny_clip(), words=words), store)
        for words in ((), (LearnedVectors("<it>", (torch.ones(1, 16),)),))
    ]
    states = [cache.examples([0], ["embeddings"]).embeddings for cache in caches]
    assert states[0] is not None
    assert states[1] is not None
    assert not torch.equal(states[0], states[1])
    assert caches[0].digest != caches[1].digest


@pytest.mark.parametrize(
    ("word", "captions", "match"),
    [
        ({"initial": ("qq",)}, DATA.told, r"initial word 'qq' is 2 tokens of the text encoder \('q', 'q'\)"),
        ({"initial": ("1",)}, DATA.told, "doesn't know the initial word '1'"),
        ({"initial": ()}, DATA.told, "no initial word is given"),
        ({"initial": ("a", "b")}, DATA.told, "2 initial words for 1 vectors are too many"),
        ({"placeholder": ""}, DATA.told, "it has no placeholder"),
        ({"placeholder": "red"}, ("red",), "'red' is a word that the text encoder knows"),
        ({"vectors": 0}, DATA.told, "0 vectors: a text encoder reads 1 to 6"),
        ({"vectors": 7}, DATA.told, "7 vectors: a text encoder reads 1 to 6"),
        ({}, ("a b", "<its>"), r"no caption has '<it>' in it \(the first is 'a b'\)(?s:.*)CaptionRules"),
    ],
    ids=["several tokens", "unknown", "none", "too many", "empty", "known", "0", "7", "no caption"],
)
def test_words_that_can_not_be_learnt_are_refused(
    word: dict[str, Any], captions: tuple[str, ...], match: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=match):
        trained(replace(RECIPE, word=replace(WORD, **word)), Captioned(told=captions), folder=tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_all_that_is_wrong_with_a_word_is_told_at_once() -> None:
    recipe = replace(RECIPE, train_text_encoder=True, word=replace(WORD, initial=("1", "qq"), vectors=9))
    known = replace(tiny_clip(), words=(LearnedVectors("<it>", (torch.ones(1, 16),)),))
    with pytest.raises(InputError) as caught:
        trained(recipe, Captioned(told=("a",)), clip=known)
    for part in ("train_text_encoder", "taught to this clip before", "'1'", "'qq'", "9 vectors", "no caption"):
        assert part in str(caught.value)
    assert str(caught.value).count("\n  - ") == 6


def test_what_reads_no_prompts_learns_no_words() -> None:
    with pytest.raises(InputError, match="this model reads no text"):
        next(train(pixel_model(), Blocks(), RECIPE, steps=1, seed=0))
    for subject in (tiny_vae(), pixel_model("mixing")):
        with pytest.raises(InputError, match="trains a word"):
            next(train(subject, Blocks(), RECIPE, steps=1, seed=0))  # type: ignore[type-var]  # of two kinds
