"""Nodes that misbehave, for the tests of workers."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from graphengine import Context, NodePack, node
from graphengine.errors import Cancelled


class OutOfMemoryError(RuntimeError):
    """As torch has it, which takes long to import."""


class Thing:
    """What no wire carries."""


@node("w.Number", category="test", outputs="number", cacheable=False)
def number(value: int = 1) -> int:
    """Give a number."""
    return value


@node("w.Add", category="test", outputs="sum", cacheable=False)
def add(a: int, b: int = 1) -> int:
    """Add."""
    return a + b


@node("w.Kept", category="test", outputs="number")
def kept() -> int:
    """Give a number that is kept."""
    return 1


@node("w.Things", category="test", outputs="things", cacheable=False)
def things() -> list[Thing]:
    """Give what can't be sent."""
    return [Thing()]


@node("w.Say", category="test", output_node=True, cacheable=False)
def say(text: str = "hello", newline: bool = True) -> None:
    """Print a text."""
    sys.stdout.write(text + "\n" * newline)


@node("w.Environment", category="test", outputs="names", cacheable=False, output_node=True)
def environment() -> str:
    """Name all variables."""
    return " ".join(sorted(os.environ))


@node("w.Sketch", category="test", outputs="drawn", cacheable=False, output_node=True)
def sketch(ctx: Context, until: str, count_in: str) -> int:
    """Offer previews until there is a file; count those that had to be made."""
    while not Path(until).exists():
        ctx.preview(lambda: _sketched(count_in))
        _wait(ctx, 0.01)
    return len(Path(count_in).read_bytes()) if Path(count_in).exists() else 0


def _sketched(count_in: str) -> Any:  # Any: an Image
    import torch

    with Path(count_in).open("ab") as file:
        file.write(b".")
    return torch.zeros(1, 8, 8, 3)


@node("w.Devices", category="test", outputs="devices", cacheable=False, output_node=True)
def devices(ctx: Context, until: str = "") -> str:
    """Say which devices the run has, once there is a file."""
    while until and not Path(until).exists():
        _wait(ctx, 0.01)
    return ",".join(ctx.settings.devices)


@node("w.Die", category="test", output_node=True, cacheable=False)
def die(ctx: Context, how: str = "exit", times: int = 1000, count_in: str = "") -> None:
    """End the process, so many times."""
    sys.stdout.write("about to die\n")
    if _counted(count_in) <= times:
        _DEATHS[how]()


_DEATHS: dict[str, Any] = {  # Any: each raises or never returns, in its way
    "exit": lambda: os._exit(7),
    "segv": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "abort": os.abort,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
}


@node("w.Sleep", category="test", output_node=True, cacheable=False)
def sleep(ctx: Context, seconds: float = 30.0, polls: bool = True, started: str = "") -> None:
    """Take a while, and look whether to stop, or never."""
    if started:
        Path(started).touch()
    if polls:
        _wait(ctx, seconds)
    else:
        time.sleep(seconds)


@node("w.Save", category="test", output_node=True, cacheable=False)
def save(ctx: Context, file: str, seconds: float = 60.0) -> None:
    """Take a while, and save what was done when stopped."""
    with ctx.saving_when_stopped():
        try:
            for _ in ctx.progress(range(int(seconds * 100))):
                time.sleep(0.01)
        except Cancelled:
            time.sleep(0.3)
            Path(file).write_text("saved")
            raise


@node("w.HoldInterpreter", category="test", output_node=True, cacheable=False)
def hold_interpreter(seconds: int = 30) -> None:
    """Let no other thread of the process run, after what was told of has been sent."""
    time.sleep(0.1)
    ctypes.PyDLL(None).sleep(seconds)


@node("w.Eat", category="test", output_node=True, cacheable=False)
def eat(mib: int = 100) -> None:
    """Take memory, and stay a while."""
    eaten = b"x" * (mib * 1024**2)
    time.sleep(10)
    del eaten


@node("w.LeaveChild", category="test", output_node=True, cacheable=False)
def leave_child(note: str, dies: bool = True, leads: bool = False) -> None:
    """Fork a process that holds all that is open, and die, or hold the interpreter."""
    child = os.fork()
    if child == 0:
        if leads:
            os.setsid()
        write_whole(Path(note), str(os.getpid()))
        time.sleep(60)
        os._exit(0)
    while not Path(note).exists():
        time.sleep(0.01)
    if dies:
        os._exit(3)
    ctypes.PyDLL(None).sleep(60)


@node("w.Write", category="test", output_node=True, cacheable=False)
def write(ctx: Context, prefix: str = "file", count_in: str = "", deaths: int = 0) -> None:
    """Write a file that is called after the attempt, and die the first times."""
    attempt = _counted(count_in)
    ctx.outputs.write_text(f"attempt {attempt}", f"{prefix}{attempt}.txt")
    if attempt <= deaths:
        os._exit(9)


@node("w.OutOfMemory", category="test", output_node=True, cacheable=False)
def out_of_memory(ctx: Context, count_in: str, times: int = 1, size: int = 64) -> None:
    """Run out of memory, so many times."""
    if _counted(count_in) <= times:
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
    ctx.outputs.write_text(f"sparing: {ctx.settings.sparing}", "how.txt")


@node("w.Measure", category="test", output_node=True, cacheable=False)
def measure(ctx: Context) -> None:
    """Report a loss that is no number, and what is no character."""
    ctx.report(1, loss=float("nan"), top=float("inf"))
    ctx.warn("half a \udc80 character")


def _wait(ctx: Context, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ctx.check_cancelled()
        time.sleep(0.01)


def write_whole(path: Path, text: str) -> None:
    """Write a file so that who sees it sees all of it."""
    path.with_suffix(".part").write_text(text)
    path.with_suffix(".part").rename(path)


def _counted(count_in: str) -> int:
    """Count a call in a file, and say the how manyeth it is."""
    if not count_in:
        return 1
    with Path(count_in).open("a") as file:
        file.write("x")
    return Path(count_in).stat().st_size


pack = NodePack("w", modules=[__name__])
