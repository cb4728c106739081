"""Read batches ahead while the network computes.

Threads do it: decoding and scaling pictures leave the interpreter to others, and nothing has to be copied between
processes. What a batch holds is decided by its step alone, so the number of threads changes nothing but the time.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor

from graphengine.diffusion.batch_order import Order
from graphengine.training_types import Dataset, ExampleField, Examples

__all__ = ["BatchFeed"]


class BatchFeed:
    """The batches of a training, step by step.

    Args:
        dataset: Asked from several threads at once.
        order: Which examples each step sees.
        fields: What is asked of each example.
        workers: Threads that read ahead, one batch each and one more; 0 reads each batch when it is needed.
        steps: Where the training ends; nothing is read past it.

    Attributes:
        waited_s: How long the training has waited for data.
    """

    def __init__(
        self, dataset: Dataset, order: Order, fields: Collection[ExampleField], *, workers: int, steps: int
    ) -> None:
        self._dataset = dataset
        self._order = order
        self._fields = fields
        self._ahead = workers + 1 if workers else 0
        self._steps = steps
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="data") if workers else None
        self._read: dict[int, Future[Examples]] = {}
        self.waited_s = 0.0

    def take(self, step: int) -> Examples:
        """Give a step's batch, and begin to read those after it.

        Raises:
            InputError: if the dataset can't give it.
        """
        started = time.perf_counter()
        if self._threads is None:
            examples = self._dataset.examples(self._order.indices(step), self._fields)
        else:
            self._read_ahead(self._threads, step)
            examples = self._read.pop(step).result()
        self.waited_s += time.perf_counter() - started
        return examples

    def close(self) -> None:
        """Stop reading."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def _read_ahead(self, threads: ThreadPoolExecutor, step: int) -> None:
        wanted = range(step, max(step + 1, min(step + self._ahead, self._steps)))
        for other in set(self._read) - set(wanted):  # the training went on from another step
            self._read.pop(other).cancel()
        for each in wanted:
            if each not in self._read:
                self._read[each] = threads.submit(self._dataset.examples, self._order.indices(each), self._fields)
