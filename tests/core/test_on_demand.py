from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import pytest

from graphengine.core.on_demand import OnDemand, held, made_on_demand


class Thing:
    """What is made."""


class Maker(OnDemand):
    def __init__(self) -> None:
        self.made: Thing | None = None

    def make(self) -> Thing:
        self.made = self.made or Thing()
        return self.made

    def has_made(self, part: object) -> bool:
        return part is self.made


@made_on_demand("thing")
@dataclass(frozen=True)
class Holder:
    thing: Any  # Any: a Thing, or what makes one
    name: str = ""


def test_a_part_is_made_when_it_is_read_and_not_when_it_is_looked_at() -> None:
    maker = Maker()
    holder = Holder(maker, "a")
    assert held(holder, "thing") is maker
    assert held(holder, "name") == "a"
    assert maker.made is None
    assert holder.thing is maker.made is holder.thing


def test_a_part_that_is_there_is_itself() -> None:
    thing = Thing()
    assert Holder(thing).thing is held(Holder(thing), "thing") is thing


def test_a_copy_holds_what_the_original_did() -> None:
    maker = Maker()
    copied = replace(Holder(maker), name="b")
    assert held(copied, "thing") is maker
    maker.made = None  # given up: what was made is only itself now
    old = copied.thing
    maker.made = Thing()
    assert held(replace(copied, thing=old), "thing") is old


def test_a_field_made_on_demand_is_still_required_and_named() -> None:
    assert [each.name for each in fields(Holder)] == ["thing", "name"]
    with pytest.raises(TypeError, match="thing"):
        Holder()  # type: ignore[call-arg]  # that is what is tried
