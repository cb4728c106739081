"""What the server refuses before anything else sees it, whom it lets in, and the headers of what it answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp import WSServerHandshakeError, web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from multidict import CIMultiDict

from graphengine.server.problems import problem_response
from graphengine.server.security import OWNER, SecurityError, SecurityPolicy, make_security, secure
from graphengine.server.sessions import SESSION_COOKIE, Sessions
from graphengine.server.tokens import SESSION_SECONDS, TokenStore

HOSTS = frozenset({"Box.example"})
ORIGINS = frozenset({"https://Studio.example:443", "http://localhost:3000"})
OPEN = SecurityPolicy(HOSTS, ORIGINS, None, False)

type Client = TestClient[web.Request, web.Application]
