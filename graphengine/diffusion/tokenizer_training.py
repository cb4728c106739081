"""Learn a tokenizer from captions, in CLIP's layout, so that transformers' CLIPTokenizer reads it.

The vocabulary is 256 bytes, the same 256 at the end of a word (``</w>``), one entry for each merge, and the two marks
``<|startoftext|>`` and ``<|endoftext|>``. Merges are learnt by byte-pair encoding: the most frequent pair of neighbours
becomes one symbol, again and again. Source: Sennrich et al. 2016, arXiv:1508.07909.

The ``tokenizers`` library splits the text; the merges are learnt here, since its trainer breaks ties in an order that
changes from process to process, and the same captions must give the same tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer

from graphengine.errors import InputError
from graphengine.training_types import Dataset, Tokenizer

_BYTES = 512
_MARKS = ("<|startoftext|>", "<|endoftext|>")
_SAMPLE = 20_000  # captions read from an endless dataset
Pair = tuple[str, str]


def train_tokenizer(
    dataset: Dataset, *, vocab_size: int = 1024, max_length: int = 32, min_frequency: int = 2
) -> Tokenizer:
    """Learn a tokenizer from a dataset's captions: all of a finite one's, the first 20,000 of an endless one's.

    Raises:
        InputError: if the dataset has no captions or the sizes are too small.
    """
    if "captions" not in dataset.fields:
        raise InputError("dataset", "it has no captions.", "Choose a dataset with captions.")
    count = _SAMPLE if dataset.length is None else dataset.length
    captions = dataset.examples(range(count), ["captions"]).captions or ()
    return tokenizer_from_captions(captions, vocab_size=vocab_size, max_length=max_length, min_frequency=min_frequency)


def tokenizer_from_captions(
    captions: Iterable[str], *, vocab_size: int, max_length: int, min_frequency: int = 2
) -> Tokenizer:
    """Learn a tokenizer from captions.

    Args:
        vocab_size: At most so many tokens, ≥ 514; fewer if no pair is frequent enough.
        max_length: Tokens of a prompt, both marks included, ≥ 3.
        min_frequency: A pair seen less often does not become a token, ≥ 1.
    """
    smallest = _BYTES + len(_MARKS)
    if vocab_size < smallest:
        raise InputError("vocab_size", f"{vocab_size} is too small.", f"Choose {smallest} or more.")
    if max_length < 3:
        raise InputError("max_length", f"{max_length} is too small.", "Choose 3 or more: two are for the marks.")
    merges = _learn_merges(_count_words(captions), vocab_size - smallest, min_frequency)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges), *_MARKS]
    make: Any = CLIPTokenizer  # Any: transformers leaves its constructor untyped
    tokenizer: Tokenizer = make(
        vocab={token: number for number, token in enumerate(tokens)}, merges=merges, model_max_length=max_length
    )
    return tokenizer


def _count_words(captions: Iterable[str]) -> Counter[tuple[str, ...]]:
    """Count words as CLIP's tokenizer splits them, each as its symbols; the last one carries ``</w>``."""
    make: Any = CLIPTokenizer  # Any: as above
    splitter = make().backend_tokenizer
    words: Counter[str] = Counter()
    for caption in captions:
        normal = splitter.normalizer.normalize_str(caption)
        words.update(word for word, _span in splitter.pre_tokenizer.pre_tokenize_str(normal))
    return Counter({(*word[:-1], f"{word[-1]}</w>"): count for word, count in words.items()})


def _learn_merges(words: Mapping[tuple[str, ...], int], limit: int, min_frequency: int) -> list[Pair]:
    """Give pairs in the order in which they are merged; of equally frequent ones, the first in the alphabet."""
    known: set[str] = set()
    merges: list[Pair] = []
    while len(merges) < limit:
        pairs: Counter[Pair] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                pairs[pair] += count
        # Two merges may spell one symbol ("ab" + "c", "a" + "bc"); a vocabulary lists it once, so the second must wait.
        candidates = {pair: count for pair, count in pairs.items() if "".join(pair) not in known}
        if not candidates:
            break
        best = min(candidates, key=lambda pair: (-candidates[pair], pair))
        if candidates[best] < min_frequency:
            break
        merges.append(best)
        known.add("".join(best))
        words = _merge(words, best)
    return merges


def _merge(words: Mapping[tuple[str, ...], int], pair: Pair) -> Counter[tuple[str, ...]]:
    merged: Counter[tuple[str, ...]] = Counter()
    for word, count in words.items():
        symbols: list[str] = []
        for symbol in word:
            if symbols and (symbols[-1], symbol) == pair:
                symbols[-1] += symbol
            else:
                symbols.append(symbol)
        merged[tuple(symbols)] += count
    return merged
