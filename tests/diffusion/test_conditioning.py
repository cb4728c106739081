from __future__ import annotations

import pytest
import torch

from graphengine.diffusion import conditioning
from tests.diffusion.tiny_checkpoint import tiny_clip


@pytest.mark.parametrize("text", ["red", "", "a b c d e f g h", "🦊", "  RED\n a "], ids=repr)
def test_any_prompt_becomes_one_embedding_of_the_full_length(text: str) -> None:
    result = conditioning.encode(tiny_clip(), text)

    assert result.parts[0].embedding.shape == (1, 8, 16)
    assert result.parts[0].pooled is not None
    assert result.parts[0].pooled.shape == (1, 16)
    assert result.parts[0].embedding.dtype == torch.float32
    assert torch.isfinite(result.parts[0].embedding).all()


def test_pooled_is_the_state_at_the_first_end_mark() -> None:
    result = conditioning.encode(tiny_clip(), "red a")  # start, red, a, end, …
    assert result.parts[0].pooled is not None
    assert torch.equal(result.parts[0].pooled, result.parts[0].embedding[:, 3])


def test_what_is_cut_off_is_said_in_the_users_spelling() -> None:
    clip = tiny_clip()  # eight tokens: the start mark, six of the prompt, the end mark
    assert conditioning.cut_off(clip, "") is None
    assert conditioning.cut_off(clip, "RED a b c d e") is None
    assert conditioning.cut_off(clip, "RED a b c d e F  G") == "F  G"
    kept, whole = conditioning.encode(clip, "RED a b c d e"), conditioning.encode(clip, "RED a b c d e F  G")
    assert torch.equal(kept.parts[0].embedding, whole.parts[0].embedding)


def test_tokenizer_without_a_limit_uses_the_encoders() -> None:
    clip = tiny_clip()
    clip.encoders[0].tokenizer.model_max_length = int(1e30)
    assert conditioning.token_limit(clip) == 8
    assert conditioning.encode(clip, "a b c d e f g h").parts[0].embedding.shape == (1, 8, 16)
