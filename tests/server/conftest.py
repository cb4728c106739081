"""The servers that the tests of the API share: each is started once, by the first test that needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.running import Server, running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for no token."""
    with running(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that tells Anna from Ben by their tokens."""
    with running(tmp_path_factory.mktemp("guarded"), "--require-token", owners=("anna", "ben")) as started:
        yield started
