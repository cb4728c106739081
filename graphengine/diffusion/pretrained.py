"""Open networks and tokenizers as diffusers and transformers save them, quietly, and held to every weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors import SafetensorError
from torch import nn
from transformers import AutoTokenizer, CLIPTokenizer

from graphengine.config import Precision
from graphengine.diffusion.checkpoint_writing import WEIGHTS_STEM
from graphengine.diffusion.model_files import find_weights, read_header
from graphengine.diffusion.precision import STORED, pipeline_dtype, weights_dtype
from graphengine.diffusion.sharing import Share, network_key, unshared
from graphengine.errors import ModelFileError
from graphengine.types import Family


class Opener:
    """Opens networks with their libraries, in the wanted format."""

    def __init__(self, precision: Precision, device: torch.device | str, share: Share = unshared) -> None:
        self._precision, self._device, self._share = precision, device, share

    def diffusers(
        self, kind: Any, part: Path, family: Family | None, *, is_vae: bool = False
    ) -> nn.Module:  # Any: class
        stored, variant = _stored(part, WEIGHTS_STEM)
        dtype = weights_dtype(self._precision, self._device, family, stored, vae=is_vae)

        def opened() -> tuple[nn.Module, Mapping[str, Any]]:  # Any: diffusers' loading report
            network, report = kind.from_pretrained(
                part, variant=variant, torch_dtype=dtype, ignore_mismatched_sizes=True, output_loading_info=True,
                local_files_only=True, use_safetensors=True,
            )  # fmt: skip
            return network, report

        return self._share(network_key(part, dtype, kind.__name__), lambda: _open(part, opened))

    def transformers(self, kind: Any, part: Path, family: Family | None) -> nn.Module:  # Any: a class, untyped
        """Open a text encoder, as above."""
        stored, variant = _stored(part, "model")
        dtype = weights_dtype(self._precision, self._device, family, stored)

        def opened() -> tuple[nn.Module, Mapping[str, Any]]:  # Any: transformers' loading report
            loaded: Any = kind.from_pretrained(  # Any: with output_loading_info it is a pair, which isn't declared
                part, variant=variant, dtype=dtype, ignore_mismatched_sizes=True, output_loading_info=True,
                local_files_only=True, use_safetensors=True,
            )  # fmt: skip
            text_encoder, report = loaded
            return text_encoder, report

        return self._share(network_key(part, dtype, kind.__name__), lambda: _open(part, opened))


def open_network(
    kind: Any, part: Path, stem: str, *, precision: Precision, device: torch.device | str
) -> nn.Module:  # Any: a class of diffusers or transformers, untyped
    """Open a network of any class from its folder.

    Args:
        stem: The first word of its files' names.

    Raises:
        ModelFileError: if it is damaged, or lacks a weight.
    """
    stored, variant = _stored(part, stem)
    dtype = pipeline_dtype(precision, device, stored)
    named = {"torch_dtype" if stem == WEIGHTS_STEM else "dtype": dtype}

    def opened() -> tuple[nn.Module, Mapping[str, Any]]:  # Any: a loading report
        network, report = kind.from_pretrained(
            part, variant=variant, ignore_mismatched_sizes=True, output_loading_info=True, local_files_only=True,
            use_safetensors=True, **named,
        )  # fmt: skip
        lacking = {name: names for name, names in report.items() if name != "unexpected_keys"}
        return network, lacking  # files often hold what an older version of the class had

    return _open(part, opened)


def _stored(part: Path, stem: str) -> tuple[torch.dtype, str | None]:
    """Check a part's weights and tell in which format most of them are, and their variant."""
    files, variant = find_weights(part, stem)
    sizes: Counter[str] = Counter()
    for file in files:
        for entry in read_header(file).values():
            sizes[entry.dtype] += entry.end - entry.begin
    kinds = [STORED[name] for name, _size in sizes.most_common() if name in STORED]
    return (kinds[0] if kinds else torch.float32), variant


def _open(part: Path, opened: Callable[[], tuple[nn.Module, Mapping[str, Any]]]) -> nn.Module:  # Any: a loading report
    """Load a part, insist that every weight fitted, and freeze it."""
    try:
        with quiet_libraries():
            network, report = opened()
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, SafetensorError) as error:
        # Both libraries raise any of these when a configuration contradicts itself.
        raise ModelFileError(f"{part}: can't be opened: {error}\n  Copy the checkpoint again.") from error
    problems = {"missing_keys": "lack", "unexpected_keys": "have", "mismatched_keys": "have in other sizes"}
    for problem, what in problems.items():
        names = sorted(str(key[0] if isinstance(key, tuple) else key) for key in report.get(problem) or ())
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ModelFileError(
                f"{part}: wrong architecture: the weights {what} {names[0]!r}{more}, compared with config.json\n"
                "  Weights and configuration come from different models; copy the checkpoint again."
            )
    return network.eval().requires_grad_(False)


def load_tokenizer(folder: Path, kind: str) -> Any:  # Any: tokenizers' own methods are untyped
    """Open the tokenizer of a text encoder of a class.

    Raises:
        ModelFileError: if it is missing or damaged.
    """
    if not folder.is_dir():
        raise ModelFileError(f"{folder}: no such folder\n  Copy the checkpoint again, completely.")
    if not (folder / "tokenizer.json").exists():
        for name in ("spiece.model",) if kind == "T5EncoderModel" else ("vocab.json", "merges.txt"):
            if not (folder / name).exists():
                raise ModelFileError(f"{folder / name}: no such file\n  Copy the checkpoint again, completely.")
    try:
        if kind == "T5EncoderModel":
            tokenizer: Any = AutoTokenizer  # Any: its function isn't typed
            return tokenizer.from_pretrained(folder, local_files_only=True)
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # tokenizers, written in Rust, raises bare Exception for a damaged file
        raise ModelFileError(f"{folder}: can't be opened: {error}\n  Copy the checkpoint again.") from error


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep progress bars and reports of the libraries off the terminal: what matters is raised."""
    libraries: tuple[Any, Any] = (transformers.utils.logging, diffusers.utils.logging)  # Any: untyped functions
    before = [(library.get_verbosity(), library.is_progress_bar_enabled()) for library in libraries]
    for library in libraries:
        library.set_verbosity_error()
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library, (verbosity, bars) in zip(libraries, before, strict=True):
            library.set_verbosity(verbosity)
            if bars:
                library.enable_progress_bar()
