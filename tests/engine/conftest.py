"""An engine over nodes that a test writes itself, beside the packs that engine tests share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graphengine import NodePack
from graphengine.config import Settings
from graphengine.core.registry import Registry
from graphengine.engine import Engine
from graphengine_nodes import pack as built_in
from tests.packs import arithmetic, waiting

MakeEngine = Callable[..., Engine]


@pytest.fixture
def engine_with(settings: Settings) -> MakeEngine:
    def engine_with(*functions: Any, **changes: Any) -> Engine:  # Any: node functions of every signature; settings
        own = NodePack("own", functions=functions, version="1")
        changed = Settings(**{**vars(settings), **changes})
        return Engine(Registry([own, arithmetic.pack, waiting.pack, built_in]), changed)

    return engine_with
