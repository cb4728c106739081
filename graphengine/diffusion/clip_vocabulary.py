"""CLIP's tokenizer: the vocabulary that all Stable Diffusion text encoders were trained with.

The vocabulary follows from its 48,894 merges: a letter for each byte, the same letters ending a word, what each merge
makes, and two marks. The merges were published with CLIP (github.com/openai/CLIP, MIT licence).
"""

from __future__ import annotations

import gzip
from functools import lru_cache
from typing import Any

from transformers import CLIPTokenizer

from graphengine.diffusion.families import CONFIGS

START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 77


def clip_tokenizer(pad_token: str = END) -> Any:  # Any: CLIPTokenizer's own methods are untyped
    """Make the tokenizer.

    Args:
        pad_token: Fills a prompt up: the end mark for OpenAI's encoder, ``!`` for OpenCLIP's.
    """
    vocabulary, merges = clip_vocabulary()
    pairs: Any = merges  # Any: declared as texts, but only pairs are taken
    return CLIPTokenizer(vocab=vocabulary, merges=pairs, model_max_length=LENGTH, pad_token=pad_token)


@lru_cache
def clip_vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Give the number of each of the 49,408 words, and the merges in their order; not to be changed.

    Each checkpoint has one tokenizer or two, and reading the vocabulary takes as long as making one from it.
    """
    text = gzip.decompress((CONFIGS / "clip_merges.txt.gz").read_bytes()).decode()
    merges = [(first, second) for first, second in (line.split(" ") for line in text.splitlines())]
    letters = _letters()
    words = [*letters, *(f"{letter}</w>" for letter in letters), *(first + second for first, second in merges)]
    return {word: number for number, word in enumerate([*words, START, END])}, merges


def _letters() -> list[str]:
    """Give the letter that stands for each byte: printable ones themselves, the others from 256 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = 256 - len(printable)
    return [chr(number) for number in printable] + [chr(256 + number) for number in range(others)]
