"""Whether workers answer: they are asked again and again, whatever they are doing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence

from graphengine.errors import GraphEngineError
from graphengine.workers.slots import Slot

__all__ = ["PING_EVERY_S", "ping_all"]

logger = logging.getLogger(__name__)

PING_EVERY_S = 1.0


async def ping_all(slots: Sequence[Slot], stuck_timeout_s: float | None) -> None:
    """Ask all workers whether they are there.

    Args:
        stuck_timeout_s: Kill one that has answered nothing for so long; None for never.
    """
    await asyncio.gather(*(_ping(slot, stuck_timeout_s) for slot in slots))


async def _ping(slot: Slot, stuck_timeout_s: float | None) -> None:
    worker = slot.worker
    if worker is None or slot.phase != "ready":
        return
    with contextlib.suppress(GraphEngineError, TimeoutError):
        await worker.ask("ping", timeout_s=PING_EVERY_S)
        slot.answered = time.monotonic()
    silent_s = time.monotonic() - slot.answered
    if stuck_timeout_s is None or silent_s <= stuck_timeout_s or slot.worker is not worker:
        return
    logger.error("the worker for %s did not answer for %.0f s and is killed", slot.device, silent_s)
    if slot.attempt is not None:
        slot.attempt.guard.kill_stuck(silent_s)
    else:
        worker.kill()
