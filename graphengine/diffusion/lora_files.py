"""Read adapters from files: LoRA, LoHa, LoKr, DoRA, OFT, whole differences, in any of their programs' spellings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphengine.diffusion.lora_names import IN_FOLDER, Part, prompt_width, split_name, weights_file
from graphengine.diffusion.lora_updates import (
    Decomposed,
    Difference,
    Hadamard,
    Kronecker,
    LowRank,
    Rotation,
    Update,
)
from graphengine.diffusion.model_files import read_header_and_metadata, read_json
from graphengine.diffusion.weights_files import read_tensors
from graphengine.errors import ModelFileError

_OTHER_METHODS = {
    "boft_": "BOFT in PEFT's form",
    "oft_": "OFT in PEFT's form",
    ".on_input": "(IA)³",
    "glora": "GLoRA",
    ".a1.": "GLoRA",
    "vera_": "VeRA",
}
_METADATA = "lora_adapter_metadata"  # diffusers' own, in the file's header

Roles = dict[str, Tensor]


@dataclass(frozen=True)
class LayerChange:
    """What a file changes of one layer.

    Attributes:
        layer: The layer's name with underscores for dots.
        weight: The change of its weight, or None.
        bias: The change of its bias, or None.
    """

    layer: str
    weight: Update | None = None
    bias: Update | None = None


@dataclass(frozen=True)
class LoraFile:
    """An adapter file's contents.

    Attributes:
        changes: Of each network that the file changes.
        prompt_width: How many features a prompt's token has for the denoiser it was made for, if it tells.
        notices: What the user should know, such as embeddings in the file that aren't used.
    """

    changes: Mapping[Part, list[LayerChange]]
    prompt_width: int | None = None
    notices: tuple[str, ...] = ()


def read(path: Path) -> LoraFile:
    """Open an adapter, mapped from its file.

    Args:
        path: A safetensors file, or the folder that diffusers or PEFT saved it in.

    Raises:
        ModelFileError: if it is missing, damaged, no adapter, incomplete, or of a method that isn't known.
    """
    path = weights_file(path)
    _header, metadata = read_header_and_metadata(path)
    tensors = read_tensors(path)
    layers, notices = _sorted_by_layer(path, tensors)
    return _put_together(path, layers, _Scales.of(path, metadata), notices)


def of_layers(layers: Mapping[tuple[Part, str], Mapping[str, Tensor]], source: str) -> LoraFile:
    """Give tensors that were never in a file as what reading them would give.

    Args:
        layers: By network and layer, with dots or underscores, the tensors by what they are in its change.
        source: Where they came from, for messages.

    Raises:
        ModelFileError: if they don't fit each other, or aren't numbers.
    """
    named = {(part, layer.replace(".", "_")): dict(roles) for (part, layer), roles in layers.items()}
    return _put_together(Path(source), named, _Scales(), ())


def _put_together(
    path: Path, layers: Mapping[tuple[Part, str], Roles], scales: _Scales, notices: tuple[str, ...]
) -> LoraFile:
    changes: dict[Part, list[LayerChange]] = {}
    for (part, layer), roles in layers.items():
        _check_finite(path, layer, roles)
        changes.setdefault(part, []).append(_change(path, layer, roles, scales.of_layer(part, layer)))
    shapes = {place: {role: tensor.shape for role, tensor in roles.items()} for place, roles in layers.items()}
    return LoraFile(changes, prompt_width(shapes), notices)


def _sorted_by_layer(
    path: Path, tensors: Mapping[str, Tensor]
) -> tuple[dict[tuple[Part, str], Roles], tuple[str, ...]]:
    layers: dict[tuple[Part, str], Roles] = {}
    unknown, embeddings = [], []
    for name, tensor in tensors.items():
        place = split_name(name)
        if place is not None:
            layers.setdefault(place[:2], {})[place[2]] = tensor
        elif name.startswith("bundle_emb."):
            embeddings.append(name.split(".")[1])
        else:
            unknown.append(name)
    for mark, method in _OTHER_METHODS.items():
        if any(mark in name for name in unknown):
            raise ModelFileError(
                f"{path}: an adapter of the kind {method} can't be used\n"
                "  Choose a LoRA, LoHa, LoKr or DoRA, or an OFT of kohya's scripts or LyCORIS."
            )
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        what = "tensors that no LoRA has" if layers else "no LoRA: its tensors have other names"
        raise ModelFileError(
            f"{path}: {what}, such as {unknown[0]!r}{more}\n"
            "  Choose a LoRA, LoHa, LoKr, DoRA or OFT of kohya's scripts, LyCORIS, diffusers or PEFT. Checkpoints "
            "belong in LoadCheckpoint, ControlNets in LoadControlNet."
        )
    if not layers:
        raise ModelFileError(f"{path}: this LoRA is empty\n  Choose another file.")
    notices = [f"the embeddings in it aren't used: {', '.join(sorted(set(embeddings)))}"] if embeddings else []
    return layers, tuple(notices)


def _check_finite(path: Path, layer: str, roles: Roles) -> None:
    for tensor in roles.values():
        if not isfinite(tensor.sum(dtype=torch.float32)):
            raise ModelFileError(
                f"{path}: the values for layer {layer!r} hold NaN or infinite numbers\n"
                "  Its training failed; choose an earlier save, or another file."
            )


def _change(path: Path, layer: str, roles: Roles, told: float | None) -> LayerChange:
    """Put together what a file says about one layer.

    Args:
        told: The scale, if the file tells it for the adapter as a whole.
    """
    roles = dict(roles)
    alpha = roles.pop("alpha", None)
    bias = roles.pop("diff_b", roles.pop("b_norm", None))
    up_bias = roles.pop("up_bias", None)
    magnitude, dora_scale = roles.pop("lora_magnitude_vector", None), roles.pop("dora_scale", None)
    try:
        scaling = _Scaling(None if alpha is None else float(alpha), told)
        weight, scale = _weight_change(roles, scaling)
    except _Incomplete as error:
        raise ModelFileError(
            f"{path}: layer {layer!r}: {error}\n  The file is incomplete; download or copy it again."
        ) from None
    except (ValueError, RuntimeError, IndexError) as error:
        raise ModelFileError(
            f"{path}: layer {layer!r}: its tensors don't fit each other ({error})\n  Download or copy it again."
        ) from error
    if weight is not None and magnitude is not None:
        weight = Decomposed(weight, magnitude.flatten())
    elif weight is not None and dora_scale is not None:
        weight = Decomposed(weight, dora_scale.flatten(), by_input=dora_scale.shape[0] != weight.size[0])
    if up_bias is not None:
        bias = up_bias.float() * scale
    return LayerChange(layer, weight, None if bias is None else Difference(bias))


class _Incomplete(Exception):
    """A change lacks a tensor."""


@dataclass(frozen=True)
class _Scaling:
    """How strong a change is made beside its factors: alpha / rank, or what the file tells for the whole adapter."""

    alpha: float | None
    told: float | None

    def at(self, rank: int | None) -> float:
        if self.alpha is None:
            return 1.0 if self.told is None else self.told
        return 1.0 if rank is None else self.alpha / rank


def _weight_change(roles: Roles, scaling: _Scaling) -> tuple[Update | None, float]:
    """Give the change of a weight and its scale."""
    roles = dict(roles)
    scale = 1.0
    change: Update | None = None
    if roles.keys() & {"up", "down", "mid"}:
        up, down = _taken(roles, "up", "down")
        if up.shape[1] != down.shape[0]:
            raise ValueError(f"ranks {up.shape[1]} and {down.shape[0]}")
        scale = scaling.at(down.shape[0])
        change = LowRank(up, down, roles.pop("mid", None), scale)
    elif any(role.startswith("hada_") for role in roles):
        first, second = _taken(roles, "hada_w1_a", "hada_w1_b"), _taken(roles, "hada_w2_a", "hada_w2_b")
        cores = _taken(roles, "hada_t1", "hada_t2") if "hada_t1" in roles or "hada_t2" in roles else None
        scale = scaling.at(first[1].shape[0])
        change = Hadamard(first, second, cores, scale)
    elif any(role.startswith("lokr_") for role in roles):
        first, second = _matrix(roles, "lokr_w1"), _matrix(roles, "lokr_w2")
        decomposed = [factors for factors in (second, first) if len(factors) > 1]
        scale = scaling.at(decomposed[0][1].shape[0] if decomposed else None)
        change = Kronecker(first, second, roles.pop("lokr_t2", None), scale)
    elif "oft_blocks" in roles:
        blocks = roles.pop("oft_blocks")
        rows = blocks.shape[-3] * blocks.shape[-1]
        change = Rotation(blocks, roles.pop("rescale", None), limit=(scaling.alpha or 0.0) * rows)
    elif "diff" in roles or "w_norm" in roles:
        change = Difference(roles.pop("diff") if "diff" in roles else roles.pop("w_norm"))
    if roles:
        raise ValueError(f"{', '.join(sorted(roles))} beside another kind of change")
    if change is not None:
        _ = change.size  # raises for tensors of too few dimensions
    return change, scale


def _matrix(roles: Roles, name: str) -> tuple[Tensor, ...]:
    """Take a matrix, or its two factors."""
    if name in roles:
        return (roles.pop(name),)
    factors: tuple[Tensor, ...] = _taken(roles, f"{name}_a", f"{name}_b")
    return factors


def _taken(roles: Roles, *names: str) -> Any:  # Any: a tuple of as many tensors
    missing = [name for name in names if name not in roles]
    if missing:
        present = [name for name in names if name in roles]
        raise _Incomplete(f"it has no {missing[0]!r}" + (f", only {present[0]!r}" if present else ""))
    return tuple(roles.pop(name) for name in names)


@dataclass(frozen=True)
class _Scales:
    """The scales that PEFT's configuration tells, which has one for all layers and patterns for others."""

    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # Any: JSON

    @classmethod
    def of(cls, path: Path, metadata: Mapping[str, str]) -> _Scales:
        """Read the configuration in a file's header, or of the folder that PEFT saved."""
        beside = path.with_name("adapter_config.json")
        if path.name == IN_FOLDER[1] and beside.exists():
            return cls({"": read_json(beside)})
        try:
            told = json.loads(metadata.get(_METADATA, "{}"))
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise ModelFileError(
                f"{path}: this file is damaged: {_METADATA!r} isn't JSON\n  Download or copy it again."
            )
        configs: dict[str, dict[str, Any]] = {}
        for name, value in told.items():
            part, _, key = name.rpartition(".")
            configs.setdefault(part, {})[key] = value
        return cls(configs)

    def of_layer(self, part: Part, layer: str) -> float | None:
        """Give a layer's alpha / rank; None if no configuration tells."""
        names = ("unet", "transformer") if part == "denoiser" else (part,)
        config = next((self.configs[name] for name in (*names, "") if name in self.configs), None)
        if config is None:
            return None
        rank = _of_pattern(config.get("rank_pattern"), layer) or config.get("r")
        alpha = _of_pattern(config.get("alpha_pattern"), layer) or config.get("lora_alpha", config.get("alpha"))
        if not isinstance(rank, int | float) or not isinstance(alpha, int | float) or rank <= 0:
            return None
        return float(alpha / rank**0.5 if config.get("use_rslora") else alpha / rank)


def _of_pattern(patterns: object, layer: str) -> Any:  # Any: a number
    """Give the value for the name that a layer's own ends with; PEFT takes the first."""
    if not isinstance(patterns, dict):
        return None
    return next((value for name, value in patterns.items() if f"_{layer}".endswith("_" + name.replace(".", "_"))), None)
