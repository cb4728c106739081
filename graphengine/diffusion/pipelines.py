"""Open diffusers' pipelines and run them: any of them, as they are.

A pipeline is put together here from its parts instead of by ``DiffusionPipeline.from_pretrained``, which looks for more
on the hub where a folder's README names it, and runs what code a folder brings.
"""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn

from graphengine.config import Precision
from graphengine.diffusion.pipeline_folders import Part, PipelineFolder, look_at, weights_stem
from graphengine.diffusion.pipeline_sources import PipelineSource, read_pipeline
from graphengine.diffusion.pipeline_values import Seeds, arguments_of, outputs_of
from graphengine.diffusion.pretrained import open_network, quiet_libraries
from graphengine.errors import ModelFileError

if TYPE_CHECKING:
    from graphengine.authoring.context import Context

__all__ = ["OpenedPipeline", "load", "run"]


@dataclass(frozen=True)
class OpenedPipeline:
    """A pipeline with its networks, in eval mode, on the CPU until they are used.

    Attributes:
        networks: All of them.
        pipeline: The diffusers ``DiffusionPipeline``; a run works on a copy that shares the networks.
        source: Where it came from, in the user's words.
    """

    networks: tuple[nn.Module, ...]
    pipeline: Any  # Any: a diffusers pipeline, untyped
    source: str = ""


def load(folder: Path, *, precision: Precision = "auto", device: torch.device | str = "cpu") -> OpenedPipeline:
    """Open a pipeline from its folder; nothing is fetched, and no code in it is run.

    Raises:
        ModelFileError: if it can't be used.
    """
    found = look_at(folder)
    parts = {part.name: _open(part, precision, device) for part in found.parts}
    networks = tuple(part for part in parts.values() if isinstance(part, nn.Module))
    with quiet_libraries():
        pipeline = _assembled(found, parts)
    return OpenedPipeline(networks, pipeline, folder.name)


def _open(part: Part, precision: Precision, device: torch.device | str) -> Any:  # Any: a part of any class
    kind = _class_of(part)
    if part.is_network:
        return open_network(kind, part.folder, weights_stem(part), precision=precision, device=device)
    own_code = {"trust_remote_code": False} if part.class_name.startswith("Auto") else {}
    try:
        with quiet_libraries():
            return kind.from_pretrained(part.folder, local_files_only=True, **own_code)
    except Exception as error:  # tokenizers, written in Rust, raises bare Exception for a damaged file
        raise ModelFileError(f"{part.folder}: can't be opened: {error}\n  Copy the pipeline again.") from error


def _class_of(part: Part) -> Any:  # Any: a class of diffusers or transformers, untyped
    places = [part.library]
    if part.library not in ("diffusers", "transformers"):
        places = [f"diffusers.pipelines.{part.library}", f"diffusers.pipelines.deprecated.{part.library}"]
    for place in places:
        try:
            kind = getattr(importlib.import_module(place), part.class_name, None)
        except ImportError:
            continue
        if isinstance(kind, type) and hasattr(kind, "from_pretrained"):
            return kind
    raise ModelFileError(
        f"{part.folder}: {part.library} has no {part.class_name!r}\n"
        "  It may be made for another version of the library, or need a package that isn't installed."
    )


def _assembled(found: PipelineFolder, parts: dict[str, Any]) -> Any:  # Any: parts and a pipeline, untyped
    kind = getattr(importlib.import_module(_source_of(found.class_name).module), found.class_name)
    parameters = inspect.signature(kind.__init__).parameters
    given = {name: value for name, value in {**found.settings, **parts}.items() if name in parameters}
    absent = {name: None for name, each in parameters.items() if each.default is each.empty and name != "self"}
    try:
        return kind(**{**absent, **given})
    except (ValueError, TypeError, AttributeError, ImportError) as error:
        raise ModelFileError(
            f"{found.folder}: {found.class_name} can't be put together: {error}\n"
            "  Its parts may come from different pipelines; download or copy it again."
        ) from error


def _source_of(class_name: str) -> PipelineSource:
    source = read_pipeline(class_name)
    assert source is not None, "a folder of an unknown class was refused"
    return source


def run(ctx: Context, opened: OpenedPipeline, *, seed: int, given: dict[str, Any]) -> dict[str, Any]:
    """Run a pipeline.

    Args:
        seed: Item i of what is made at once is drawn from ``seed + i`` modulo 2^64.
        given: The node's inputs by name, as sockets carry them; None for what is left to the pipeline.

    Returns:
        The node's outputs by name, without those that the pipeline gave nothing for.
    """
    source = _source_of(type(opened.pipeline).__name__)
    with ctx.loaded(opened):
        pipeline = _watched(opened.pipeline, ctx)
        arguments = arguments_of(pipeline, source, given, Seeds(seed, ctx.generator))
        if any(each.name == "callback_on_step_end" for each in source.parameters):
            arguments["callback_on_step_end"] = _stop_when_asked(ctx)
        returned = pipeline(**arguments)
    censored = getattr(returned, "nsfw_content_detected", None) or ()
    if any(censored):
        ctx.warn(f"the pipeline's safety checker blacked {sum(map(bool, censored))} of {len(censored)} pictures out.")
    return outputs_of(pipeline, source, returned, given)


def _stop_when_asked(ctx: Context) -> Any:  # Any: a callback of diffusers', which takes and gives anything
    def at_step_end(
        pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]
    ) -> dict[str, Any]:  # Any: as above
        ctx.check_cancelled()
        return {}

    return at_step_end


def _watched(pipeline: Any, ctx: Context) -> Any:  # Any: a diffusers pipeline
    """Copy a pipeline for one run: its progress is the node's, its schedulers' state its own, its networks shared."""
    watched = copy.copy(pipeline)
    for name, part in list(vars(pipeline).items()):
        if hasattr(part, "set_timesteps") and hasattr(part, "config"):
            watched.register_modules(**{name: copy.deepcopy(part)})
        elif hasattr(part, "progress_bar") and hasattr(part, "components"):  # one that is made of several
            setattr(watched, name, _watched(part, ctx))
    watched.progress_bar = lambda iterable=None, total=None: _Bar(ctx, iterable, total)
    return watched


class _Bar:
    """Stands for the progress bar that a pipeline draws: what it tells goes to the run."""

    def __init__(self, ctx: Context, items: Iterable[Any] | None, total: int | None) -> None:  # Any: timesteps
        self._ctx = ctx
        self._items = list(items) if items is not None else []
        self._total = total or len(self._items)
        self.n = 0

    def __iter__(self) -> Iterator[Any]:  # Any: timesteps
        for item in self._items:
            yield item
            self.update()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        pass

    def update(self, n: int = 1) -> None:
        """Tell of steps that are done."""
        self.n += n
        self._ctx.report_progress(self.n, max(self._total, self.n))

    def __getattr__(self, name: str) -> Any:  # Any: set_description, set_postfix and the like: nobody sees them here
        return lambda *args, **kwargs: None
