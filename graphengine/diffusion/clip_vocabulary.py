"""CLIP's tokenizer: the vocabulary that all Stable Diffusion text encoders were trained with.

The vocabulary follows from its 48,894 merges: a letter for each byte, the same letters ending a word, what each merge
makes, and two marks. The merges were published with CLIP (github.com/openai/CLIP, MIT licence).
"""

from __future__ import annotations

import gzip
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
    text = gzip.decompress((CONFIGS / "clip_merges.txt.gz").read_bytes()).decode()
    merges: Any = [tuple(line.split(" ")) for line in text.splitlines()]  # Any: declared as texts; pairs are taken
    letters = _letters()
    words = [*letters, *(f"{letter}</w>" for letter in letters), *(first + second for first, second in merges)]
    vocabulary = {word: number for number, word in enumerate([*words, START, END])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=LENGTH, pad_token=pad_token)


def _letters() -> list[str]:
    """Give the letter that stands for each byte: printable ones themselves, the others from 256 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = 256 - len(printable)
    return [chr(number) for number in printable] + [chr(256 + number) for number in range(others)]
