"""Runs jobs in a worker's process: an engine, and what supervisor and jobs need around it."""

from __future__ import annotations

import gc
import json
import mimetypes
import shutil
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic_core import PydanticSerializationError

from graphengine.authoring.live_packs import LivePacks
from graphengine.authoring.packs import find_packs
from graphengine.config import Settings
from graphengine.core.events import (
    Event,
    JobFinished,
    NodeFinished,
    NodePreview,
    NodeShowed,
    NodeStarted,
    WrittenEvent,
)
from graphengine.core.graph import check, misfits
from graphengine.core.misfits import Socket
from graphengine.core.own_sockets import find_sockets, refusal
from graphengine.core.registry import Registry
from graphengine.core.workflow import Workflow, parse_workflow
from graphengine.engine import Engine, RunResult
from graphengine.engine.context import RunServices
from graphengine.engine.explain import explain_plan
from graphengine.engine.probe import probe
from graphengine.engine.record import DeferredRecord
from graphengine.errors import Cancelled, FileFormatError, GraphEngineError, InputError, InvalidWorkflow, NodeFailed
from graphengine.workers.messages import Finished, Run, Watch, is_plain

__all__ = ["JobRunner"]

Emit = Callable[[str, int, WrittenEvent], None]

_LARGEST_VALUES = 64 * 1024  # bytes of JSON, of the declared outputs that are sent with a job's end
_LARGEST_TRACEBACK = 8000  # characters, from its end

_NUMBER = {"number"}  # is given by the supervisor
_NUMBER_AND_JPEG = {"number", "jpeg"}


class JobRunner:
    """An engine with its packs, and the job that runs.

    Args:
        packs: Kept current with their files.
        settings: Where things are; each job has its own output folder.
        emit: Told of each event: job, attempt, event.
    """

    def __init__(self, packs: LivePacks, settings: Settings, emit: Emit) -> None:
        self._packs = packs
        self._settings = settings
        self._emit = emit
        self._record = DeferredRecord(settings.record_file)
        self._engine = Engine(packs.registry, settings, self._record)
        self._turn = threading.Lock()
        self._current: tuple[str, int] | None = None
        self._cancelled: tuple[str, int] | None = None
        self._cancel = threading.Event()
        self._previews = False
        self._watch: Watch | None = None  # what was said last
        self._services: RunServices | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, Any], emit: Emit) -> JobRunner:  # Any: JSON
        """Load the packs and make an engine, as a supervisor's options say."""
        settings = Settings.for_user(
            data=Path(options["data"]),
            output=Path(options["output"]),
            device=options["device"],
            precision=options["precision"],
            device_bytes=options["device_bytes"],
        )
        given = [Path(each) for each in options["packs"]]
        return cls(LivePacks(lambda: find_packs(settings, given)), settings, emit)

    @property
    def registry(self) -> Registry:
        """The nodes that jobs may use now."""
        return self._packs.registry

    def rest(self) -> None:
        """Do what can wait until there is no job."""
        self._record.flush()

    def close(self) -> None:
        """Wait until results are on disk."""
        self.rest()
        self._engine.close()

    def run(self, run: Run) -> Finished:
        """Run a job and say how it ended; never raises."""
        self._begin(run)
        watch = _Watch(run, self._emit)
        state: Literal["done", "failed", "cancelled"] = "failed"
        error, values = None, {}
        try:
            values = _plain_values(self._run_with_care(run, watch).outputs)
            state = "done"
        except Cancelled:
            state = "cancelled"
        except BaseException as raised:  # a border: whatever it is costs this job only
            error = _described(raised)
        with self._turn:
            self._current = self._services = None
        if error is not None and error["code"] == "out_of_memory":
            self.free_memory()  # the next job needs it
        return Finished(run.job, run.attempt, state, error, watch.outputs(), values, watch.seconds, ())

    def cancel(self, job: str, attempt: int) -> None:
        """Stop an attempt that runs, or that comes next."""
        with self._turn:
            self._cancelled = (job, attempt)
            if self._current == self._cancelled:
                self._cancel.set()

    def watch(self, watch: Watch) -> None:
        """Make previews from now on, or no more, for an attempt that runs or comes next."""
        with self._turn:
            self._watch = watch
            if self._current == (watch.job, watch.attempt):
                self._previews = watch.previews
                if self._services is not None:
                    self._services.previews = watch.previews

    def _begin(self, run: Run) -> None:
        with self._turn:
            self._current = (run.job, run.attempt)
            self._cancel.clear()
            if self._cancelled == self._current:  # before the main thread came to it
                self._cancel.set()
            self._previews = run.previews
            if self._watch is not None and (self._watch.job, self._watch.attempt) == self._current:  # as above
                self._previews = self._watch.previews

    def _services_for(self, settings: Settings, workflow: Workflow) -> RunServices:
        with self._turn:
            self._services = RunServices(settings, workflow, cancel=self._cancel, previews=self._previews)
            return self._services

    def free_memory(self) -> None:
        """Forget cached values and unload models."""
        self._engine.forget()
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()

    def reload_packs(self) -> None:
        """Load packs again whose files changed."""
        if self._packs.refresh():
            self._engine.use(self._packs.registry)

    def answers(self) -> Mapping[str, Callable[[Any], Any]]:  # Any: JSON
        """Give what can be asked while a job runs."""
        return {
            "check": self._check,
            "misfits": self._misfits,
            "plan": self._plan,
            "probe": self._probe,
            "sockets": self._sockets,
            "memory": lambda about: self._engine.memory(),
            "saves": lambda about: self._saves(),
        }

    def _saves(self) -> bool:
        """Tell whether the job that runs saves its work when it is stopped, which takes its time."""
        with self._turn:
            return self._services is not None and self._services.saves_when_stopped > 0

    def _run_with_care(self, run: Run, watch: _Watch) -> RunResult:
        """Run a job; where the device is full, once more with everything else unloaded and in smaller parts."""
        try:
            return self._run_once(run, watch)
        except NodeFailed as error:
            if not _is_out_of_memory(error):
                raise
            message = f"{error.node!r} ran out of memory; models are unloaded and the job is run again, sparingly."
        self.free_memory()
        watch.warn(message)
        return self._run_once(run, watch, sparing=True)

    def _run_once(self, run: Run, watch: _Watch, *, sparing: bool = False) -> RunResult:
        workflow = parse_workflow(run.workflow, run.name or "workflow")
        output = Path(run.output)
        if output.exists():  # a retry's files take the place of an earlier attempt's
            shutil.rmtree(output)
        watch.begin(output)
        settings = replace(self._settings, output=output, sparing=sparing, devices=tuple(run.devices))
        services = self._services_for(settings, workflow)
        return self._engine.run(
            workflow, targets=run.targets, emit=watch.see, services=services, source=run.name or "workflow"
        )

    def _check(self, about: Mapping[str, Any]) -> list[dict[str, object]]:  # Any: JSON
        """Give all problems of a workflow, those included that only packs' own code finds."""
        registry = self.registry
        workflow: Workflow = parse_workflow(about["workflow"], about.get("source", "workflow"))
        problems = check(
            workflow, registry.definitions, self._settings, targets=about.get("targets"), function_of=registry.function
        )
        return [problem.as_json() for problem in problems]

    def _misfits(self, about: Mapping[str, Any]) -> list[dict[str, object]]:  # Any: JSON
        """Give the sockets that a wire from one wouldn't fit, with the problem that each would be."""
        registry = self.registry
        workflow = parse_workflow(about["workflow"], about.get("source", "workflow"))
        socket = Socket(about["node"], about["name"], about["side"])
        found = misfits(workflow, registry.definitions, self._settings, registry.function, socket)
        return [{"node": each.node, "name": each.name, "problem": each.problem.as_json()} for each in found]

    def _sockets(self, about: Mapping[str, Any]) -> dict[str, object]:  # Any: JSON
        """Give the sockets that a node of a kind has besides those of the kind, or why it has none."""
        registry = self.registry
        kind = registry.definitions.get(about["type"])
        if kind is None or not kind.sockets_from:
            return {}
        try:
            found = find_sockets(kind, about["inputs"], self._settings, registry.function(kind))
        except InputError as error:
            return {"problem": replace(refusal(error), node_type=kind.id, input=error.input).as_json()}
        return {} if found is None else {"sockets": found.model_dump(mode="json", exclude_defaults=True)}

    def _plan(self, about: Mapping[str, Any]) -> dict[str, object]:  # Any: JSON
        """Say what a run would do."""
        engine = copy(self._engine)
        engine.use(self.registry)  # with a planner of its own: the engine's may be planning the job that runs
        source = about.get("source", "workflow")
        workflow = parse_workflow(about["workflow"], source)
        return explain_plan(engine, workflow, targets=about.get("targets"), source=source).as_json()

    def _probe(self, about: Mapping[str, Any]) -> dict[str, object] | None:  # Any: JSON
        """Describe a value that is in memory; None if it isn't."""
        workflow = parse_workflow(about["workflow"], about.get("source", "workflow"))
        probed = probe(self._engine, workflow, about["node"], about["output"])
        return None if probed is None else probed.as_json()


class _Watch:
    """Sees a job's events: passes them on, and keeps what the end of the job tells."""

    def __init__(self, run: Run, emit: Emit) -> None:
        self.seconds: dict[str, float] = {}
        self._run = run
        self._emit = emit
        self._kinds: dict[str, str] = {}
        self._shown: dict[str, NodeShowed] = {}
        self._output = Path(run.output)

    def begin(self, output: Path) -> None:
        """Start over, for a run into an empty folder."""
        self._output = output
        self._shown.clear()
        self.seconds.clear()

    def see(self, event: Event) -> None:
        """Take in an event and pass it on."""
        match event:
            case NodeStarted():
                self._kinds[event.node] = event.node_type
            case NodeFinished():
                kind = self._kinds.get(event.node, "")
                self.seconds[kind] = self.seconds.get(kind, 0.0) + event.seconds
            case JobFinished():
                return  # the supervisor says so when it is on disk
            case NodeShowed():
                self._shown[event.path] = event
                event = event.model_copy(update={"path": self._name(Path(event.path))})
        self._emit(self._run.job, self._run.attempt, _written(event))

    def warn(self, message: str) -> None:
        """Tell the user something about the whole job."""
        text = json.dumps({"type": "job_warning", "message": message})
        self._emit(self._run.job, self._run.attempt, ("job_warning", "", text, None))

    def outputs(self) -> Sequence[dict[str, Any]]:  # Any: JSON
        """Describe the files that were shown, as ``JobOutput``."""
        found = []
        for shown in self._shown.values():
            path = Path(shown.path)
            media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            try:
                size, digest = (0, "") if path.is_dir() else (path.stat().st_size, _sha256(path))
            except OSError:  # a node removed it again
                continue
            found.append(
                {
                    "node": shown.node,
                    "path": self._name(path),
                    "asset": digest,
                    "size_bytes": size,
                    "media_type": "inode/directory" if path.is_dir() else media_type,
                    "temporary": shown.temporary,
                }
            )
        return found

    def _name(self, path: Path) -> str:
        """Name a file as users see it: below the job's folder."""
        return path.relative_to(self._output).as_posix() if path.is_relative_to(self._output) else path.name


def _written(event: Event) -> WrittenEvent:
    jpeg = event.jpeg if isinstance(event, NodePreview) else None
    left_out = _NUMBER if jpeg is None else _NUMBER_AND_JPEG
    try:
        text = event.model_dump_json(exclude=left_out)
    except PydanticSerializationError:  # the name of a file that is no Unicode; JSON can escape what UTF-8 can't hold
        text = json.dumps(event.model_dump(exclude=left_out))
    return getattr(event, "type", ""), getattr(event, "node", ""), text, jpeg


def _sha256(path: Path) -> str:
    from hashlib import file_digest

    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _plain_values(outputs: Mapping[str, Any]) -> dict[str, Any]:  # Any: socket values in, JSON out
    """Keep the declared outputs that are plain data, as far as they are not too long."""
    kept: dict[str, Any] = {}  # Any: JSON
    room = _LARGEST_VALUES
    for name, value in outputs.items():
        try:
            size = len(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError, RecursionError):  # a picture, a list of them, NaN, nested too deeply
            continue
        if size <= room and is_plain(value):
            kept[name] = value
            room -= size
    return kept


def _is_out_of_memory(error: BaseException) -> bool:
    cause = error.__cause__
    is_torchs = type(cause).__name__ == "OutOfMemoryError"  # which is not imported here
    is_known = isinstance(cause, MemoryError) or is_torchs
    return is_known or "out of memory" in str(cause).lower()


def _described(error: BaseException) -> dict[str, Any]:  # Any: JSON
    """Describe an error as ``JobError``."""
    if isinstance(error, InvalidWorkflow):
        problems = [problem.as_json() for problem in error.problems]
        return {"code": "invalid_workflow", "message": str(error), "extra": {"problems": problems}}
    if isinstance(error, NodeFailed):
        where = {"node": error.node, "node_type": error.node_type, "inputs": dict(error.inputs)}
        cause = "".join(traceback.format_exception(error.__cause__))[-_LARGEST_TRACEBACK:] if error.__cause__ else ""
        if _is_out_of_memory(error):
            remedy = "Lower the size or the batch, choose a smaller model, or end other programs on the device."
            return {"code": "out_of_memory", "message": error.message, "remedy": remedy, "extra": where}
        return {"code": "node_failed", "message": error.message, "extra": where | {"traceback": cause}}
    if isinstance(error, FileFormatError):
        return {"code": "bad_workflow", "message": str(error)}
    if isinstance(error, GraphEngineError):
        return {"code": "failed", "message": str(error)}
    traceback.print_exception(error)
    text = "".join(traceback.format_exception(error))[-_LARGEST_TRACEBACK:]
    return {"code": "engine_error", "message": f"{type(error).__name__}: {error}", "extra": {"traceback": text}}
