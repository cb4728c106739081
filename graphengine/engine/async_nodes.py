"""The event loop on which ``async`` nodes run beside the device's thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import queue
import threading
from collections.abc import Coroutine
from typing import Any

__all__ = ["AsyncNodes"]

_PATIENCE_S = 5.0  # how long a cancelled node may take to clean up


class AsyncNodes:
    """Runs coroutines on a thread of its own, which starts with the first of them; one per run."""

    def __init__(self) -> None:
        self._done: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._futures: dict[int, concurrent.futures.Future[Any]] = {}  # Any: whatever nodes return
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __contains__(self, index: int) -> bool:
        return index in self._futures

    def start(self, index: int, work: Coroutine[Any, Any, Any]) -> None:  # Any: whatever nodes return
        """Start a step's work."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="async nodes", daemon=True)
            self._thread.start()
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        self._futures[index] = future
        future.add_done_callback(lambda _: self._done.put(index))

    def next_done(self, timeout_s: float) -> tuple[int, concurrent.futures.Future[Any]] | None:
        """Give a step that is done, waiting for one if the time isn't 0; None if there is none."""
        if not self._futures:
            return None
        try:
            index = self._done.get(timeout=timeout_s) if timeout_s else self._done.get_nowait()
        except queue.Empty:
            return None
        return index, self._futures.pop(index)

    def close(self) -> None:
        """Cancel what still runs, wait for it to clean up, and end the thread."""
        if self._loop is None or self._thread is None:
            return
        for future in self._futures.values():
            future.cancel()
        with contextlib.suppress(concurrent.futures.TimeoutError):  # a node that blocks the loop ends with the process
            asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result(_PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_S)
        if not self._thread.is_alive():
            self._loop.close()
        self._loop = None
        self._futures.clear()


async def _cancel_all() -> None:
    """Cancel what isn't cancelled yet; a second time would interrupt its cleaning up."""
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        if not task.cancelling():
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
