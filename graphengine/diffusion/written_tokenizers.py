"""Tokenizers inside a single file's metadata, for models whose vocabulary isn't CLIP's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer

from graphengine.diffusion.clip_vocabulary import clip_vocabulary
from graphengine.diffusion.model_files import damaged

Written = Mapping[str, Any]  # Any: JSON values


def written_tokenizer(tokenizer: Any) -> Written | None:  # Any: the base class doesn't declare a backend
    """Describe a tokenizer; None if it is CLIP's own."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    if vocabulary == clip_vocabulary()[0]:
        return None
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    words = sorted(model["vocab"], key=model["vocab"].__getitem__)
    length = tokenizer.model_max_length
    return {"words": words, "merges": merges, "length": length, "pad_token": tokenizer.pad_token}


def read_tokenizer(path: Path, written: Written) -> Any:  # Any: CLIPTokenizer's own methods are untyped
    """Make the tokenizer that a file describes.

    Raises:
        ModelFileError: if the description is damaged.
    """
    try:
        vocabulary = {str(word): number for number, word in enumerate(written["words"])}
        merges: Any = [
            tuple(merge.split(" ")) for merge in written["merges"]
        ]  # Any: declared as texts; pairs are taken
        length, pad_token = int(written["length"]), str(written["pad_token"])
        return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=length, pad_token=pad_token)
    except Exception as error:  # tokenizers, written in Rust, raises bare Exception for what doesn't fit
        raise damaged(path, f"its tokenizer can't be read ({error})") from error
