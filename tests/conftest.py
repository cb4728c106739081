"""Small worlds for the tests: the arithmetic pack, settings in a temporary folder, an engine over both."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# Before torch is loaded: tests' tensors are small, and several threads for them cost more than they save; on a busy
# machine, many times as much. Processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from graphengine.cli import main
from graphengine.config import Settings
from graphengine.core.collector import held_back
from graphengine.core.registry import Registry
from graphengine.engine import Engine
from tests.command_line import PACKS, Result, Run, written
from tests.known_definitions import share_definitions
from tests.packs import arithmetic as arithmetic_pack

# A busy machine makes any example late, and says nothing about the code. Each run draws other examples than the last.
hypothesis.settings.register_profile("any machine", deadline=None, max_examples=50)
hypothesis.settings.load_profile("any machine")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Import the tests and what they test without looking for garbage: there are a million objects, and all stay."""
    with held_back():
        return (yield)


@pytest.fixture(scope="module", autouse=True)
def _known_to_stay() -> None:
    """Keep the collector from looking at libraries again and again, which took an eighth of all tests' time."""
    gc.freeze()


@pytest.fixture(scope="session")
def arithmetic() -> Registry:
    return Registry([arithmetic_pack.pack])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data=tmp_path / "data", output=tmp_path / "output", roots=(tmp_path / "models",), check_immutable=True
    )


@pytest.fixture
def engine(arithmetic: Registry, settings: Settings) -> Engine:
    return Engine(arithmetic, settings)


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in process, with the arithmetic pack; a dict among the arguments becomes a workflow file."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: Any, packs: tuple[str, ...] = ("arithmetic",)) -> Result:  # Any: texts, paths, documents
        words = [written(tmp_path, each) if isinstance(each, dict) else str(each) for each in arguments]
        share_definitions(tmp_path / "data")
        if words and words[0] in ("run", "check", "nodes", "plan", "why", "migrate"):
            words += ["--data", str(tmp_path / "data")]
            words += [word for pack in packs for word in ("--pack", str(PACKS / f"{pack}.py"))]
        code = main(words)
        out, err = capsys.readouterr()
        return code, out, err

    return run
