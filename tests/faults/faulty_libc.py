"""A disk that fails and a clock that jumps, for a server that knows nothing of it: ``faulty_libc.c`` before libc."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["SYNCS", "WRITES", "FaultyLibc", "can_compile", "faulty_libc"]

SOURCE = Path(__file__).with_suffix(".c")
WRITES, SYNCS = 1, 2

_FIELDS = ("calls", "fails_from", "fails_to", "error", "kinds", "clock_s")  # as in the source


class FaultyLibc:
    """The page that processes look at before each call."""

    def __init__(self, page: mmap.mmap) -> None:
        self._page = page

    def get(self, name: str) -> int:
        """Read a field."""
        (value,) = struct.unpack_from("q", self._page, 8 * _FIELDS.index(name))
        return int(value)

    def set(self, **fields: int) -> None:
        """Write fields, in the order given."""
        for name, value in fields.items():
            struct.pack_into("q", self._page, 8 * _FIELDS.index(name), value)

    def fail(self, error: int, *, kinds: int = WRITES | SYNCS, first: int = 1, times: int = 2**40) -> None:
        """Let calls fail from now on, beginning with the how manyeth to come."""
        self.work()
        self.set(calls=0, kinds=kinds, error=error, fails_to=first + times - 1, fails_from=first)

    def work(self) -> None:
        """Let no more calls fail."""
        self.set(fails_from=0)


def can_compile() -> bool:
    """Tell whether this can be had here."""
    return os.name == "posix" and Path("/proc/self/fd").is_dir() and shutil.which("cc") is not None


@contextmanager
def faulty_libc(folder: Path, under: Path) -> Iterator[FaultyLibc]:
    """Have all processes that are started inside the block use it.

    Args:
        under: Only files whose path begins so can fail.
    """
    folder.mkdir(parents=True, exist_ok=True)
    library, place = folder / "faulty_libc.so", folder / "page"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    place.write_bytes(bytes(8 * len(_FIELDS)))
    given = {"LD_PRELOAD": str(library), "FAULTS_PAGE": str(place), "FAULTS_UNDER": str(under)}
    with place.open("r+b") as file, mmap.mmap(file.fileno(), 8 * len(_FIELDS)) as page:
        before = {name: os.environ.get(name) for name in given}
        os.environ.update(given)
        try:
            yield FaultyLibc(page)
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value
