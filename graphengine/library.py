"""Workflows as Python functions, for programs that embed the engine. ::

from graphengine import Workflow

draw = Workflow.load("text_to_image.json")
picture = draw(prompt="a cat", seed=7).image
"""

from __future__ import annotations

import asyncio
import difflib
import inspect
import keyword
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from graphengine.core.workflow import DeclaredInput
from graphengine.core.workflow import Workflow as Document
from graphengine.errors import InvalidWorkflow
from graphengine.workflow_files import read_workflow

if TYPE_CHECKING:
    from graphengine.engine import Engine
    from graphengine.engine.context import RunServices

__all__ = ["Result", "Workflow", "default_engine", "run", "run_async"]

_TYPES: Mapping[str, type] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


@dataclass(frozen=True)
class Result:
    """What a workflow gave; declared outputs are attributes as well: ``result.image``.

    Attributes:
        outputs: The declared outputs by name; ``graphengine.Blocked`` for one that has no value this time.
        shown: Files that were written for the user, in order.
    """

    outputs: Mapping[str, Any]  # Any: socket values are each node's own
    shown: tuple[Path, ...] = ()

    def __getattr__(self, name: str) -> Any:  # Any: as in outputs
        if name == "outputs" or name.startswith("__"):  # asked for by what copies or shows it
            raise AttributeError(name)
        if name not in self.outputs:
            raise AttributeError(_unknown_output(name, self.outputs))
        return self.outputs[name]


class Workflow:
    """A workflow as a function of its declared inputs.

    ``inspect.signature`` shows them. An input of a node is given by its full name: ``draw(**{"sample.steps": 30})``.

    Args:
        document: What the file says.
        source: What messages call it.
        path: Its file. Names of files in the workflow are looked up beside it too.
        engine: Runs it; by default one that all workflows of the process share.
    """

    def __init__(
        self,
        document: Document,
        *,
        source: str = "workflow",
        path: Path | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.document = document
        self.source = source
        self.path = path
        self._engine = engine
        self.__signature__ = _signature(document)
        self.__doc__ = str(document.meta.get("description", ""))

    @classmethod
    def load(cls, file: str | PathLike[str], *, engine: Engine | None = None) -> Workflow:
        """Read a workflow file, a picture made by one, or a shipped workflow by name.

        Raises:
            OSError: the file can't be read.
            FileFormatError: it is no workflow.
            InvalidWorkflow: its fields are wrong.
        """
        document, path = read_workflow(fspath(file))
        return cls(document, source=fspath(file), path=path, engine=engine)

    def __repr__(self) -> str:
        return f"<Workflow {self.source!r} {self.__signature__}>"

    def __call__(self, *positional: object, **inputs: object) -> Result:
        """Run it with these inputs, the others at their defaults.

        Raises:
            InvalidWorkflow: an input has no such name or can't have this value, or the workflow is wrong otherwise.
            NodeFailed: a node raised.
        """
        if positional:
            self._refuse(positional)
        document = self._with(inputs)
        return self._run(document, self._services(document))

    async def run_async(self, *positional: object, **inputs: object) -> Result:
        """Run it on a thread beside the event loop; cancelling the task stops the run."""
        if positional:
            self._refuse(positional)
        document = self._with(inputs)
        services = self._services(document)
        running = asyncio.ensure_future(asyncio.to_thread(self._run, document, services))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            services.cancel.set()
            await asyncio.wait([running])  # its files are whole and its device is free before anything else begins
            running.exception()
            raise

    def _run(self, document: Document, services: RunServices) -> Result:
        run = self._chosen_engine().run(document, services=services, source=self.source, path=self.path)
        return Result(run.outputs, tuple(shown.path for shown in run.shown))

    def _with(self, inputs: Mapping[str, object]) -> Document:
        try:
            return self.document.with_settings(inputs)
        except InvalidWorkflow as error:
            raise InvalidWorkflow(error.problems, self.source) from None

    def _services(self, document: Document) -> RunServices:
        from graphengine.engine.context import RunServices

        settings = self._chosen_engine().settings
        if settings.beside and self.path is not None:
            settings = replace(settings, beside=(self.path.parent.absolute(), *settings.beside))
        return RunServices(settings, document)

    def _chosen_engine(self) -> Engine:
        return self._engine or default_engine()

    def _refuse(self, positional: tuple[object, ...]) -> NoReturn:
        known = ", ".join(f"{name}=…" for name in self.document.inputs) or "none"
        raise TypeError(
            f"{self.source} takes its inputs by name, and was given {positional[0]!r} without one. Its inputs: {known}."
        )


def run(file: str | PathLike[str], /, *, engine: Engine | None = None, **inputs: object) -> Result:
    """Run a workflow once: ``run("text_to_image.json", prompt="a cat").image``; see ``Workflow``."""
    return Workflow.load(file, engine=engine)(**inputs)


async def run_async(file: str | PathLike[str], /, *, engine: Engine | None = None, **inputs: object) -> Result:
    """Run a workflow once on a thread beside the event loop; see ``Workflow.run_async``."""
    return await Workflow.load(file, engine=engine).run_async(**inputs)


@lru_cache
def default_engine() -> Engine:
    """Give the engine that the workflows of this process share, made when the first of them runs."""
    from graphengine.engine import Engine

    return Engine.for_user(beside=[Path.cwd()])


def _signature(document: Document) -> inspect.Signature:
    """Show the declared inputs that can be written as keywords."""
    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=declared.default if declared.default is not None else inspect.Parameter.empty,
            annotation=_annotation(declared),
        )
        for name, declared in document.inputs.items()
        if name.isidentifier() and not keyword.iskeyword(name)
    ]
    return inspect.Signature(parameters, return_annotation=Result)


def _annotation(declared: DeclaredInput) -> object:
    return _TYPES.get(declared.type, declared.type)


def _unknown_output(name: str, outputs: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, outputs, n=1)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    return f"the workflow declares no output {name!r}. {guess}Its outputs: {', '.join(outputs) or 'none'}."
