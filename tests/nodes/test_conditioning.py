from __future__ import annotations

from pathlib import Path

import torch

from graphengine.diffusion import conditioning
from graphengine_nodes.conditioning import clip_encode
from tests.diffusion.tiny_checkpoint import tiny_clip
from tests.nodes.running import Run


def test_prompt_is_encoded_without_a_warning_if_it_fits(tmp_path: Path) -> None:
    run, clip = Run(tmp_path), tiny_clip()
    result = clip_encode(run.context, "red", clip=clip)
    assert torch.equal(result.parts[0].embedding, conditioning.encode(clip, "red").parts[0].embedding)
    assert run.warnings == []
    assert [definition.name for definition in clip_encode.definition.inputs] == ["text", "clip"]


def test_user_is_told_what_was_left_out(tmp_path: Path) -> None:
    run = Run(tmp_path)
    clip_encode(run.context, "a b c d e f a red hat", clip=tiny_clip())
    assert run.warnings == ["The prompt is longer than the 6 tokens that this model reads; left out: 'a red hat'"]
