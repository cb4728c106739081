"""The nodes together, in the workflow that the pack shows itself with. The pack must be installed."""

from __future__ import annotations

from pathlib import Path

import torch

from graphengine import Engine, Workflow

FILE = Path(__file__).parents[1] / "film_look.json"


def test_the_workflow_makes_a_picture(tmp_path: Path) -> None:
    engine = Engine.for_user(data=tmp_path / "data", output=tmp_path / "output", disk_cache_bytes=0)
    draw = Workflow.load(FILE, engine=engine)
    result = draw(seed=1)
    assert result.image.shape == (1, 64, 96, 3)
    assert [path.name for path in result.shown] == ["film_look_00001.png"]
    assert torch.equal(draw(seed=1).image, result.image)
    assert not torch.equal(draw(seed=2).image, result.image)
