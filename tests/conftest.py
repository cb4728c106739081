"""Small worlds for the tests: the arithmetic pack, settings in a temporary folder, an engine over both."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before torch is loaded: tests' tensors are small, and several threads for them cost more than they save; on a busy
# machine, many times as much. Processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

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
