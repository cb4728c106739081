"""What tests of the server share; a server is started once, by the first test that needs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from graphengine.server.library import WorkflowLibrary
from graphengine.server.security import SecurityPolicy
from graphengine.server.tokens import TokenStore
from tests.server.asking import POLICY
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


@pytest.fixture
def tokens(tmp_path: Path) -> TokenStore:
    """A file of tokens, with none in it."""
    return TokenStore(tmp_path / "tokens.json")


@pytest.fixture
def secret(tokens: TokenStore) -> str:
    """Ada's token."""
    return tokens.create("laptop", "ada")


@pytest.fixture
def locked(tokens: TokenStore) -> SecurityPolicy:
    """A policy that lets nobody in without a token."""
    return SecurityPolicy(POLICY.hosts, POLICY.origins, tokens, True, open_routes=frozenset({"/"}))


@pytest.fixture
def library(tmp_path: Path) -> WorkflowLibrary:
    """Saved workflows, none yet."""
    return WorkflowLibrary(tmp_path / "library")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where ``library`` keeps them."""
    return tmp_path / "library"
