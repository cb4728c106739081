"""Small worlds for the tests: the arithmetic pack, settings in a temporary folder, an engine over both."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphengine.config import Settings
from graphengine.core.registry import Registry
from graphengine.engine import Engine
from tests.packs import arithmetic as arithmetic_pack


@pytest.fixture(scope="session")
def arithmetic() -> Registry:
    return Registry([arithmetic_pack.pack])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data", output=tmp_path / "output", roots=(tmp_path / "models",))


@pytest.fixture
def engine(arithmetic: Registry, settings: Settings) -> Engine:
    return Engine(arithmetic, settings)
