"""The bytes of what nodes showed, kept by content, so that a result that is found again can show it again.

A picture that was saved is linked into the store, which costs no space and survives that the user deletes or renames
the picture. A link shares the file's bytes, though: who edits the picture in place edits the store's. So nothing is
given out unless its digest still fits, and it is given out as a copy, never as a link: two files of the user's are
never one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import NamedTuple

from graphengine.numbered_files import NO_HARD_LINKS

__all__ = ["Asset", "AssetStore"]

logger = logging.getLogger(__name__)


class Asset(NamedTuple):
    """What a shown file holds, and where it was asked to be.

    Attributes:
        name: Below the output folder: the prefix of a numbered file, or the whole name.
        numbered: The file's name is the next free number after the prefix.
        digest: Of its bytes, in hex.
        size: In bytes.
        mtime_ns: When it was written. A file of this time and size is taken to hold these bytes without reading it.
        has_workflow: A workflow is embedded in it.
        suffix: What follows the number.
    """

    name: str
    numbered: bool
    digest: str
    size: int
    mtime_ns: int
    has_workflow: bool = False
    suffix: str = ".png"

    def is_at(self, path: Path) -> bool:
        """Say whether a file holds these bytes."""
        try:
            facts = path.stat()
            if facts.st_size != self.size:
                return False
            return facts.st_mtime_ns == self.mtime_ns or _digest(path) == self.digest
        except OSError:
            return False


class AssetStore:
    """A folder of files named by their digests, the oldest dropped first.

    A store that can't be written costs time in later runs, nothing now: it says so once.

    Args:
        budget_bytes: Files that are linked count as if they were copies.
    """

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        self._folder = folder
        self._budget_bytes = budget_bytes
        self._room_bytes: int | None = None
        self._failed = False

    def keep(self, file: Path, name: str, *, numbered: bool, has_workflow: bool = False, suffix: str = ".png") -> Asset:
        """Keep the bytes of a file that nobody has seen yet, and describe them."""
        facts = file.stat()
        asset = Asset(name, numbered, _digest(file), facts.st_size, facts.st_mtime_ns, has_workflow, suffix)
        if asset.size > self._budget_bytes or self._failed:
            return asset
        try:
            self._take(file, asset)
        except OSError as error:
            self._failed = True
            logger.warning(
                "shown pictures and texts can't be kept in %s: %s. Those that are deleted will be computed again.",
                self._folder,
                error.strerror or error,
            )
        return asset

    def holds(self, asset: Asset) -> bool:
        """Say whether these bytes are here, unharmed; what was changed is dropped."""
        path = self._folder / asset.digest
        if not path.is_file():
            return False
        with contextlib.suppress(OSError):
            if _digest(path) == asset.digest:
                return True
            logger.info("%s was changed since it was kept; it is dropped.", path)
            path.unlink(missing_ok=True)
        return False

    def copy_to(self, asset: Asset, draft: Path) -> None:
        """Write these bytes to a file.

        Raises:
            OSError: if they are gone, or the file can't be written.
        """
        shutil.copyfile(self._folder / asset.digest, draft)

    def _take(self, file: Path, asset: Asset) -> None:
        self._make_room(asset.size)
        draft = self._folder / f".{secrets.token_hex(8)}.part"
        try:
            _link_or_copy(file, draft)
            os.replace(draft, self._folder / asset.digest)  # over an older link too, which somebody may have edited
        finally:
            draft.unlink(missing_ok=True)

    def _make_room(self, size: int) -> None:
        """Drop the oldest files if this many bytes more are too many; other processes' are counted now and then."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._room_bytes is None or self._room_bytes < size:
            found = []
            for each in os.scandir(self._folder):
                with contextlib.suppress(FileNotFoundError):
                    found.append((each.stat().st_mtime_ns, each.stat().st_size, each.path))
            used = sum(size for _, size, _ in found)
            if used + size > self._budget_bytes:
                for _, freed, path in sorted(found):
                    if used + size <= self._budget_bytes * 0.9:
                        break
                    with contextlib.suppress(OSError):
                        os.unlink(path)
                        used -= freed
            self._room_bytes = min(self._budget_bytes - used, max(self._budget_bytes // 16, size))
        self._room_bytes -= size


def _link_or_copy(file: Path, path: Path) -> None:
    try:
        os.link(file, path)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        shutil.copyfile(file, path)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, lambda: blake2b(digest_size=16)).hexdigest()
