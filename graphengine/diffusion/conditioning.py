"""Turn prompts into what the denoiser reads.

text ─▶ prompt_grammar ─▶ prompt_readings ─▶ prompt_tokens ─▶ text_encoding ─▶ Conditioning
        a tree            one per moment     chunks of ids    states, weighted    one part per moment
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from graphengine.diffusion.learned_words import FindLearnedWord, find_vectors, no_learned_words, with_words
from graphengine.diffusion.options import PromptWeighting
from graphengine.diffusion.prompt_grammar import parse
from graphengine.diffusion.prompt_readings import Group, count_readings, readings
from graphengine.diffusion.prompt_tokens import chunks, empty_chunk, is_clip
from graphengine.diffusion.text_encoding import joined, pooled_together, states_of, weighted
from graphengine.errors import InputError
from graphengine.types import Clip, Conditioning, ConditioningPart

__all__ = ["FindLearnedWord", "encode"]

_MOST_READINGS = 1000


def encode(
    clip: Clip,
    text: str | Sequence[str],
    *,
    device: torch.device | str = "cpu",
    weighting: PromptWeighting = "interpolate",
    find_learned: FindLearnedWord = no_learned_words,
) -> Conditioning:
    """Encode a prompt, as ``prompt_grammar`` reads it; without brackets the numbers are those of diffusers' pipelines.

    Args:
        text: Any; an empty text is how a missing prompt is encoded. Or a text for each of the encoders.
        device: Where to compute; the text encoders are moved there.
        weighting: How weights in the prompt act; see ``text_encoding``.
        find_learned: Finds the vectors of learned words.

    Returns:
        A part for each moment that the prompt's schedules tell apart. ``embedding`` [1, n T, D] holds the states of n
        chunks of T tokens, ``pooled`` [1, D] the first chunk's pooled states; float32, on the CPU.

    Raises:
        InputError: if a learned word isn't found, or the prompt has too many schedules.
    """
    texts = [text] * len(clip.encoders) if isinstance(text, str) else list(text)
    prompts = [parse(each) for each in texts]
    if (count := count_readings(prompts)) > _MOST_READINGS:
        raise InputError("text", f"its schedules tell {count} moments apart.", "Write fewer of them.")
    moments = readings(prompts)
    encoding = _Encoding(clip, device, weighting, find_learned)
    parts = {said: encoding.part(said) for said in {moment.texts for moment in moments}}
    return Conditioning(tuple(replace(parts[moment.texts], steps=moment.steps) for moment in moments))


class _Encoding:
    """Encodes what a prompt says at its moments."""

    def __init__(
        self, clip: Clip, device: torch.device | str, weighting: PromptWeighting, find_learned: FindLearnedWord
    ) -> None:
        self._clip = clip
        self._device = device
        self._weighting = weighting
        self._find_learned = find_learned
        self._empty = [states_of(encoder, [empty_chunk(encoder)], device=device) for encoder in clip.encoders]
        self._padding = self._joined([states for states, _ in self._empty])

    def part(self, said: tuple[tuple[Group, ...], ...]) -> ConditioningPart:
        """Encode one moment: groups for each encoder."""
        encoded = [self._encoded(number, groups) for number, groups in enumerate(said)]
        pooled = [first[:1] for _, first in encoded if first is not None]
        embedding = self._joined([states for states, _ in encoded])
        return ConditioningPart(embedding, pooled_together(self._clip, pooled, embedding), padding=self._padding)

    def _encoded(self, number: int, groups: Sequence[Group]) -> tuple[Tensor, Tensor | None]:
        """Give an encoder's states of all chunks ``[n, T, D]``, and their pooled states."""
        encoder, empty = self._clip.encoders[number], self._empty[number]
        words = self._clip.words
        pieces = chunks(encoder, with_words(groups, words), find_vectors(words, number, self._find_learned))
        if not pieces:
            return empty
        states, pooled = states_of(encoder, pieces, device=self._device)
        return weighted(states, pieces, empty[0], self._weighting), pooled

    def _joined(self, states: Sequence[Tensor]) -> Tensor:
        """Put the states of several encoders ``[n, T, D]`` together: ``[1, n T, D]``.

        Where a CLIP encoder's prompt is shorter than another's, it is lengthened by the empty one's.
        """
        of_clip = [is_clip(encoder) for encoder in self._clip.encoders]
        count = max((len(each) for each, is_side in zip(states, of_clip, strict=True) if is_side), default=0)
        filled = [
            _lengthened(each, self._empty[number][0], count) if of_clip[number] else each
            for number, each in enumerate(states)
        ]
        return joined(self._clip, [each.flatten(0, 1)[None] for each in filled])


def _lengthened(states: Tensor, empty: Tensor, count: int) -> Tensor:
    return torch.cat([states, *[empty] * (count - len(states))])
