"""The server that the fault tests share: it has to outlive them all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.processes import faulty_server
from tests.server.running import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose nodes misbehave."""
    with faulty_server(tmp_path_factory.mktemp("faults")) as started:
        yield started
