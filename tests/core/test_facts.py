"""Facts travel along links; parts of a graph that don't fit are refused with the remedy, all others pass."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import pytest

from graphengine import FilesIn, Subgraph, node
from graphengine.authoring.expansion import Expansion
from graphengine.authoring.packs import NodePack
from graphengine.config import Settings
from graphengine.core.definition import Body
from graphengine.core.graph import build_graph, check
from graphengine.core.planner import Planner
from graphengine.core.registry import Registry
from graphengine.core.workflow import Workflow
from graphengine.errors import InputError, InvalidWorkflow, Problem
from graphengine.types import Clip, Conditioning, Guider, Latent, Model, Vae
from tests.drawn import Document, Drawing, document, drawn

T = TypeVar("T")
Facts = Mapping[str, Any]  # Any: numbers and texts


class Parts(NamedTuple):
    """Parts.

    Attributes:
        model: A denoiser.
        clip: A text encoder.
        vae: An autoencoder.
    """

    model: Model
    clip: Clip
    vae: Vae


def _load_facts(literals: Facts, _facts: Mapping[str, Facts]) -> Mapping[str, Facts]:
    """Read "768-4-8": width, channels, factor."""
    width, channels, factor = (int(part) or None for part in literals["file"].name.split("-"))
    of_latents = {"latent_channels": channels, "latent_factor": factor}
    return {"model": {"context_width": width, **of_latents}, "clip": {"context_width": width}, "vae": of_latents}


@node("Load", category="test", refine=_load_facts)
def load(file: Annotated[Path, FilesIn("checkpoints")]) -> Parts:
    """Open parts."""
    raise NotImplementedError(file)


@node(
    "Blank",
    category="test",
    refine=lambda literals, facts: (
        {} if "model" in facts else {"latent": {"latent_channels": literals["latent_channels"]}}
    ),
)
def blank(latent_channels: int = 4, size: int = 8, model: Model | None = None) -> Latent:
    """Make a latent."""
    raise NotImplementedError


@node("Narrow", category="test", refine=lambda _literals, _facts: {"clip": {"context_width": 1}})
def narrow() -> Clip:
    """Make a text encoder."""
    raise NotImplementedError


@node("Guide", category="test")
def guide(model: Model) -> Guider:
    """Hold a model."""
    raise NotImplementedError(model)


@node("SampleGuided", category="test")
def sample_guided(guider: Guider, latent: Latent) -> Latent:
    """Sample."""
    raise NotImplementedError(guider, latent)


@node("Loud", category="test", refine=lambda _literals, facts: {"latent": {"latent_channels": facts["nothing"]}})
def loud(latent: Latent) -> Latent:
    """Have a refine that fails."""
    raise NotImplementedError


@node("Odd", category="test", refine=lambda _literals, _facts: {"latent": {"latent_channels": [4], "hue": "red"}})
def odd(number: int = 0) -> Latent:
    """State what is no fact, and one that nobody knows."""
    raise NotImplementedError


def _at_least(literals: Facts, facts: Mapping[str, Facts]) -> Mapping[str, Facts]:
    if facts["latent"]["latent_channels"] < literals["least"]:
        raise InputError("least", "the latent has too few channels.", "Choose fewer.")
    return {}


@node("AtLeast", category="test", refine=_at_least)
def at_least(latent: Latent, least: int = 8) -> Latent:
    """Want a latent of many channels."""
    raise NotImplementedError


@node("Read", category="test")
def read(clip: Clip) -> Conditioning:
    """Read a prompt."""
    raise NotImplementedError


@node("Sample", category="test")
def sample(model: Model, latent: Latent, prompt: Conditioning | None = None) -> Latent:
    """Sample."""
    raise NotImplementedError


@node("Encode", category="test")
def encode(vae: Vae) -> Latent:
    """Make a latent of an autoencoder."""
    raise NotImplementedError


@node("Decode", category="test", output_node=True)
def decode(latent: Latent, vae: Vae) -> None:
    """Decode."""
    raise NotImplementedError


@node("Mix", category="test")
def mix(first: Latent, second: Latent) -> Latent:
    """Mix latents."""
    raise NotImplementedError


@node("Either", category="test", outputs="value")
def either(first: T, second: T | None = None) -> T:
    """Pass one of two on."""
    raise NotImplementedError


@node("Gather", category="test", outputs="items")
def gather(first: T, second: T) -> list[T]:
    """Make a list."""
    raise NotImplementedError


@node("Twice", category="test", output_node=True, body=Body())
def twice(body: Subgraph, **inputs: object) -> Expansion:
    """Run a sub-graph."""
    raise NotImplementedError


NODES = (
    load,
    guide,
    sample_guided,
    blank,
    narrow,
    loud,
    odd,
    at_least,
    read,
    sample,
    encode,
    decode,
    mix,
    either,
    gather,
    twice,
)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry([NodePack("facts", functions=NODES)])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    folder = tmp_path / "models" / "checkpoints"
    folder.mkdir(parents=True)
    for name in ("768-4-8", "1024-4-8", "768-16-8", "0-4-1", "0-0-0"):
        (folder / name).write_text(name)
    return Settings(data=tmp_path / "data", output=tmp_path / "output", roots=(tmp_path / "models",))


@pytest.fixture
def found(registry: Registry, settings: Settings) -> Any:  # Any: a function of what drawn() takes
    def found(nodes: Mapping[str, Any], **parts: Any) -> list[Problem]:
        workflow = drawn(nodes, **parts)
        return check(workflow, registry.definitions, settings, targets=list(nodes), function_of=registry.function)

    return found


Found = Any  # Any: the fixture above

A = ("Load", {"file": "768-4-8"})
WIDER = ("Load", {"file": "1024-4-8"})
DEEPER = ("Load", {"file": "768-16-8"})
UNKNOWN = ("Load", {"file": "0-0-0"})
SAMPLER = {"model": "@a.model", "prompt": "@prompt.conditioning", "latent": "@blank.latent"}


def test_parts_of_one_checkpoint_fit(found: Found) -> None:
    """
    a ──clip──▶ prompt ──▶ sampler ──▶ decoded
    """
    nodes = {
        "a": A, "prompt": ("Read", {"clip": "@a.clip"}), "blank": "Blank", "sampler": ("Sample", SAMPLER),
        "decoded": ("Decode", {"latent": "@sampler.latent", "vae": "@a.vae"}),
    }  # fmt: skip
    assert found(nodes) == []


def test_a_prompt_of_another_width_is_refused(found: Found) -> None:
    nodes = {
        "a": A, "b": WIDER, "prompt": ("Read", {"clip": "@b.clip"}), "blank": "Blank", "sampler": ("Sample", SAMPLER),
    }  # fmt: skip
    (problem,) = found(nodes)
    assert str(problem) == (
        "node 'sampler' (Sample), input 'prompt': made with the text encoder of '1024-4-8' (node 'b'), 1024 wide; "
        "'model' is the denoiser of '768-4-8' (node 'a'), 768 wide.\n"
        "  Take both from the same checkpoint."
    )
    assert problem.as_json() | {"code": "facts_differ", "with": "model", "facts": {"context_width": [1024, 768]}} == (
        problem.as_json()
    )


def test_a_latent_whose_maker_could_follow_the_model_is_told_to(found: Found) -> None:
    nodes = {"a": DEEPER, "blank": "Blank", "sampler": ("Sample", {"model": "@a.model", "latent": "@blank.latent"})}
    (problem,) = found(nodes)
    assert str(problem) == (
        "node 'sampler' (Sample), input 'latent': a latent of node 'blank' (Blank), 4 latent channels; "
        "'model' is the denoiser of '768-16-8' (node 'a'), 16 latent channels.\n"
        "  Link 'model' of node 'blank' too."
    )
    nodes["blank"] = ("Blank", {"model": "@a.model"})
    assert found(nodes) == []


def test_a_latent_is_measured_by_the_model_in_a_guider(found: Found) -> None:
    """
    a ──model──▶ guider ──▶ sampler ◀── blank, of another number of channels
    """
    nodes = {
        "a": DEEPER, "guider": ("Guide", {"model": "@a.model"}), "blank": "Blank",
        "sampler": ("SampleGuided", {"guider": "@guider.guider", "latent": "@blank.latent"}),
    }  # fmt: skip
    (problem,) = found(nodes)
    assert str(problem) == (
        "node 'sampler' (SampleGuided), input 'latent': a latent of node 'blank' (Blank), 4 latent channels; "
        "'guider' is a guider with the denoiser of '768-16-8' (node 'a'), 16 latent channels.\n"
        "  Link 'model' of node 'blank' too."
    )
    nodes["blank"] = ("Blank", {"model": "@a.model"})
    assert found(nodes) == []


def test_several_differences_are_one_problem(found: Found) -> None:
    nodes = {
        "a": A, "pixels": ("Load", {"file": "0-4-1"}), "deep": DEEPER,
        "x": ("Encode", {"vae": "@pixels.vae"}), "y": ("Encode", {"vae": "@deep.vae"}),
        "mix": ("Mix", {"first": "@x.latent", "second": "@y.latent"}),
    }  # fmt: skip
    (problem,) = found(nodes)
    assert problem.message == (
        "a latent of '768-16-8' (node 'deep'), 16 latent channels, 8 pixels to a latent cell; "
        "'first' is a latent of '0-4-1' (node 'pixels'), 4 latent channels, 1 pixel to a latent cell."
    )


def test_a_difference_is_said_where_it_begins_only(found: Found) -> None:
    """
    deep ──▶ first ──▶ second ──▶ third     all with the model of a
    """
    nodes = {
        "a": A, "deep": DEEPER, "latent": ("Encode", {"vae": "@deep.vae"}),
        "first": ("Sample", {"model": "@a.model", "latent": "@latent.latent"}),
        "second": ("Sample", {"model": "@a.model", "latent": "@first.latent"}),
        "decoded": ("Decode", {"latent": "@second.latent", "vae": "@a.vae"}),
    }  # fmt: skip
    assert [(problem.node, problem.input) for problem in found(nodes)] == [("first", "latent")]


def test_what_is_not_known_fits_everything(found: Found) -> None:
    nodes = {
        "a": A, "b": UNKNOWN, "prompt": ("Read", {"clip": "@b.clip"}), "latent": ("Encode", {"vae": "@b.vae"}),
        "sampler": ("Sample", {"model": "@a.model", "prompt": "@prompt.conditioning", "latent": "@latent.latent"}),
        "other": ("Sample", {"model": "@b.model", "latent": "@sampler.latent"}),
    }  # fmt: skip
    assert found(nodes) == []


def test_a_latent_of_one_model_goes_on_in_another_that_reads_other_prompts(found: Found) -> None:
    nodes = {
        "a": A, "b": WIDER, "blank": ("Blank", {"model": "@a.model"}),
        "first": ("Sample", {"model": "@a.model", "latent": "@blank.latent"}),
        "second": ("Sample", {"model": "@b.model", "latent": "@first.latent"}),
    }  # fmt: skip
    assert found(nodes) == []


def test_alternatives_may_differ_and_pass_on_what_they_agree_on(found: Found) -> None:
    """
    a ──┐
        ├──▶ either ──▶ sampler     both have 4 channels, but read prompts of different widths
    b ──┘
    """
    nodes = {
        "a": A, "b": WIDER, "either": ("Either", {"first": "@a.model", "second": "@b.model"}),
        "prompt": ("Read", {"clip": "@a.clip"}), "deep": DEEPER, "latent": ("Encode", {"vae": "@deep.vae"}),
        "sampler": ("Sample", {"model": "@either.value", "prompt": "@prompt.conditioning", "latent": "@latent.latent"}),
    }  # fmt: skip
    assert [(problem.node, problem.input) for problem in found(nodes)] == [("sampler", "latent")]
    nodes["b"] = UNKNOWN  # then it may have as many channels as the latent
    assert found(nodes) == []


def test_an_alternative_that_is_left_open_plays_no_part(found: Found) -> None:
    nodes = {
        "a": A, "b": DEEPER, "either": ("Either", {"first": "@b.model"}), "latent": ("Encode", {"vae": "@a.vae"}),
        "sampler": ("Sample", {"model": "@either.value", "latent": "@latent.latent"}),
    }  # fmt: skip
    assert [problem.code for problem in found(nodes)] == ["facts_differ"]


@pytest.mark.parametrize(("second", "codes"), [(DEEPER, ["facts_differ"]), (A, [])], ids=["both differ", "one fits"])
def test_a_list_has_the_facts_of_all_its_items(found: Found, second: object, codes: list[str]) -> None:
    """
    deep ──┐
           ├──▶ gather ──[MODEL]──▶ sampler, once for each
    b    ──┘
    """
    nodes = {
        "deep": DEEPER, "b": second, "gather": ("Gather", {"first": "@deep.model", "second": "@b.model"}), "a": A,
        "latent": ("Encode", {"vae": "@a.vae"}),
        "sampler": ("Sample", {"model": "@gather.items", "latent": "@latent.latent"}),
    }  # fmt: skip
    assert [problem.code for problem in found(nodes)] == codes


def test_parts_without_a_setting_or_a_file_in_common_are_to_be_linked_alike(found: Found) -> None:
    nodes = {
        "a": A, "b": "Narrow", "prompt": ("Read", {"clip": "@b.clip"}), "blank": "Blank", "sampler": ("Sample", SAMPLER)
    }  # fmt: skip
    (problem,) = found(nodes)
    assert problem.message.startswith("made with the text encoder of node 'b' (Narrow), 1 wide; ")
    assert problem.remedy == "Link parts that were made for each other."


def test_a_refine_that_fails_tells_nothing(found: Found, caplog: pytest.LogCaptureFixture) -> None:
    nodes = {
        "a": A, "deep": DEEPER, "latent": ("Encode", {"vae": "@deep.vae"}),
        "loud": ("Loud", {"latent": "@latent.latent"}),
        "sampler": ("Sample", {"model": "@a.model", "latent": "@loud.latent"}),
    }  # fmt: skip
    with caplog.at_level(logging.DEBUG, "graphengine.core.facts"):
        assert found(nodes) == []
    assert "refine of node 'loud' (Loud) failed" in caplog.text


def test_a_literal_that_does_not_fit_what_is_known_is_refused_once(found: Found) -> None:
    nodes = {
        "a": A, "latent": ("Encode", {"vae": "@a.vae"}), "wanting": ("AtLeast", {"latent": "@latent.latent"}),
        "deep": DEEPER, "sampler": ("Sample", {"model": "@deep.model", "latent": "@wanting.latent"}),
    }  # fmt: skip
    (problem,) = found(nodes)
    assert (problem.node, problem.input, problem.remedy) == ("wanting", "least", "Choose fewer.")
    enough = nodes | {"wanting": ("AtLeast", {"latent": "@latent.latent", "least": 4})}
    assert [each.code for each in found(enough)] == ["facts_differ"]


def test_only_plain_values_are_facts(found: Found) -> None:
    nodes = {"a": A, "odd": "Odd", "sampler": ("Sample", {"model": "@a.model", "latent": "@odd.latent"})}
    assert found(nodes) == []


def test_a_missing_file_is_the_only_problem(found: Found) -> None:
    nodes = {
        "a": ("Load", {"file": "nowhere"}), "blank": "Blank",
        "sampler": ("Sample", {"model": "@a.model", "latent": "@blank.latent"}),
    }  # fmt: skip
    assert [problem.code for problem in found(nodes)] == ["file_not_found"]


def test_nodes_in_a_circle_are_only_said_to_be(found: Found) -> None:
    nodes = {
        "a": A, "x": ("Mix", {"first": "@y.latent", "second": "@z.latent"}), "z": ("Encode", {"vae": "@a.vae"}),
        "y": ("Mix", {"first": "@x.latent", "second": "@z.latent"}),
    }  # fmt: skip
    assert [problem.code for problem in found(nodes)] == ["cycle"]


def sub_graph(nodes: Drawing, **parts: Any) -> Document:  # Any: JSON
    return {"nodes": document(nodes)["nodes"], **parts}


SUB_GRAPH = sub_graph(
    {"sampler": "Sample"},
    inputs={
        "model": {"type": "MODEL", "to": ["sampler.model"]},
        "latent": {"type": "LATENT", "to": ["sampler.latent"]},
    },
    outputs={"latent": {"from": "sampler.latent"}},
)


def test_facts_pass_into_sub_graphs_and_out_of_them(found: Found) -> None:
    nodes = {
        "a": A, "deep": DEEPER, "latent": ("Encode", {"vae": "@a.vae"}),
        "up": ("subgraph:inner", {"model": "@a.model", "latent": "@latent.latent"}),
        "shown": ("Decode", {"latent": "@up.latent", "vae": "@deep.vae"}),
    }  # fmt: skip
    assert [(each.node, each.input) for each in found(nodes, subgraphs={"inner": SUB_GRAPH})] == [("shown", "latent")]
    nodes["latent"] = ("Encode", {"vae": "@deep.vae"})
    problems = found(nodes, subgraphs={"inner": SUB_GRAPH})
    assert [(each.node, each.input) for each in problems] == [("up/sampler", "latent")]


def test_what_a_loop_is_given_may_differ_but_its_body_is_checked(found: Found) -> None:
    """
    a    ──model───▶ ┌──────┐
    deep ──latent──▶ │ loop │──latent──▶ sampler
                     └──────┘
    """
    nodes = {
        "a": A, "deep": DEEPER, "latent": ("Encode", {"vae": "@deep.vae"}),
        "loop": ("Twice", {"body": {"$subgraph": "body"}, "model": "@a.model", "latent": "@latent.latent"}),
        "sampler": ("Sample", {"model": "@a.model", "latent": "@loop.latent"}),
    }  # fmt: skip
    assert found(nodes, subgraphs={"body": SUB_GRAPH}) == []

    wrong = sub_graph(
        {"a": A, "b": DEEPER, "x": ("Encode", {"vae": "@b.vae"}), "sampler": ("Sample", {"latent": "@x.latent"})}
        | {"shown": ("Decode", {"latent": "@x.latent", "vae": "@a.vae"})},
        inputs={"model": {"type": "MODEL", "to": ["sampler.model"]}},
        outputs={"latent": {"from": "sampler.latent"}},
    )
    nodes["loop"] = ("Twice", {"body": {"$subgraph": "body"}, "model": "@a.model"})
    assert [(each.node, each.code) for each in found(nodes, subgraphs={"body": wrong})] == [
        ("loop/shown", "facts_differ")
    ]


def test_what_lies_outside_the_targets_only_warns(registry: Registry, settings: Settings) -> None:
    nodes = {
        "a": DEEPER, "blank": "Blank", "sampler": ("Sample", {"model": "@a.model", "latent": "@blank.latent"}),
        "shown": ("Decode", {"latent": "@encoded.latent", "vae": "@a.vae"}), "encoded": ("Encode", {"vae": "@a.vae"}),
    }  # fmt: skip
    (problem,) = check(drawn(nodes), registry.definitions, settings, function_of=registry.function)
    assert (problem.node, problem.warning) == ("sampler", True)


def test_a_graph_of_parts_that_differ_is_not_built(registry: Registry, settings: Settings) -> None:
    nodes = {"a": A, "deep": DEEPER, "latent": ("Encode", {"vae": "@deep.vae"})}
    shown = {"shown": ("Decode", {"latent": "@latent.latent", "vae": "@a.vae"})}
    with pytest.raises(InvalidWorkflow, match="Take both from the same checkpoint"):
        build_graph(drawn(nodes | shown), registry.definitions, settings, function_of=registry.function)


def channels_of_blank(channels: int, size: int = 8) -> Workflow:
    return drawn(
        {
            "a": DEEPER,
            "blank": ("Blank", {"latent_channels": channels, "size": size}),
            "sampler": ("Sample", {"model": "@a.model", "latent": "@blank.latent"}),
        },
        outputs={"out": {"from": "sampler.latent"}},
    )


def test_a_literal_that_changes_facts_is_checked_with_all_that_follows(registry: Registry, settings: Settings) -> None:
    planner = Planner(registry.definitions, registry.function)
    before = planner.plan(channels_of_blank(16), settings)
    with pytest.raises(InvalidWorkflow, match="4 latent channels"):
        planner.plan(channels_of_blank(4), settings)
    assert planner.plan(channels_of_blank(16), settings) is before
    assert planner.plan(channels_of_blank(16, size=4), settings).steps != before.steps


def test_a_node_that_can_be_set_is_told_to_what(found: Found) -> None:
    nodes = {"a": A, "blank": ("Blank", {"latent_channels": 8}), "other": ("Encode", {"vae": "@a.vae"})}
    (problem,) = found(nodes | {"mix": ("Mix", {"first": "@other.latent", "second": "@blank.latent"})})
    assert problem.remedy == "Set 'latent_channels' of node 'blank' to 4."
