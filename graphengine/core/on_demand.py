"""Parts of values that are made when they are first read.

A model with adapters is such a value: its changed network takes as much memory as the one it was made from, and the
models between two adapters of a stack are never used themselves. Whoever reads the field gets the thing itself, and
needn't know; whoever only looks values over asks ``held`` instead, which makes nothing.
"""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

__all__ = ["OnDemand", "held", "made_on_demand"]

T = TypeVar("T")


class OnDemand(ABC):
    """A part that isn't made yet; it stands in its place in a field named in ``made_on_demand``."""

    @abstractmethod
    def make(self) -> Any:  # Any: whatever the field is declared to be
        """Give the part, the same one again as long as it is kept."""

    @abstractmethod
    def has_made(self, part: object) -> bool:
        """Whether ``make`` gives this very part now."""

    def made_sizes(self) -> Mapping[object, int]:
        """Tell what making it takes, in bytes by what names each piece: makers that never keep theirs at once share."""
        return {}


_MAKER = "_made_on_demand_by"


def _maker(part: Any) -> Any:  # Any: a field's value
    """Give what made a part: ``dataclasses.replace`` reads fields, and the copy is to hold what the original did."""
    reference = getattr(part, "__dict__", {}).get(_MAKER)
    maker = None if reference is None else reference()
    return maker if maker is not None and maker.has_made(part) else part


class _Field:
    """Reads a dataclass's field, making what is there on demand."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, value: Any, owner: type | None = None) -> Any:  # Any: a dataclass and its field
        if value is None:
            raise AttributeError(self.name)  # the class itself has no such attribute, so the field has no default
        part = value.__dict__[self.name]
        if not isinstance(part, OnDemand):
            return part
        made = part.make()
        made.__dict__[_MAKER] = weakref.ref(part)
        return made

    def __set__(self, value: Any, part: Any) -> None:  # Any: as above
        value.__dict__[self.name] = _maker(part)


def made_on_demand(*names: str) -> Callable[[type[T]], type[T]]:
    """Let fields of a dataclass hold an ``OnDemand``; decorates the dataclass."""

    def install(kind: type[T]) -> type[T]:
        for name in names:
            setattr(kind, name, _Field(name))
        return kind

    return install


def held(value: Any, name: str) -> Any:  # Any: a dataclass and its field
    """Give what a field holds, without making it."""
    return value.__dict__[name] if isinstance(vars(type(value)).get(name), _Field) else getattr(value, name)
