from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from graphengine.authoring.testing import FakeContext
from graphengine.core.workflow import parse_workflow
from graphengine.errors import InputError
from graphengine.types import Latent
from graphengine_nodes import latent_files as nodes
from tests.drawn import drawn
from tests.nodes.running import Run


def test_saved_latents_are_numbered_shown_and_opened_again(tmp_path: Path) -> None:
    run, latent = Run(tmp_path), Latent(torch.randn(1, 4, 2, 3))
    assert nodes.save_latent(run.context, latent) is latent
    nodes.save_latent(run.context, latent)
    files = [tmp_path / "output" / "latents" / f"latent_0000{number}.safetensors" for number in (1, 2)]
    assert [shown.path for shown in run.context.shown] == files
    assert torch.equal(nodes.load_latent(files[0]).samples, latent.samples)


def test_the_workflow_is_in_the_metadata(tmp_path: Path) -> None:
    workflow = drawn({"a": "Number"})
    context = FakeContext(tmp_path, workflow=workflow)
    nodes.save_latent(context, Latent(torch.zeros(1, 4, 2, 2)))
    with safe_open(context.files[0], framework="pt") as file:
        assert parse_workflow(file.metadata()["graphengine"].encode()) == workflow


def test_a_prefix_outside_the_output_folder_is_refused_before_the_run() -> None:
    (check,) = nodes.save_latent.checks
    with pytest.raises(InputError, match="leads out of the output folder"):
        check("../elsewhere")
