"""Pre-train a text encoder: from a caption, say what its picture shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphengine.diffusion.prompt_tokens import only_encoder, token_limit
from graphengine.diffusion.step_random import StepRandom
from graphengine.diffusion.training_captions import with_encoders
from graphengine.diffusion.training_tasks import Finished, choose_fields, config_of, finished, trainable_copy
from graphengine.errors import InputError
from graphengine.training_types import Dataset, ExampleField, Examples
from graphengine.types import Clip

_CLASSES = 64  # of each attribute; a dataset does not say how many it has, and unused ones cost nothing


class TextTask:
    """Classify what captions say, with throw-away linear heads.

    One head for each attribute reads the state at the end-of-text token, another the mean state of the caption's
    tokens, so that both what a denoiser's time embedding and what its attention read carry the meaning. That a caption
    does not say something is a class too: it keeps the encoder from guessing.
    """

    def __init__(self, clip: Clip, dataset: Dataset, device: torch.device) -> None:
        chosen = choose_fields(dataset, ["captions", "labels"], "Training a text encoder")
        counting: list[ExampleField] = ["weights"] if "weights" in dataset.fields else []
        self.fields: list[ExampleField] = [*chosen, *counting]
        self._clip = clip
        self._encoder = trainable_copy(only_encoder(clip).network, device)
        width: int = config_of(self._encoder).hidden_size
        attributes = sorted(dataset.examples([0], ["labels"]).labels or {})
        if not attributes:
            raise InputError("dataset", "its labels name no attribute.", "Choose a dataset whose labels are known.")
        self._heads = nn.ModuleDict(
            {f"{reader}_{name}": nn.Linear(width, _CLASSES + 1) for reader in ("pooled", "mean") for name in attributes}
        ).to(device)
        self.trained: Mapping[str, nn.Module] = {"text_encoder": self._encoder, "heads": self._heads}
        self.frozen: dict[str, nn.Module] = {}
        self.facts: dict[str, str | float] = {}

    def losses(self, examples: Examples, random: StepRandom) -> dict[str, Tensor]:
        """Give the cross entropy of each attribute, averaged over the captions and both heads."""
        del random
        device = next(self._heads.parameters()).device
        hidden, pooled, real = encode_captions(self._clip, self._encoder, examples.captions or (), device)
        mean = (hidden * real.unsqueeze(-1)).sum(1) / real.sum(1, keepdim=True)  # [B, D]
        return {
            attribute: self._cross_entropy(attribute, labels.to(device), examples.weights, pooled=pooled, mean=mean)
            for attribute, labels in (examples.labels or {}).items()
        }

    def result(self, *, copied: bool = False) -> Finished:
        return Finished(with_encoders(self._clip, {0: finished(self._encoder, copied=copied)}))

    def _cross_entropy(self, attribute: str, labels: Tensor, weights: Tensor | None, **states: Tensor) -> Tensor:
        if int(labels.max()) >= _CLASSES:
            raise InputError(
                "dataset",
                f"{attribute!r} has a label {int(labels.max())}; {_CLASSES - 1} is the highest that can be learnt.",
                "Use fewer classes.",
            )
        classes = labels + 1  # 0: the caption does not say
        answers = [self._heads[f"{reader}_{attribute}"](state).float() for reader, state in states.items()]
        if weights is None:
            return torch.stack([functional.cross_entropy(answer, classes) for answer in answers]).mean()
        errors = [functional.cross_entropy(answer, classes, reduction="none") * weights for answer in answers]
        return torch.stack(errors).mean()


def encode_captions(
    clip: Clip, text_encoder: nn.Module, captions: Sequence[str], device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Encode captions as CLIPEncode does, with gradients if they are on.

    Returns:
        The last hidden state ``[B, T, D]``, the state at the end-of-text token ``[B, D]``, and which tokens are the
        caption's own rather than padding, int64 ``[B, T]``.
    """
    tokenizer: Any = only_encoder(clip).tokenizer  # Any: calling a tokenizer gives an untyped BatchEncoding
    tokens = tokenizer(
        list(captions),
        padding="max_length",
        max_length=token_limit(only_encoder(clip)),
        truncation=True,
        return_tensors="pt",
    )
    output = text_encoder(tokens.input_ids.to(device))
    return output.last_hidden_state, output.pooler_output, tokens.attention_mask.to(device)
