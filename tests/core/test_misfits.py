"""While a wire is drawn, sockets are found that it wouldn't fit, in the words in which a check would refuse it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from graphengine.config import Settings
from graphengine.core.graph import check, misfits
from graphengine.core.misfits import Socket
from graphengine.core.registry import Registry
from tests.core.test_facts import DEEPER, UNKNOWN, WIDER, A, registry, settings
from tests.drawn import drawn

__all__ = ["registry", "settings"]

Shown = Any  # Any: the fixture below


@pytest.fixture
def shown(registry: Registry, settings: Settings) -> Shown:
    """Give what misfits a wire from a socket: socket -> where it would show."""

    def shown(nodes: Mapping[str, Any], node: str, name: str, side: Any = "output", **parts: Any) -> dict[str, str]:
        workflow = drawn(nodes, **parts)
        found = misfits(workflow, registry.definitions, settings, registry.function, Socket(node, name, side))
        return {f"{each.node}.{each.name}": f"{each.problem.node}.{each.problem.input}" for each in found}

    return shown


FIRST = {"a": A, "prompt": ("Read", {"clip": "@a.clip"}), "latent": ("Encode", {"vae": "@a.vae"})}
SAMPLER = ("Sample", {"model": "@a.model", "prompt": "@prompt.conditioning", "latent": "@latent.latent"})


def test_another_model_misfits_where_the_prompt_is_of_the_first(shown: Shown) -> None:
    """
    a ──clip──▶ prompt ──▶ sampler ◀╌╌model╌╌ b
    """
    nodes = FIRST | {"b": WIDER, "sampler": SAMPLER}
    assert shown(nodes, "b", "model") == {"sampler.model": "sampler.prompt"}
    assert shown(nodes, "sampler", "model", "input") == {"b.model": "sampler.prompt"}


def test_what_shows_far_behind_the_link_is_found(shown: Shown) -> None:
    """
    b ╌╌clip╌╌▶ prompt ──▶ sampler ◀──model── a
    """
    nodes = FIRST | {"b": WIDER, "sampler": SAMPLER}
    assert shown(nodes, "b", "clip") == {"prompt.clip": "sampler.prompt"}
    assert shown(nodes, "prompt", "clip", "input") == {"b.clip": "sampler.prompt"}


def test_the_words_are_those_of_the_check(registry: Registry, settings: Settings) -> None:
    nodes = FIRST | {"b": DEEPER, "sampler": SAMPLER, "other": ("Encode", {"vae": "@b.vae"})}
    (found,) = misfits(
        drawn(nodes), registry.definitions, settings, registry.function, Socket("other", "latent", "output")
    )
    nodes["sampler"] = ("Sample", SAMPLER[1] | {"latent": "@other.latent"})
    refused = check(drawn(nodes), registry.definitions, settings, targets=["sampler"], function_of=registry.function)
    assert [found.problem] == refused


def test_what_fits_or_is_not_known_is_no_misfit(shown: Shown) -> None:
    nodes = FIRST | {"b": A, "c": UNKNOWN, "sampler": SAMPLER}
    for other in ("b", "c"):
        assert shown(nodes, other, "model") == {}
        assert shown(nodes, other, "clip") == {}
    assert shown(nodes, "sampler", "model", "input") == {}


def test_an_open_input_takes_all_that_its_neighbours_let_it(shown: Shown) -> None:
    nodes = {"a": A, "b": DEEPER, "latent": ("Encode", {"vae": "@a.vae"}), "sampler": ("Sample", {"model": "@a.model"})}
    assert shown(nodes, "latent", "latent") == {}
    assert shown(nodes, "sampler", "latent", "input") == {}
    nodes["latent"] = ("Encode", {"vae": "@b.vae"})
    assert shown(nodes, "sampler", "latent", "input") == {"latent.latent": "sampler.latent"}


def test_what_is_wrong_already_is_not_held_against_another_wire(shown: Shown) -> None:
    """The sampler's prompt doesn't fit its model; a latent for it may."""
    nodes = FIRST | {"b": WIDER, "sampler": ("Sample", SAMPLER[1] | {"model": "@b.model"})}
    assert shown(nodes, "latent", "latent") == {}
    assert shown(nodes, "a", "model") == {}  # which mends it


def test_a_new_source_mends_what_was_made_of_the_old_one(shown: Shown) -> None:
    """
    a ──▶ blank ──▶ sampler ◀──model── b      blank makes what its model takes
    """
    nodes = {
        "a": A,
        "b": DEEPER,
        "blank": ("Blank", {"model": "@a.model"}),
        "sampler": ("Sample", {"model": "@b.model", "latent": "@blank.latent"}),
    }
    assert shown(nodes, "b", "model") == {}
    assert shown(nodes, "a", "model") == {}


def test_a_circle_is_not_tried(shown: Shown) -> None:
    nodes = FIRST | {"sampler": SAMPLER, "next": ("Sample", {"model": "@a.model", "latent": "@sampler.latent"})}
    assert shown(nodes, "next", "latent") == {}


def test_sub_graphs_are_looked_through(shown: Shown) -> None:
    """
    ┌ read: clip ──▶ prompt ──▶ conditioning ┐ ──▶ sampler ◀──model── a
    """
    inner = {
        "inputs": {"clip": {"type": "CLIP", "to": ["prompt.clip"]}},
        "outputs": {"conditioning": {"from": "prompt.conditioning"}},
        "nodes": {"prompt": {"type": "Read"}},
    }
    nodes = {
        "a": A,
        "b": WIDER,
        "read": ("subgraph:read", {"clip": "@b.clip"}),
        "latent": ("Encode", {"vae": "@a.vae"}),
        "sampler": ("Sample", {"model": "@a.model", "latent": "@latent.latent"}),
        "second": ("Sample", {"model": "@a.model", "latent": "@latent.latent", "prompt": "@own.conditioning"}),
        "own": ("Read", {"clip": "@a.clip"}),
    }
    parts = {"subgraphs": {"read": inner}}
    assert shown(nodes, "read", "conditioning", **parts) == {
        "sampler.prompt": "sampler.prompt",
        "second.prompt": "second.prompt",
    }
    assert shown(nodes, "sampler", "prompt", "input", **parts) == {"read.conditioning": "sampler.prompt"}
    nodes["sampler"] = ("Sample", {"model": "@a.model", "prompt": "@read.conditioning", "latent": "@latent.latent"})
    nodes["read"] = ("subgraph:read", {"clip": "@a.clip"})
    assert shown(nodes, "b", "clip", **parts) == {"read.clip": "sampler.prompt", "own.clip": "second.prompt"}


def test_within_a_sub_graph_its_own_sockets_are_tried(shown: Shown) -> None:
    """
    a ──▶ ┌ up: model ──▶ sampler ◀╌╌ latent ◀── b.vae ┐
    """
    inner = {
        "inputs": {"model": {"type": "MODEL", "to": ["sampler.model"]}, "vae": {"type": "VAE", "to": ["latent.vae"]}},
        "outputs": {"latent": {"from": "sampler.latent"}},
        "nodes": {"sampler": {"type": "Sample"}, "latent": {"type": "Encode"}},
    }
    nodes = {"a": A, "b": DEEPER, "up": ("subgraph:up", {"model": "@a.model", "vae": "@b.vae"})}
    assert shown(nodes, "up/latent", "latent", subgraphs={"up": inner}) == {"up/sampler.latent": "up/sampler.latent"}


def test_a_graph_with_a_missing_file_or_a_circle_is_looked_at_as_far_as_it_goes(shown: Shown) -> None:
    nodes = FIRST | {
        "b": WIDER,
        "sampler": SAMPLER,
        "gone": ("Load", {"file": "nowhere"}),
        "x": ("Mix", {"first": "@y.latent", "second": "@y.latent"}),
        "y": ("Mix", {"first": "@x.latent", "second": "@x.latent"}),
        "odd": "Unheard",
    }
    assert shown(nodes, "b", "clip") == {"prompt.clip": "sampler.prompt"}
    assert shown(nodes, "gone", "clip") == {}
    assert shown(nodes, "y", "latent") == {}
    assert shown(nodes, "nobody", "clip") == {}
    assert shown(nodes, "odd", "clip", "input") == {}
