"""Textual inversion: train the vectors that text encoders read where a word stands, and nothing else.

    caption with the word ──▶ tokens ──▶ embeddings, the vectors in the word's place ──▶ text encoder ──▶ denoiser
                                                     ▲ the only things that take gradients

Source: Gal et al. 2022, arXiv:2208.01618.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graphengine.diffusion.learned_words import has_word
from graphengine.diffusion.prompt_tokens import is_clip, room_for_words
from graphengine.diffusion.step_random import StepRandom
from graphengine.errors import InputError
from graphengine.training_types import Dataset, Recipe, WordRecipe
from graphengine.types import Clip, LearnedVectors, TextEncoder

__all__ = ["WordTraining", "WordVectors", "check_word"]

_AT_ONCE = 256
"""Captions that are looked at together; of an endless dataset the first so many."""


class WordVectors(nn.Module):
    """The vectors of a word for each text encoder, ``[n, D]``.

    Args:
        starts: What they begin as.
        keep_length: Learn directions only.
    """

    def __init__(self, starts: Sequence[Tensor], *, keep_length: bool) -> None:
        super().__init__()
        self._keep_length = keep_length
        for number, start in enumerate(starts):
            self.register_parameter(f"encoder_{number + 1}", nn.Parameter(start, requires_grad=start.numel() > 0))
            self.register_buffer(f"length_{number + 1}", start.norm(dim=1, keepdim=True), persistent=False)
        self._count = len(starts)

    def forward(self) -> tuple[Tensor, ...]:
        return tuple(self._vectors(number) for number in range(1, self._count + 1))

    def _vectors(self, number: int) -> Tensor:
        vectors: Tensor = self.get_parameter(f"encoder_{number}")
        if not self._keep_length:
            return vectors
        directions: Tensor = vectors / vectors.norm(dim=1, keepdim=True)
        return directions * self.get_buffer(f"length_{number}")


class WordTraining:
    """One word in training.

    Attributes:
        vectors: What is trained.
    """

    def __init__(self, recipe: WordRecipe, clip: Clip, device: torch.device) -> None:
        self._recipe = recipe
        starts = [_start(encoder, recipe) for encoder in clip.encoders]
        self.vectors = WordVectors(starts, keep_length=recipe.keep_length).to(device)

    def captions(self, given: Sequence[str], random: StepRandom) -> list[str]:
        """Give captions, with a template in the place of each that is missing."""
        if all(given):
            return list(given)
        templates = self._recipe.templates
        draws = random.uniform(len(given)).tolist()
        chosen = (templates[int(draw * len(templates))] for draw in draws)
        return [
            caption or template.replace("{word}", self._recipe.placeholder)
            for caption, template in zip(given, chosen, strict=True)
        ]

    def nothing(self) -> Tensor:
        """Give a loss of 0 that keeps the vectors in the sum: a batch may have no caption with the word."""
        return torch.stack([0 * vectors.sum() for vectors in self.vectors()]).sum()

    def now(self) -> LearnedVectors:
        """Give the word as it is in training; gradients flow to its vectors."""
        return LearnedVectors(self._recipe.placeholder, self.vectors())

    def result(self, training: Mapping[str, str]) -> LearnedVectors:
        """Give the word for good.

        Args:
            training: What decided it.
        """
        with torch.no_grad():
            vectors = tuple(each.detach().to("cpu", copy=True) for each in self.vectors())
        return LearnedVectors(self._recipe.placeholder, vectors, training)


def check_word(recipe: Recipe, clip: Clip, dataset: Dataset) -> None:
    """Refuse a word that can't be trained.

    Raises:
        InputError: with all that is wrong.
    """
    word = recipe.word
    if word is None:
        return
    problems = [*_clashes(recipe), *_bad_choices(word, clip), *_bad_captions(word, dataset)]
    if problems:
        lines = "".join(f"\n  - {problem}" for problem in dict.fromkeys(problems))
        raise InputError("recipe", f"its word can't be trained:{lines}", "Correct WordRecipe, or what is named above.")


def _clashes(recipe: Recipe) -> Iterator[str]:
    if recipe.train_text_encoder and recipe.lora is None:
        yield "train_text_encoder is on as well: turn it off, or link a LoraRecipe, beside which a word can be trained."
    if recipe.train_text_encoder and recipe.lora and recipe.compile:
        yield "a text encoder that is trained beside a word can't be compiled: turn compile off."


def _bad_choices(word: WordRecipe, clip: Clip) -> Iterator[str]:
    if not word.placeholder:
        yield "it has no placeholder."
        return
    if any(word.placeholder == other.placeholder for other in clip.words):
        yield f"{word.placeholder!r} was taught to this clip before: choose another placeholder."
    if not word.initial:
        yield "no initial word is given: name one that says roughly what the word will mean."
    if len(word.initial) > word.vectors:
        yield f"{len(word.initial)} initial words for {word.vectors} vectors are too many: name fewer of them."
    for encoder in filter(is_clip, clip.encoders):
        if not 1 <= word.vectors <= room_for_words(encoder):
            yield f"{word.vectors} vectors: a text encoder reads 1 to {room_for_words(encoder)} at once."
        if len(_ids(encoder, word.placeholder)) == 1:
            yield f"{word.placeholder!r} is a word that the text encoder knows: choose another, such as '<my-thing>'."
        for initial in word.initial:
            yield from _bad_initial(encoder, initial)


def _bad_initial(encoder: TextEncoder, initial: str) -> Iterator[str]:
    tokenizer: Any = encoder.tokenizer  # Any: transformers' tokenizers are untyped here
    ids = _ids(encoder, initial)
    if not ids or tokenizer.unk_token_id in ids:
        yield f"the text encoder doesn't know the initial word {initial!r}: name another."
    elif len(ids) > 1:
        parts = ", ".join(repr(token.removesuffix("</w>")) for token in tokenizer.convert_ids_to_tokens(ids))
        yield f"the initial word {initial!r} is {len(ids)} tokens of the text encoder ({parts}): name one that is one."


def _bad_captions(word: WordRecipe, dataset: Dataset) -> Iterator[str]:
    """Look for a caption with the word, or an empty one, which a template takes the place of."""
    if "captions" not in dataset.fields or not word.placeholder:
        return
    length = _AT_ONCE if dataset.length is None else dataset.length
    first = ""
    for start in range(0, length, _AT_ONCE):
        captions = dataset.examples(range(start, min(start + _AT_ONCE, length)), ["captions"]).captions or ()
        if any(not caption or has_word(caption, word.placeholder) for caption in captions):
            return
        first = first or next(iter(captions), "")
    yield (
        f"no caption has {word.placeholder!r} in it (the first is {first!r}): "
        "write it into them, or let CaptionRules put it before them as their prefix."
    )


def _start(encoder: TextEncoder, word: WordRecipe) -> Tensor:
    """Give the vectors to begin with, float32 ``[n, D]``."""
    network: Any = encoder.network  # Any: nn.Module doesn't say what transformers' have
    table: Tensor = network.get_input_embeddings().weight
    if not is_clip(encoder):
        return torch.zeros(0, table.shape[1])
    initial = [_ids(encoder, each)[0] for each in word.initial]
    chosen = [initial[number % len(initial)] for number in range(word.vectors)]
    return table[chosen].detach().to("cpu", torch.float32, copy=True)


def _ids(encoder: TextEncoder, text: str) -> list[int]:
    tokenizer: Any = encoder.tokenizer  # Any: as above
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids
