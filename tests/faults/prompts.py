"""Workflows and requests that nobody wrote: made up by hypothesis, and by schemathesis from the API's description."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.faults.measured import Result, Scale
from tests.faults.processes import faulty_server, until_calm
from tests.server.running import Json, Server, one_node
from tests.server.test_described_requests import send_described

__all__ = ["generated_prompts"]

Inputs = dict[str, str]
"""Inputs' types by name."""

Kinds = dict[str, Inputs]

# What is accepted also runs, and has to end soon.
_QUICK = [
    *("t.Number", "t.Whole", "t.Add", "t.Say", "t.Fail", "t.Ordered", "w.Number", "w.Add", "w.Things"),
    *("Calculate", "Compare", "Round", "TextList", "JoinLists", "SelectItem", "ListLength", "Switch"),
]
_IDS = ["a", "b", "c", "d"]
_OUTPUTS = ["number", "sum", "value", "text", "result", "things", "list", ""]
_LINKS: SearchStrategy[Json] = st.tuples(st.sampled_from(_IDS), st.sampled_from(_OUTPUTS)).map(
    lambda ends: {"$link": ".".join(ends)}
)
_VALUES: dict[str, SearchStrategy[Json]] = {
    "INT": st.integers(-5, 5),
    "FLOAT": st.floats(-5, 5),
    "STRING": st.text(max_size=20),
    "BOOLEAN": st.booleans(),
}


def generated_prompts(folder: Path, scale: Scale) -> Result:
    """Row 7: made-up workflows, which are checked or, if they are of quick nodes, run."""
    with faulty_server(folder) as server:
        kinds = {kind: _input_types(shown) for kind, shown in server.ask("GET", "/nodes").json["nodes"].items()}
        statuses = _send_all(server, kinds, scale.prompts)
        described = send_described(server, examples=max(scale.prompts // 200, 2))
        server.ask("POST", "/queue/resume")
        until_calm(server)
        works = server.end_of(server.submit(one_node("t.Say")))["state"] == "done"
        log = (server.data.parent / "server.log").read_text(errors="replace")
    failed = sum(times for status, times in statuses.items() if status >= 500)
    failed += len(re.findall(r"ERROR [A-Z]+ /.* failed", log))
    told = ", ".join(f"{times:,} x {status}" for status, times in sorted(statuses.items()))
    return Result(
        f"{failed} x 5xx ({scale.prompts:,} workflows: {told}; {described:,} other requests)", not failed and works
    )


def _input_types(shown: Json) -> Inputs:
    return {place["name"]: place["type"] for place in shown.get("inputs", [])}


def _send_all(server: Server, kinds: Kinds, count: int) -> Counter[int]:
    """Send half of them to be run, and half to be checked."""
    quick = {kind: kinds[kind] for kind in _QUICK}
    return _send(server, "/jobs", quick, count // 2) + _send(server, "/check", kinds, count // 2)


def _send(server: Server, path: str, kinds: Kinds, count: int) -> Counter[int]:
    """Make up workflows of some kinds of nodes, and count the answers by status."""
    statuses: Counter[int] = Counter()

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(document=_workflows(kinds))
    def send(document: Json) -> None:
        statuses[server.ask("POST", path, {"workflow": document}).status] += 1

    send()
    return statuses


def _workflows(kinds: Kinds) -> SearchStrategy[Json]:
    nodes = st.sampled_from(sorted(kinds)).flatmap(lambda kind: _nodes(kind, kinds[kind]))
    return st.fixed_dictionaries(
        {
            "format": st.sampled_from(["graphengine"] * 19 + ["comfy"]),
            "version": st.sampled_from([1] * 19 + [2]),
            "nodes": st.dictionaries(
                _mostly(st.sampled_from(_IDS), st.text(max_size=5)), nodes, min_size=1, max_size=4
            ),
        },
        optional={"outputs": _mostly(st.just({}), st.dictionaries(st.text(max_size=5), _odd_values(), max_size=2))},
    )


def _nodes(kind: str, inputs: Inputs) -> SearchStrategy[Json]:
    right = st.fixed_dictionaries(
        {}, optional={name: _mostly(_VALUES.get(type_, _LINKS), _odd_values()) for name, type_ in inputs.items()}
    )
    wrong = st.dictionaries(st.text(max_size=5), _odd_values(), max_size=3)
    return st.fixed_dictionaries(
        {"type": _mostly(st.just(kind), st.text(max_size=10)), "inputs": _mostly(right, wrong)},
        optional={"mode": _mostly(st.sampled_from(["active", "muted", "bypassed"]), st.text(max_size=5))},
    )


def _odd_values() -> SearchStrategy[Json]:
    plain: SearchStrategy[Any] = (  # Any: JSON
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    )
    nested = st.recursive(
        plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner), max_leaves=5
    )
    return _LINKS | plain | nested


def _mostly(right: SearchStrategy[Any], wrong: SearchStrategy[Any]) -> SearchStrategy[Any]:  # Any: JSON
    return st.integers(0, 9).flatmap(lambda number: wrong if number == 9 else right)
