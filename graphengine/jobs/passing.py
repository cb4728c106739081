"""Who may pass a job that waits for several devices, so that neither it nor what is behind it waits for ever.

Devices that are idle when its turn comes are held for it until there are enough. What runs on the others may take
hours; a job that will be over by then costs the waiting one nothing, and may go first:

    device 0   ████ a training ███████████│
    device 1   ██ picture ██ picture █····│  held for the next one from here on: no more fits
                                          └─ both are free: the job for two devices begins
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["UNKNOWN_S", "seconds_until_free"]

UNKNOWN_S = 60.0
"""What a job is taken to need when nothing like it was measured; of these only so many may pass."""


def seconds_until_free(running: Iterable[tuple[float, float | None, int]], missing: int, now: float) -> float:
    """Estimate when so many more devices are free.

    Args:
        running: Of each job: when it started, how long it should take in all, how many devices it has.

    Returns:
        0 if that can't be told.
    """
    for seconds, devices in sorted((_left(now - started, estimate), devices) for started, estimate, devices in running):
        missing -= devices
        if missing <= 0:
            return seconds
    return 0.0


def _left(elapsed: float, estimate: float | None) -> float:
    """Estimate how much longer a job runs; one that nobody knows, as long again as it has run."""
    return estimate - elapsed if estimate is not None and estimate > elapsed else elapsed
