"""What waits for what: one computation's view of the steps that are still to be done."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from heapq import heappop, heappush

__all__ = ["Front"]


class Front:
    """Steps that were asked for and are not done, each with the number of steps that it waits for.

    A run has one; a lazy input that a node asks for while it runs has another on top, so that only its own ancestry
    is computed meanwhile. A step may stand in several: whichever takes it first runs it, and all are told.
    """

    def __init__(self) -> None:
        self.waiting: dict[int, int] = {}
        self.followers: dict[int, list[int]] = {}
        self._ready: list[int] = []
        self._ready_first: deque[int] = deque()

    def add(self, index: int, sources: Iterable[int], *, first: bool = False) -> None:
        """Add a step that waits for these; a step that waits already now waits for these.

        Args:
            first: Take it before others when it is ready: it runs beside them.
        """
        count = 0
        followers = self.followers
        for source in sources:
            if source in followers:
                followers[source].append(index)
            else:
                followers[source] = [index]
            count += 1
        self.waiting[index] = count
        if count == 0:
            self._make_ready(index, first=first)

    def settle(self, index: int, is_first: frozenset[int] | set[int]) -> None:
        """Take a step that is done off the list; what waited for nothing else becomes ready."""
        if self.waiting.pop(index, None) is None:
            return
        for follower in self.followers.pop(index, ()):
            left = self.waiting[follower] - 1
            self.waiting[follower] = left
            if left == 0:
                self._make_ready(follower, first=follower in is_first)

    def take(self) -> int | None:
        """Give the next ready step, in the plan's order; None if all wait."""
        while self._ready_first:
            index = self._ready_first.popleft()
            if self.waiting.get(index) == 0:
                return index
        while self._ready:
            index = heappop(self._ready)
            if self.waiting.get(index) == 0:
                return index
        return None

    def _make_ready(self, index: int, *, first: bool) -> None:
        if first:
            self._ready_first.append(index)
        else:
            heappush(self._ready, index)
