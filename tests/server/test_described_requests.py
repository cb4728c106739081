"""The server keeps what its description says, whatever requests are made up from that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.server.running import Server, one_node, running
from tests.server.test_openapi import committed

_EXAMPLES = 5
_LEFT_OUT = {"/api/v1/events", "/api/v1/queue/pause"}  # no HTTP; and it would stop the others' jobs


@pytest.mark.slow
def test_server_keeps_what_the_description_says(tmp_path: Path) -> None:
    """Send a few hundred requests, right and wrong ones."""
    with running(tmp_path) as server:
        server.end_of(server.submit(one_node("t.Say")))
        assert 200 <= send_described(server, examples=_EXAMPLES) <= 1000
        assert server.end_of(server.submit(one_node("t.Say")))["state"] == "done"


def send_described(server: Server, *, examples: int) -> int:
    """Send so many right and wrong requests for each operation, and give how many there were."""
    import schemathesis

    sent = 0
    for found in schemathesis.openapi.from_dict(committed()).get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]  # Any: its class is generic in what is private
        if operation.path not in _LEFT_OUT:
            sent += _send_all(server, operation, examples)
    return sent


def _send_all(server: Server, operation: Any, examples: int) -> int:  # Any: as above
    """Send requests for an operation, and give how many there were."""
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    sent = 0
    promises = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]
    modes = [GenerationMode.POSITIVE, *([GenerationMode.NEGATIVE] if _can_be_wrong(operation) else [])]
    for mode in modes:

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def send(case: Any) -> None:  # Any: as above
            nonlocal sent
            case.call_and_validate(base_url=f"http://{server.host}:{server.port}", checks=promises, timeout=20)
            sent += 1

        send()
    return sent


def _can_be_wrong(operation: Any) -> bool:  # Any: as above
    """Tell whether an operation has a query or a body, without which no wrong request can be made up."""
    described = committed()["paths"][operation.path][operation.method]
    return "requestBody" in described or any(each["in"] == "query" for each in described.get("parameters", []))
