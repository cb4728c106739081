from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from graphengine.config import Settings
from graphengine.diffusion import conditioning
from graphengine.diffusion.text_encoding import set_last_layer
from graphengine.diffusion.textual_inversion import learned_words, read_vectors
from graphengine.errors import InputError, ModelFileError
from graphengine.types import Clip, ConditioningPart, TextEncoder
from tests.diffusion.tiny_checkpoint import MERGES, WORDS, tiny_clip


def part(clip: Clip, text: str, **options: Any) -> ConditioningPart:  # Any: each test varies other options
    (only,) = conditioning.encode(clip, text, **options).parts
    return only


def directly(clip: Clip, text: str) -> tuple[Tensor, Tensor]:
    """Encode a short prompt by the libraries alone, as pipelines do."""
    (encoder,) = clip.encoders
    tokenizer: Any = encoder.tokenizer  # Any: untyped calls
    ids = tokenizer(text, padding="max_length", max_length=8, truncation=True, return_tensors="pt").input_ids
    with torch.no_grad():
        output = encoder.network(ids, attention_mask=None)
    return output.last_hidden_state, output.pooler_output


def tiny_sdxl_clip(width: int = 16, second: int = 24) -> Clip:
    """Two encoders, the second wider, projecting, and padding with another token."""
    torch.manual_seed(3)
    options: Any = {
        "vocab_size": len(WORDS), "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2,
        "projection_dim": 20, "max_position_embeddings": 8, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1,
    }  # fmt: skip
    first_network: nn.Module = CLIPTextModel(CLIPTextConfig(hidden_size=width, **options))
    second_network: nn.Module = CLIPTextModelWithProjection(CLIPTextConfig(hidden_size=second, **options))
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    tokenizers = [
        CLIPTokenizer(vocab=vocabulary, merges=MERGES, model_max_length=8, pad_token=pad)
        for pad in ("<|endoftext|>", "a")
    ]
    return Clip(
        (
            TextEncoder(first_network.eval(), tokenizers[0], hidden_layer=-2, final_norm=False, pooled=None),
            TextEncoder(second_network.eval(), tokenizers[1], hidden_layer=-2, final_norm=False, pooled="projected"),
        ),
        family="sdxl",
    )


@pytest.mark.parametrize("text", ["red", "", "a b c d e f", "🦊", "  RED\n a ", "a, b. c:d", "C\\d", "{a|b}"], ids=repr)
def test_plain_prompt_is_encoded_as_by_the_libraries_bit_for_bit(text: str) -> None:
    result, (states, pooled) = part(tiny_clip(), text), directly(tiny_clip(), text)
    assert torch.equal(result.embedding[:, :8], states)
    assert result.pooled is not None
    assert torch.equal(result.pooled, pooled)
    assert result.embedding.dtype == torch.float32


def test_pooled_is_the_state_at_the_first_end_mark() -> None:
    result = part(tiny_clip(), "red a")  # start, red, a, end, …
    assert result.pooled is not None
    assert torch.equal(result.pooled, result.embedding[:, 3])


def test_long_prompts_are_encoded_in_chunks() -> None:
    clip = tiny_clip()  # eight tokens: the start mark, six of the prompt, the end mark
    result = part(clip, "a b c d e f a b c")
    torch.testing.assert_close(
        result.embedding, torch.cat([directly(clip, "a b c d e f")[0], directly(clip, "a b c")[0]], dim=1)
    )
    torch.testing.assert_close(result.pooled, directly(clip, "a b c d e f")[1])


def test_words_stay_whole_where_they_fit_in_a_chunk() -> None:
    clip = tiny_clip()
    together = part(clip, "a b c d xyz").embedding  # 'xyz' is three tokens, and two places are left
    torch.testing.assert_close(together, torch.cat([directly(clip, "a b c d")[0], directly(clip, "xyz")[0]], dim=1))
    assert part(clip, "abcdefghxyz").embedding.shape == (1, 16, 16)


def test_break_begins_a_chunk() -> None:
    clip = tiny_clip()
    expected = torch.cat([directly(clip, "red a")[0], directly(clip, "b")[0]], dim=1)
    torch.testing.assert_close(part(clip, "red a BREAK b").embedding, expected)
    torch.testing.assert_close(part(clip, "BREAK red a BREAK BREAK b BREAK").embedding, expected)


def test_padding_is_the_empty_prompt() -> None:
    result = part(tiny_clip(), "red")
    assert result.padding is not None
    assert torch.equal(result.padding, directly(tiny_clip(), "")[0])


def test_weights_move_tokens_away_from_the_empty_prompt() -> None:
    clip = tiny_clip()
    (states, pooled), (empty, _) = directly(clip, "a red b"), directly(clip, "")
    result = part(clip, "a (red:1.5) [b]")
    expected = states.clone()  # start, a, red, b, end, …
    expected[:, 2] = empty[:, 2] + 1.5 * (states[:, 2] - empty[:, 2])
    expected[:, 3] = empty[:, 3] + 1 / 1.1 * (states[:, 3] - empty[:, 3])
    torch.testing.assert_close(result.embedding, expected)
    torch.testing.assert_close(result.pooled, pooled)


def test_weights_can_scale_and_keep_the_mean() -> None:
    clip = tiny_clip()
    states, _ = directly(clip, "a red")
    scaled = states * torch.tensor([1, 1, 2.0, 1, 1, 1, 1, 1])[:, None]
    result = part(clip, "a (red:2)", weighting="restore_mean")
    torch.testing.assert_close(result.embedding, scaled * states.mean() / scaled.mean())


def test_a_weight_of_one_changes_no_bit() -> None:
    for weighting in ("interpolate", "restore_mean"):
        weighted = part(tiny_clip(), "a (red:1)", weighting=weighting)
        assert torch.equal(weighted.embedding, directly(tiny_clip(), "a red")[0])


def test_scheduled_prompts_become_parts() -> None:
    clip = tiny_clip()
    parts = conditioning.encode(clip, "a [b:red:0.25]").parts
    assert [each.steps for each in parts] == [((0, 0.25),), ((0.25, inf),)]
    assert torch.equal(parts[0].embedding, directly(clip, "a b")[0])
    assert torch.equal(parts[1].embedding, directly(clip, "a red")[0])


def test_too_many_moments_are_refused() -> None:
    text = "".join(f"[a:b:{number}.5][a:b:{1 / number}]" for number in range(2, 50))
    with pytest.raises(InputError, match="2401 moments"):
        conditioning.encode(tiny_clip(), text)


def pipeline(clip: Clip) -> Any:  # Any: diffusers is untyped
    pair = list(clip.encoders)
    parts: dict[str, Any] = {"text_encoder": pair[0].network, "tokenizer": pair[0].tokenizer}
    others = dict.fromkeys(["vae", "unet", "scheduler", "feature_extractor", "image_encoder"])
    if len(pair) == 1:
        return StableDiffusionPipeline(**parts, **others, safety_checker=None, requires_safety_checker=False)
    others.pop("feature_extractor")
    return StableDiffusionXLPipeline(
        **parts, **others, text_encoder_2=pair[1].network, tokenizer_2=pair[1].tokenizer, add_watermarker=False
    )


def test_a_single_encoder_equals_the_pipeline() -> None:
    clip = tiny_clip()
    theirs, _ = pipeline(clip).encode_prompt("a red b", "cpu", 1, False)
    assert torch.equal(part(clip, "a red b").embedding, theirs)


def test_skipped_layers_are_left_out_before_the_last_normalisation() -> None:
    """By hand: diffusers' pipeline for a single encoder fails at it with this version of transformers."""
    clip = set_last_layer(tiny_clip(), -2)
    network, tokenizer = clip.encoders[0].network, clip.encoders[0].tokenizer
    ids = torch.tensor([[0, tokenizer.convert_tokens_to_ids("red</w>"), *[1] * 6]])
    with torch.no_grad():
        states = network(ids, output_hidden_states=True).hidden_states
        expected = network.final_layer_norm(states[1])  # type: ignore[operator]  # states[0] is before both layers
    assert torch.equal(part(clip, "red").embedding, expected)


@pytest.mark.parametrize("skipped", [None, 1], ids=["", "clip skip"])
def test_two_encoders_equal_the_pipeline_of_sdxl(skipped: int | None) -> None:
    clip = tiny_sdxl_clip()
    theirs = pipeline(clip).encode_prompt("a red b", "c", "cpu", 1, False, clip_skip=skipped)
    changed = clip if skipped is None else set_last_layer(clip, -2 - skipped)
    (mine,) = conditioning.encode(changed, ("a red b", "c")).parts
    assert torch.equal(mine.embedding, theirs[0])
    assert mine.pooled is not None
    assert torch.equal(mine.pooled, theirs[2])


def test_last_layers_that_are_not_there_are_refused() -> None:
    with pytest.raises(InputError, match="-3 is before the first of 2 layers"):
        set_last_layer(tiny_clip(), -3)


def test_tokenizer_without_a_limit_uses_the_encoders() -> None:
    clip = tiny_clip()
    clip.encoders[0].tokenizer.model_max_length = int(1e30)
    assert part(clip, "a b c d e f g h").embedding.shape == (1, 16, 16)


# Learned words


def settings(folder: Path, **files: Mapping[str, Tensor]) -> Settings:
    (folder / "embeddings").mkdir()
    for name, tensors in files.items():
        save_file(dict(tensors), folder / "embeddings" / f"{name}.safetensors")
    return Settings(data=folder, output=folder, roots=(folder,))


def test_learned_vectors_take_the_place_of_words(tmp_path: Path) -> None:
    """A learned word with the vectors of 'red' and 'b' is those words, and nothing of the encoder has changed."""
    clip = tiny_clip()
    network: Any = clip.encoders[0].network  # Any: transformers' methods are untyped
    table = network.get_input_embeddings().weight
    vectors = torch.stack([table[WORDS.index("red</w>")], table[WORDS.index("b</w>")]])
    find = learned_words(settings(tmp_path, mine={"emb_params": vectors}), clip)
    expected = directly(clip, "a red b c")
    for name in ("mine", "mine.safetensors"):
        result = part(clip, f"a embedding:{name}, c".replace(",", ""), find_learned=find)
        torch.testing.assert_close(result.embedding, expected[0])
        torch.testing.assert_close(result.pooled, expected[1])
    weighted = part(clip, "a (embedding:mine:1.5) c", find_learned=find)
    torch.testing.assert_close(weighted.embedding, part(clip, "a (red b:1.5) c").embedding)
    assert torch.equal(directly(clip, "a red b c")[0], expected[0])
    assert not network.get_input_embeddings()._forward_hooks


def test_words_learned_for_sdxl_have_vectors_for_both_encoders(tmp_path: Path) -> None:
    clip = tiny_sdxl_clip(16, 16)
    both = {"clip_l": torch.randn(2, 16), "clip_g": torch.randn(2, 16)}
    read = read_vectors(settings(tmp_path, both=both).roots[0] / "embeddings" / "both.safetensors", clip)
    assert torch.equal(read[0], both["clip_l"])
    assert torch.equal(read[1], both["clip_g"])


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"emb_params": torch.zeros(2, 24)}, r"holds 'emb_params' \[2, 24\], and a text encoder takes \[n, 16\]"),
        ({"a": torch.zeros(16), "b": torch.zeros(16)}, "doesn't fit"),
        ({"lora.down": torch.zeros(4, 4, 1, 1)}, r"tensor 'lora.down' has shape \[4, 4, 1, 1\]"),
    ],
    ids=["another family", "two words", "no vectors"],
)
def test_files_that_do_not_fit_are_refused(tmp_path: Path, tensors: dict[str, Tensor], message: str) -> None:
    find = learned_words(settings(tmp_path, other=tensors), tiny_clip())
    with pytest.raises(ModelFileError, match=message):
        part(tiny_clip(), "embedding:other", find_learned=find)


def test_learned_words_that_are_not_there_are_named(tmp_path: Path) -> None:
    find = learned_words(settings(tmp_path, mine={"emb_params": torch.zeros(1, 16)}), tiny_clip())
    with pytest.raises(
        InputError, match="no embedding 'yours' in the 'embeddings' folder; there are: 'mine'"
    ) as caught:
        part(tiny_clip(), "a embedding:yours", find_learned=find)
    assert caught.value.input == "text"
    (tmp_path / "embeddings" / "old.pt").write_bytes(b"")
    with pytest.raises(ModelFileError, match="pickle"):
        part(tiny_clip(), "embedding:old", find_learned=find)
    with pytest.raises(InputError, match="no embedding"):
        part(tiny_clip(), "embedding:../secrets", find_learned=find)
    assert part(replace(tiny_clip()), r"embedding\:x").embedding.shape[0] == 1
