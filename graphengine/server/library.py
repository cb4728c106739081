"""Saved workflows, in a folder that a person may also look into, copy and edit.

    <folder>/portraits/anna 2.json                             the workflow "portraits/anna 2"
    <folder>/.history/portraits/anna 2/<saved>-<version>.json  what it said before
    <folder>/.trash/<deleted>/                                 a folder of this layout, for one deleted workflow

A version is a digest of the file's bytes, so an edit by another program makes one too. Files are written beside their
place and renamed, and a text is in the history before another takes its place: a crash loses neither.
"""

from __future__ import annotations

import builtins
import contextlib
import difflib
import errno
import logging
import os
import secrets
import shutil
import stat
import threading
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from graphengine.core.workflow import Workflow, parse_workflow
from graphengine.durable import sync_folder
from graphengine.errors import GraphEngineError

__all__ = [
    "BadName",
    "LibraryError",
    "Revision",
    "SavedWorkflow",
    "TrashedWorkflow",
    "UnknownWorkflow",
    "VersionConflict",
    "WorkflowLibrary",
]

logger = logging.getLogger(__name__)

_HISTORY, _TRASH = ".history", ".trash"
_KEPT_REVISIONS = 50
_LONGEST_NAME = 200
_LONGEST_PART = 240  # bytes; file systems take 255, with the ending
_STAMP = "%Y%m%dT%H%M%S.%fZ"  # sorts by time, and every disk can write it
_PORTS = {f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"}
_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | _PORTS  # to Windows, with any ending


class LibraryError(GraphEngineError):
    """A saved workflow can't be had or changed as asked; nothing was lost."""


class BadName(LibraryError):
    """A workflow can't have this name."""


class UnknownWorkflow(LibraryError):
    """There is no such workflow, revision or thing in the trash."""


class VersionConflict(LibraryError):
    """Something that the caller hasn't seen is in the way; nothing was written.

    Attributes:
        name: The workflow that is in the way.
        current: Its version on the disk; None if there is none, as after it was deleted.
    """

    def __init__(self, message: str, name: str, current: str | None) -> None:
        self.name = name
        self.current = current
        super().__init__(message, name, current)

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class SavedWorkflow:
    """What a list shows of a workflow; of one that can't be read, ``error`` says why.

    Attributes:
        modified: Seconds since 1970, as everywhere here.
        title: The field ``title`` or ``name`` of its ``meta``.
        inputs: The names of its declared inputs.
        shipped: It came with the package, and nobody saved one under its name.
    """

    name: str
    version: str
    modified: float
    size_bytes: int
    title: str = ""
    description: str = ""
    inputs: tuple[str, ...] = ()
    error: str | None = None
    shipped: bool = False

    @classmethod
    def of(
        cls, name: str, content: bytes, modified: float, workflow: Workflow, *, shipped: bool = False
    ) -> SavedWorkflow:
        """Describe a file by its bytes and the workflow in them."""
        meta = {key: value for key, value in workflow.meta.items() if isinstance(value, str)}
        return cls(
            name,
            _version(content),
            modified,
            len(content),
            title=meta.get("title") or meta.get("name", ""),
            description=meta.get("description", ""),
            inputs=tuple(workflow.inputs),
            shipped=shipped,
        )


@dataclass(frozen=True)
class Revision:
    """What a workflow said before; ``saved`` is when it began to say so."""

    version: str
    saved: float
    size_bytes: int


@dataclass(frozen=True)
class TrashedWorkflow:
    """A deleted workflow; two that had the same name differ in ``id``."""

    id: str
    name: str
    deleted: float
    size_bytes: int


class _File(NamedTuple):
    path: Path
    content: bytes
    modified: float

    @property
    def version(self) -> str:
        return _version(self.content)


class WorkflowLibrary:
    """The workflows in a folder, for the threads of one process.

    Other programs may change files there: that counts as a new version, unless it falls between the look at a file and
    its replacement.

    A name that differs from another only in case, or in how its accents are written, is a conflict: there are disks
    that would hold only one of the two.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._lock = threading.Lock()
        self._listed: dict[str, tuple[tuple[int, int], SavedWorkflow]] = {}

    def list(self) -> builtins.list[SavedWorkflow]:
        """Describe all workflows by name, damaged ones too; files of the same time and size are not read again."""
        with self._lock, _told("list the workflows"):
            found = {name: self._look(name, path) for name, path in _workflow_files(self._folder)}
            self._listed = {name: entry for name, entry in self._listed.items() if name in found}
        return sorted((saved for saved in found.values() if saved is not None), key=lambda saved: saved.name)

    def read(self, name: str) -> tuple[Workflow, SavedWorkflow]:
        """Read a workflow.

        Raises:
            FileFormatError, InvalidWorkflow: the file is damaged.
        """
        file = self._existing(name)
        workflow = parse_workflow(file.content, name)
        return workflow, _saved(name, file, workflow)

    def save(self, name: str, workflow: Workflow, *, expected_version: str | None) -> SavedWorkflow:
        """Save a workflow over the version that the caller has seen, or as a new one if that is None."""
        content = workflow.dump().encode()
        with self._lock, _told(f"save {name!r}"):
            self._refuse_taken(name, may_exist=expected_version is not None)
            file = self._file(name)
            _require_version(name, file, expected_version)
            if file is None or file.content != content:
                if file is not None:
                    self._keep_revision(name, file)
                path = self._path(name)
                _write(path, content)
                file = _File(path, content, path.stat().st_mtime)
                self._listed.pop(name, None)  # the time and size of two quick saves can be the same
            return _saved(name, file, workflow)

    def history(self, name: str) -> builtins.list[Revision]:
        """List what a workflow said before, the newest first; the newest 50 are kept."""
        with self._lock, _told(f"read the history of {name!r}"):
            self._existing(name)
            return [revision for revision, _ in self._revisions(name)]

    def read_revision(self, name: str, version: str) -> Workflow:
        """Read what a workflow said before."""
        with self._lock, _told(f"read the history of {name!r}"):
            self._existing(name)
            path = next((path for revision, path in self._revisions(name) if revision.version == version), None)
            if path is None:
                remedy = f"Choose one from its history, which keeps the newest {_KEPT_REVISIONS}."
                raise UnknownWorkflow(f"the history of {name!r} has no version {version!r}. {remedy}")
            return parse_workflow(path.read_bytes(), f"{name}, version {version}")

    def rename(self, name: str, new_name: str, *, expected_version: str) -> SavedWorkflow:
        """Give a workflow another name; its history comes with it."""
        with self._lock, _told(f"rename {name!r}"):
            _require_version(name, self._existing(name), expected_version)
            self._refuse_taken(new_name, besides=name)
            _move(self._folder, name, self._folder, new_name)
            return _described(new_name, self._existing(new_name))

    def delete(self, name: str, *, expected_version: str) -> TrashedWorkflow:
        """Move a workflow and its history to the trash."""
        with self._lock, _told(f"delete {name!r}"):
            file = self._existing(name)
            _require_version(name, file, expected_version)
            id_ = _stamp(max([time.time(), *(entry.deleted + 1e-6 for entry in self._trashed())]))
            _move(self._folder, name, self._folder / _TRASH / id_, name)
            return TrashedWorkflow(id_, name, _seconds(id_) or 0, len(file.content))

    def trash(self) -> builtins.list[TrashedWorkflow]:
        """List the deleted workflows, the last one first."""
        with self._lock, _told("list the trash"):
            return self._trashed()

    def restore(self, trash_id: str) -> SavedWorkflow:
        """Bring a deleted workflow and its history back; a conflict if its name is taken by now."""
        with self._lock, _told("restore a workflow"):
            entry = next((entry for entry in self._trashed() if entry.id == trash_id), None)
            if entry is None:
                message = f"the trash has no {trash_id!r}. List the trash again; it may be restored already."
                raise UnknownWorkflow(message)
            self._refuse_taken(entry.name)
            _move(self._folder / _TRASH / entry.id, entry.name, self._folder, entry.name)
            return _described(entry.name, self._existing(entry.name))

    def empty_trash(self, older_than_s: float) -> int:
        """Remove for good what was deleted so long ago, everything for 0; give the number of workflows."""
        with self._lock, _told("empty the trash"):
            limit = time.time() - older_than_s
            # a clock that was set back leaves deletions in the future, which "everything" includes
            old = {entry.id for entry in self._trashed() if entry.deleted <= limit or older_than_s <= 0}
            for id_ in old:
                shutil.rmtree(self._folder / _TRASH / id_)
            return len(old)

    def _path(self, name: str) -> Path:
        """Give a workflow's file: the one place where a name becomes a path."""
        problem = _problem_of(name)
        path = self._folder / f"{name}.json"
        if problem is None:
            real = Path(os.path.realpath(path))
            inside = real.is_relative_to(self._folder)
            if not inside or any(part.startswith(".") for part in real.relative_to(self._folder).parts):
                problem = "a link leads out of the library there. Put the file itself into the folder."
        if problem is not None:
            shown = repr(name if len(name) <= _LONGEST_NAME else f"{name[:60]}…")
            raise BadName(f"{shown} can't be a workflow's name: {problem}")
        return path

    def _file(self, name: str) -> _File | None:
        path = self._path(name)
        with _told(f"read {name!r}"), contextlib.suppress(FileNotFoundError):
            if path.is_file():  # opening a pipe would wait for ever
                with path.open("rb") as file:
                    return _File(path, file.read(), os.fstat(file.fileno()).st_mtime)
        return None

    def _existing(self, name: str) -> _File:
        file = self._file(name)
        if file is None:
            known = {_folded(each): each for each, _ in _workflow_files(self._folder)}
            near = [repr(known[each]) for each in difflib.get_close_matches(_folded(name), known)]
            guess = f"Did you mean {' or '.join(near)}?" if near else "Choose one from the list of workflows."
            raise UnknownWorkflow(f"there is no workflow {name!r}. {guess}")
        return file

    def _look(self, name: str, path: Path) -> SavedWorkflow | None:
        """Describe a file of the folder; None if it is gone by now."""
        try:
            facts = path.lstat()
        except FileNotFoundError:
            return None
        key = (facts.st_mtime_ns, facts.st_size)
        known = self._listed.get(name)
        if known is not None and known[0] == key and not stat.S_ISLNK(facts.st_mode):
            return known[1]
        try:
            file = self._file(name)
        except LibraryError as error:
            shown = name.encode(errors="replace").decode()  # a file's name may hold bytes that are no text
            return SavedWorkflow(shown, "", facts.st_mtime, facts.st_size, error=str(error))
        if file is None:
            return SavedWorkflow(name, "", facts.st_mtime, facts.st_size, error=f"{name}: it is no file. Remove it.")
        saved = _described(name, file)
        self._listed[name] = key, saved
        return saved

    def _refuse_taken(self, name: str, *, may_exist: bool = False, besides: str = "") -> None:
        """Refuse a name that a workflow has already, or that something there has in another spelling."""
        self._path(name)
        other = _other_spelling(self._folder, name)
        if other is not None and other != f"{besides}.json":
            other = other.removesuffix(".json")
            file = self._file(other) if _problem_of(other) is None else None
            message = f"{name!r} is {other!r}, which exists, to disks that ignore case or how accents are written."
            remedy = "Write it the same way, or take another name."
            raise VersionConflict(f"{message} {remedy}", other, None if file is None else file.version)
        if not may_exist and name != besides and (taken := self._file(name)) is not None:
            message = f"there is a workflow {name!r} already. Open it, or take another name."
            raise VersionConflict(message, name, taken.version)

    def _revisions(self, name: str) -> builtins.list[tuple[Revision, Path]]:
        found = []
        for path in (self._folder / _HISTORY / name).glob("*.json"):
            stamp, _, version = path.stem.rpartition("-")
            if (saved := _seconds(stamp)) is not None:
                found.append((Revision(version, saved, path.stat().st_size), path))
        return sorted(found, key=lambda each: each[0].saved, reverse=True)

    def _keep_revision(self, name: str, file: _File) -> None:
        """Put a text that is about to be replaced into the history, unless a save that failed has put it there."""
        kept = self._revisions(name)
        if kept and kept[0][0].version == file.version:
            return
        # a file's time can be older than the last revision's: a coarse clock, a copied file
        saved = max([file.modified, *(revision.saved + 1e-6 for revision, _ in kept[:1])])
        _write(self._folder / _HISTORY / name / f"{_stamp(saved)}-{file.version}.json", file.content)
        for _, path in kept[_KEPT_REVISIONS - 1 :]:
            path.unlink(missing_ok=True)

    def _trashed(self) -> builtins.list[TrashedWorkflow]:
        found = []
        for folder in (self._folder / _TRASH).glob("*"):
            if (deleted := _seconds(folder.name)) is not None:
                for name, path in _workflow_files(folder):
                    found.append(TrashedWorkflow(folder.name, name, deleted, path.lstat().st_size))
        return sorted(found, key=lambda entry: entry.deleted, reverse=True)


def _problem_of(name: str) -> str | None:
    """Say what is wrong with a name and what to do, in words that go on a sentence."""
    if not 1 <= len(name) <= _LONGEST_NAME:
        return f"it has {len(name)} characters. Use 1 to {_LONGEST_NAME}."
    if name.startswith("/"):
        return "it begins with '/'. Name a place within the library, such as 'portraits/anna'."
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        return "it holds a control character, a line break or half a character. Take that out."
    if bad := sorted(set('\\:*?"<>|') & set(name)):
        return f"it holds {' '.join(bad)}, which not every disk can write. Take that out; folders are separated by '/'."
    return next(filter(None, map(_problem_of_part, name.split("/"))), None)


def _problem_of_part(part: str) -> str | None:
    if not part:
        return "there is nothing before or after a '/'. Put a name there, or take the '/' out."
    if part.startswith("."):
        return f"{part!r} begins with a dot, as hidden files and the way out of a folder do. Begin with a letter."
    if part != part.strip() or part.endswith("."):
        return f"{part!r} begins or ends with a space, or ends with a dot. Take that away."
    if part.lower().endswith(".json"):
        return f"{part!r} ends with '.json', which is added to the file by itself. Leave it out."
    if part.partition(".")[0].rstrip().upper() in _DEVICES:
        return f"{part!r} is a device's name to Windows. Put something before it, such as 'my {part}'."
    if len(part.encode()) > _LONGEST_PART:
        return f"{part[:20]!r}… is too long for a file's name. Use fewer characters between two '/'."
    return None


def _other_spelling(folder: Path, name: str) -> str | None:
    """Give the file or sub-folder that is in a name's place, only written otherwise."""
    parts = f"{name}.json".split("/")
    for depth, part in enumerate(parts):
        here = os.listdir(folder) if folder.is_dir() else []
        if part not in here:
            alike = next((each for each in here if _folded(each) == _folded(part)), None)
            return None if alike is None else "/".join([*parts[:depth], alike])
        folder /= part
    return None


def _folded(name: str) -> str:
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def _workflow_files(root: Path) -> Iterator[tuple[str, Path]]:
    """Walk over the names and files in a folder, without what is hidden: drafts, the history, the trash."""
    for folder, folders, files in os.walk(root, onerror=_warn_of_folder):
        folders[:] = [each for each in folders if not each.startswith(".")]
        inside = Path(folder).relative_to(root)
        for file in files:
            if file.endswith(".json") and not file.startswith("."):
                yield (inside / file).as_posix().removesuffix(".json"), Path(folder, file)


def _warn_of_folder(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # nothing was saved yet, or it is gone by now
        logger.warning("the workflows in %s can't be listed: %s.", error.filename, error.strerror)


def _require_version(name: str, file: _File | None, expected: str | None) -> None:
    current = None if file is None else file.version
    if current != expected:
        what = "was deleted or renamed" if current is None else f"was changed to version {current}"
        remedy = "Open it again, or save yours under another name."
        raise VersionConflict(f"{name!r} {what} since it was opened. {remedy}", name, current)


def _described(name: str, file: _File) -> SavedWorkflow:
    try:
        return _saved(name, file, parse_workflow(file.content, name))
    except GraphEngineError as error:
        return SavedWorkflow(name, file.version, file.modified, len(file.content), error=str(error))


def _saved(name: str, file: _File, workflow: Workflow) -> SavedWorkflow:
    return SavedWorkflow.of(name, file.content, file.modified, workflow)


def _version(content: bytes) -> str:
    return blake2b(content, digest_size=8).hexdigest()


def _move(source: Path, name: str, target: Path, new_name: str) -> None:
    """Move a workflow, then its history; if this stops in between, nothing is gone."""
    old, new = source / _HISTORY / name, target / _HISTORY / new_name
    moves = [(source / f"{name}.json", target / f"{new_name}.json")]
    moves += [(path, new / path.name) for path in old.glob("*.json")]
    for here, there in moves:
        _make_folder(there.parent)
        os.replace(here, there)
    for folder in {path.parent for move in moves for path in move}:
        sync_folder(folder)
    for here, _ in reversed(moves):
        with contextlib.suppress(OSError):  # it is not empty; the library never is, as it holds what was moved
            for folder in here.parents:
                folder.rmdir()


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, so that it outlives a power cut."""
    _make_folder(path.parent)
    draft = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime(_STAMP)


def _seconds(stamp: str) -> float | None:
    try:
        return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


@contextlib.contextmanager
def _told(doing: str) -> Iterator[None]:
    """Turn the system's errors into ones that say what to do."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "Free some space." if full else "See to the folder's files and rights, and try again."
        where = f" ({error.filename})" if error.filename else ""
        raise LibraryError(f"can't {doing}: {error.strerror or error}{where}. {remedy}") from error
