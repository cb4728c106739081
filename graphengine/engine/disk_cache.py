"""Results that outlive the process, in a folder that several processes share.

    cache/version          the number of this layout; a cache of a newer one is left alone
    cache/index/<key>      one step's result: which values, what it showed, how long it took, when it was used (mtime)
    cache/values/<digest>  the values themselves, named by their content; several steps may share them

Plain files rather than a database: there is no lock to wait for, and it works on network folders. Every file is written
beside its place and renamed, so a process that dies leaves whole files or none; what was harmed nevertheless is found
by size and checksum, dropped, and computed again.

Storing a picture of 3 MB takes 6 ms on one core, mostly hashing and writing, both outside of Python's lock; so it is
done on a thread beside the run, and putting takes 0.2 ms. Finding it takes 1.2 ms: contents are hashed when they are
named, with BLAKE2 (0.8 GB/s here); on reading, CRC-32 (3.5 GB/s) tells harm.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import threading
import time
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from graphengine.engine.assets import Asset
from graphengine.engine.cache import Result, Shown
from graphengine.engine.stored_values import NotStorable, Packed, pack, unpack

__all__ = ["DiskCache"]

logger = logging.getLogger(__name__)

_VERSION = 1
_FIXED_SECONDS = 0.005  # storing and finding the smallest result, with a margin: disks may be slower than measured
_SECONDS_PER_BYTE = 1 / 200e6
_PENDING_BYTES = 512 * 2**20  # of results that wait to be written; they may be out of the memory cache already
_ENTRY_BYTES = 8192  # what the two files of a result take besides its values
_STRAY_SECONDS = 3600  # drafts and values without a step are left for so long to whoever may be writing them


class _Entry(NamedTuple):
    """What a file of the index says."""

    digest: str
    size: int
    checksum: int
    seconds: float
    shown: tuple[Shown, ...]


class DiskCache:
    """Keeps results in a folder, where storing them is quicker than computing them again.

    That is when computing took more than 5 ms and 5 ns a byte (20 ms for a picture of 3 MB). A result that holds
    something else than plain values (``stored_values``), or that the node says is not all of it, is not kept.

    What gives way first when the folder is full is what took the fewest seconds per byte, divided by the time since
    it was last used (plus an hour).

    A folder that can't be written, or was written by a newer version, is warned about once and left alone.
    """

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        self._folder = folder
        self._index = folder / "index"
        self._values = folder / "values"
        self._budget_bytes = budget_bytes
        self._is_off = budget_bytes <= 0 or not self._is_ours()
        self._known: set[str] = set()
        self._next_listing = 0.0
        self._room_bytes: int | None = None
        self._writer = ThreadPoolExecutor(1, "disk cache")  # starts with the first write, and is done before exit
        self._pending: deque[tuple[Future[None], int]] = deque()
        self._lock = threading.Lock()

    def __contains__(self, key: bytes) -> bool:
        return not self._is_off and self._is_listed(key.hex())

    def get(self, key: bytes) -> Result | None:
        """Read the result kept under this key, and mark it as used; a damaged one is dropped."""
        name = key.hex()
        if self._is_off or not self._is_listed(name):  # nearly always, so nothing else comes before it
            return None
        path = self._index / name
        try:
            entry = _read_entry(path)
            with open(self._values / entry.digest, "rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size != entry.size:
                    raise NotStorable("the file has another size")
                values = unpack(file, size=entry.size, checksum=entry.checksum)
        except FileNotFoundError:  # another process made room
            self._known.discard(name)
            return None
        except (NotStorable, OSError) as error:
            logger.info("a cached result is dropped, and will be computed again: %s: %s", path, error)
            self._drop_damaged(path)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return Result(values, entry.shown, entry.seconds)

    def put(self, key: bytes, result: Result) -> None:
        """Store a result soon, if it is worth storing."""
        if result.seconds < _FIXED_SECONDS or self._is_off or not result.storable:
            return
        if any(shown.asset is None for shown in result.shown):
            return
        try:
            packed = pack(result.values)
        except NotStorable as reason:
            logger.debug("a result is not stored: %s", reason)
            return
        if result.seconds < _FIXED_SECONDS + packed.size * _SECONDS_PER_BYTE or packed.size > self._budget_bytes:
            return
        with self._lock:
            self._wait(_PENDING_BYTES - packed.size)
            self._pending.append((self._writer.submit(self._store, key, result, packed), packed.size))

    def drop(self, key: bytes) -> None:
        """Forget a result; its values go when room is made, since other steps may share them."""
        self.flush()  # or it would come back
        if not self._is_off:
            self._known.discard(key.hex())
            _remove(self._index / key.hex())

    def flush(self) -> None:
        """Wait until all that was put is stored. Leaving Python waits as well."""
        with self._lock:
            self._wait(0)

    def close(self) -> None:
        """Store what was put, and end the thread that does; nothing can be put afterwards."""
        self.flush()
        self._is_off = True
        self._writer.shutdown()

    def _wait(self, bytes_left: int) -> None:
        """Wait until no more than this much is pending."""
        pending = sum(size for _, size in self._pending)
        while self._pending and (pending > bytes_left or self._pending[0][0].done()):
            future, size = self._pending.popleft()
            future.result()
            pending -= size

    def _is_ours(self) -> bool:
        try:
            version = int((self._folder / "version").read_text())
        except (OSError, ValueError):  # new, or harmed; what is in it is checked entry by entry
            return True
        if version > _VERSION:
            logger.warning(
                "the cache in %s was written by a newer version of graphengine and is not used. "
                "Upgrade, or give another data folder.",
                self._folder,
            )
        return version <= _VERSION

    def _is_listed(self, name: str) -> bool:
        """Say whether the index has this step, as far as was seen lately.

        Asking the disk for each step that runs would cost a no-op node a tenth of its time. What other processes
        store is seen after two seconds, or later in a cache so large that listing it took longer than 20 ms.
        """
        if name in self._known:
            return True
        now = time.monotonic()
        if now < self._next_listing:
            return False
        with contextlib.suppress(OSError):
            self._known.update(os.listdir(self._index))
        self._next_listing = time.monotonic() + max(2, 100 * (time.monotonic() - now))
        return name in self._known

    # On the writer's thread

    def _store(self, key: bytes, result: Result, packed: Packed) -> None:
        if self._is_off:
            return
        try:
            entry = self._store_values(result, packed)
            _write_whole(self._index / key.hex(), [_entry_bytes(entry)])
            self._known.add(key.hex())
        except (OSError, RuntimeError) as error:  # torch's, if there is no memory to make a view whole
            self._is_off = True
            logger.warning(
                "results can't be stored in %s: %s. The run goes on without; they will be computed again.",
                self._folder,
                getattr(error, "strerror", None) or error,
            )

    def _store_values(self, result: Result, packed: Packed) -> _Entry:
        chunks = packed.chunks()
        digest, checksum = blake2b(digest_size=16), 0
        for chunk in chunks:
            digest.update(chunk)
            checksum = zlib.crc32(chunk, checksum)
        path = self._values / digest.hexdigest()
        try:
            known = path.stat().st_size == packed.size
            os.utime(path)  # whoever makes room now doesn't take it for a stray
        except FileNotFoundError:
            known = False
        if not known:
            self._make_room(packed.size + _ENTRY_BYTES)
            _write_whole(path, chunks)
        return _Entry(digest.hexdigest(), packed.size, checksum, result.seconds, result.shown)

    def _drop_damaged(self, path: Path) -> None:
        """Drop a file of the index with its values, or they would be taken for whole when they are put again."""
        with contextlib.suppress(NotStorable, OSError):
            _remove(self._values / _read_entry(path).digest)
        self._known.discard(path.name)
        _remove(path)

    def _make_room(self, size: int) -> None:
        """Drop what is worth least if so many bytes more are too many.

        What other processes wrote is counted again each time a sixteenth of the budget was written.
        """
        if self._room_bytes is None:
            for folder in (self._values, self._index):
                folder.mkdir(parents=True, exist_ok=True)
            _write_whole(self._folder / "version", [memoryview(f"{_VERSION}\n".encode())])
        if self._room_bytes is None or self._room_bytes < size:
            used = sum(facts.st_size + _ENTRY_BYTES for _, facts in _files(self._values))
            if used + size > self._budget_bytes:
                used -= self._evict(used + size - self._budget_bytes * 9 // 10)
            self._room_bytes = min(self._budget_bytes - used, max(self._budget_bytes // 16, size))
        self._room_bytes -= size

    def _evict(self, size: int) -> int:
        """Free so many bytes, and say how many it were."""
        worth, steps = self._rate()
        now, freed = time.time(), 0
        for path, facts in sorted(_files(self._values), key=lambda file: worth.get(file[0].name, 0.0)):
            if path.name in worth:
                if freed >= size:
                    break
            elif now - facts.st_mtime < _STRAY_SECONDS:
                continue
            for each in (*steps.get(path.name, ()), path):  # in this order: a step without values is no harm
                _remove(each)
            freed += facts.st_size + _ENTRY_BYTES
        return freed

    def _rate(self) -> tuple[dict[str, float], dict[str, list[Path]]]:
        """Give each digest's worth and the steps that have it, and clean the index."""
        worth: dict[str, float] = {}
        steps: dict[str, list[Path]] = {}
        now = time.time()
        for path, facts in _files(self._index):
            unused_s = max(now - facts.st_mtime, 0)
            if path.suffix == ".part":  # whole or not, another process is about to give it its name
                if unused_s > _STRAY_SECONDS:
                    _remove(path)
                continue
            try:
                entry = _read_entry(path)
            except (NotStorable, OSError):
                _remove(path)
                continue
            steps.setdefault(entry.digest, []).append(path)
            gain = entry.seconds / (entry.size + _ENTRY_BYTES) / (1 + unused_s / 3600)
            worth[entry.digest] = worth.get(entry.digest, 0) + gain
        return worth, steps


def _entry_bytes(entry: _Entry) -> memoryview:
    """Write an entry as its own digest and JSON."""
    shown = [[str(each.path), each.temporary, each.asset] for each in entry.shown]
    content = json.dumps([*entry[:4], shown]).encode()
    return memoryview(blake2b(content, digest_size=8).hexdigest().encode() + b" " + content)


def _read_entry(path: Path) -> _Entry:
    """Read a file of the index.

    Raises:
        NotStorable: if it was harmed.
    """
    digest, _, content = path.read_bytes().partition(b" ")
    if blake2b(content, digest_size=8).hexdigest().encode() != digest:
        raise NotStorable("the index is not as it was written")
    name, size, checksum, seconds, files = json.loads(content)
    shown = (Shown(Path(path), temporary, Asset(*asset)) for path, temporary, asset in files)
    return _Entry(name, size, checksum, seconds, tuple(shown))


def _write_whole(path: Path, chunks: Sequence[memoryview]) -> None:
    draft = path.with_name(f"{secrets.token_hex(8)}.part")
    try:
        with open(draft, "xb", buffering=0) as file:
            for chunk in chunks:
                while chunk:
                    chunk = chunk[file.write(chunk) :]
        try:
            os.replace(draft, path)
        except IsADirectoryError:
            _remove(path)
            os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[tuple[Path, Any]]:  # Any: os.stat_result, as scandir gives it
    for each in os.scandir(folder):
        with contextlib.suppress(FileNotFoundError):  # another process was quicker
            yield Path(each.path), each.stat()


def _remove(path: Path) -> None:
    """Remove a file, or a folder that stands in its place; one that is in use stays."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        shutil.rmtree(path, ignore_errors=True)
