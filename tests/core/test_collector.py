from __future__ import annotations

import gc

import pytest

from graphengine.core.collector import held_back, set_aside


def test_the_collector_is_left_as_it_was() -> None:
    with pytest.raises(ZeroDivisionError), held_back():
        _ = 1 / int(gc.isenabled())
    assert gc.isenabled()
    gc.disable()
    try:
        with held_back():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_is_made_while_the_rest_is_set_aside_is_collected() -> None:
    class Knot:
        count = 0

        def __init__(self) -> None:
            self.itself = self
            Knot.count += 1

        def __del__(self) -> None:
            Knot.count -= 1

    with set_aside(nodes=10_000):
        assert gc.get_freeze_count() > 0
        Knot()
        gc.collect()
        assert Knot.count == 0
    assert gc.get_freeze_count() == 0


def test_nothing_is_set_aside_for_a_small_graph() -> None:
    gc.unfreeze()
    with set_aside(nodes=10):
        assert gc.get_freeze_count() == 0
