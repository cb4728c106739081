"""What is found wrong with a workflow of the arithmetic and the typed pack."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from graphengine.config import Settings
from graphengine.core.graph import check
from graphengine.core.registry import Registry
from graphengine.errors import Problem
from tests.drawn import Drawing, drawn
from tests.packs import arithmetic as arithmetic_pack
from tests.packs import typed

Found = Callable[..., list[Problem]]
SHOWN = {"out": ("Show", {"value": "@x.number"})}
"""An end for workflows about a node 'x'."""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry([arithmetic_pack.pack, typed.pack])


@pytest.fixture
def found(registry: Registry, settings: Settings) -> Found:
    def found(nodes: Drawing, *, targets: list[str] | None = None, **parts: object) -> list[Problem]:
        workflow = drawn(nodes, **parts)
        return check(workflow, registry.definitions, settings, targets=targets, function_of=registry.function)

    return found
