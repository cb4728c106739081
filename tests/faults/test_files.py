"""Damaged model files end in a clear error, soon, and never with the worker."""

from __future__ import annotations

import pytest

from tests.faults.files import DAMAGES, load_corrupt
from tests.faults.processes import only_worker
from tests.server.running import Server


@pytest.mark.slow
def test_corrupt_model_files_cost_their_own_job_only(server: Server) -> None:
    pid = only_worker(server)["pid"]
    tried = load_corrupt(server, 20, [kind for kind in DAMAGES if kind != "very many tensors"])  # that takes seconds
    assert {each.outcome for each in tried} == {"told", "loaded"}
    assert max(each.seconds for each in tried) < 15  # 2 on a quiet machine
    assert only_worker(server)["pid"] == pid
