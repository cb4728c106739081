"""Networks with adapters: what LoRAs and their kin change is merged into copies of the weights that they change.

    checkpoint ──Model──▶ LoadLora ──Model──▶ LoadLora ──Model──▶ KSampler
                  base                 (not made)        base's layers, those with changes merged once

An adapted network is a network of its own that shares every tensor it doesn't change with its base: the base stays as
it is, bit for bit, two of them may be used side by side, and nothing has to be undone when a run fails. Of all that are
made from one base only the one read last is kept, so memory holds a second copy of the changed weights and no third.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import torch
from diffusers import SD3Transformer2DModel, UNet2DConditionModel
from torch import Tensor, nn

from graphengine.core.on_demand import OnDemand, held
from graphengine.diffusion.lora_files import LayerChange, LoraFile
from graphengine.diffusion.lora_names import Part, family_of
from graphengine.diffusion.lora_pieces import Piece, piece_of, sd3_pieces
from graphengine.diffusion.lora_updates import Update
from graphengine.diffusion.network_copies import with_weights
from graphengine.diffusion.original_names import unet_places
from graphengine.errors import InputError
from graphengine.types import Clip, Model, TextEncoder

_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")
_Owner = TypeVar("_Owner", Model, TextEncoder)


@dataclass(frozen=True, eq=False)
class Adapter:
    """Changes of one network.

    Attributes:
        updates: The change of each parameter, by its name in the network.
        strength: How much of it; negative values turn it around.
        source: Where it came from, in the user's words.
    """

    updates: Mapping[str, Update]
    strength: float
    source: str


@dataclass(eq=False)
class AdaptedNetwork(OnDemand):
    """A network with adapters, merged when it is first read.

    Attributes:
        base: The network as it was loaded; shared, and never written to.
        adapters: In the order in which they are applied, which counts where one sets the length of the weights (DoRA).
    """

    base: nn.Module
    adapters: tuple[Adapter, ...]

    def __post_init__(self) -> None:
        self._merged: list[nn.Module] = []  # no field: whoever looks the value over doesn't count what comes and goes

    def make(self) -> nn.Module:
        """Give the merged network; another one of the same base gives its own up, unless it is in use."""
        if not self._merged:
            last = _last_made(self.base)
            if last is not None:
                last._merged.clear()
            self._merged.append(merged(self.base, self.adapters))
            self.base.__dict__[_LAST_MADE] = weakref.ref(self)
        return self._merged[0]

    def has_made(self, part: object) -> bool:
        return any(part is network for network in self._merged)

    def made_sizes(self) -> Mapping[object, int]:
        """Count the changed weights, which all networks of one base have in turn."""
        changed = (self.base.get_parameter(name) for adapter in self.adapters for name in adapter.updates)
        return {("changed", id(weight)): weight.nbytes for weight in changed}


_LAST_MADE = "_graphengine_adapted"


def _last_made(base: nn.Module) -> AdaptedNetwork | None:
    reference = base.__dict__.get(_LAST_MADE)
    last = None if reference is None else cast(AdaptedNetwork | None, reference())
    return last if last is not None and last.base is base else None  # a copy of a network copies the reference


def merged(base: nn.Module, adapters: Sequence[Adapter]) -> nn.Module:
    """Give a network that has the adapters' changes in its weights and shares all else with its base.

    Each weight is computed in float32 where the base has it, and rounded once to its type.
    """
    changed: dict[str, Tensor] = {}
    room: dict[torch.device, Tensor] = {}  # fresh memory costs more than what is computed in it
    with torch.no_grad():
        for name in dict.fromkeys(name for adapter in adapters for name in adapter.updates):
            original = base.get_parameter(name)
            weight = _float32_copy(original, room)
            for adapter in adapters:
                if name in adapter.updates:
                    adapter.updates[name].add_to(weight, adapter.strength)
            changed[name] = weight if original.dtype == torch.float32 else weight.to(original.dtype)
    return with_weights(base, changed)


def _float32_copy(original: Tensor, room: dict[torch.device, Tensor]) -> Tensor:
    """Copy a weight, into the same memory as the one before if what comes of it is copied again."""
    if original.dtype == torch.float32:
        return original.detach().clone()
    if original.device not in room or len(room[original.device]) < original.numel():
        room[original.device] = torch.empty(original.numel(), device=original.device)
    return room[original.device][: original.numel()].view(original.shape).copy_(original)


def with_lora(
    model: Model, clip: Clip, file: LoraFile, *, strength_model: float, strength_clip: float, source: str
) -> tuple[Model, Clip, list[str]]:
    """Apply a LoRA to a model and its text encoders.

    Args:
        strength_model: 1 is the whole change; 0 leaves the model as it is, to the last bit.
        strength_clip: As ``strength_model``, for the text encoders.
        source: The file's name, for messages.

    Returns:
        The new model and clip, which share their weights with the given ones, and what the user should know.

    Raises:
        InputError: if the file is for other networks than these.
    """
    fit = _Fit(file, source)
    changed = fit.applied_to(model, "denoiser", strength_model)
    encoders = list(clip.encoders)
    for part in file.changes:
        if part != "denoiser":
            number = _ENCODERS.index(part)
            if number < len(encoders):
                encoders[number] = fit.applied_to(encoders[number], part, strength_clip)
            else:
                fit.leave_out(part)
    return changed, replace(clip, encoders=tuple(encoders)), fit.notices(model)


def with_model_lora(model: Model, file: LoraFile, *, strength: float, source: str) -> tuple[Model, list[str]]:
    """Apply a LoRA to a model, and leave out what the file has for text encoders.

    Args, returns, raises: as ``with_lora``.
    """
    fit = _Fit(file, source)
    changed = fit.applied_to(model, "denoiser", strength)
    return changed, fit.notices(model)


class _Fit:
    """Finds a file's layers in networks."""

    def __init__(self, file: LoraFile, source: str) -> None:
        self._file = file
        self._source = source
        self._found = 0
        self._missing: list[str] = []

    def applied_to(self, owner: _Owner, part: Part, strength: float) -> _Owner:
        """Give a model or text encoder with the file's changes of it."""
        changes = self._file.changes.get(part)
        if changes is None:
            return owner
        base = base_network(owner)
        layers = {change.layer for change in changes}
        places = _denoiser_places(base, layers) if part == "denoiser" else _text_encoder_places(base)
        try:
            updates, missing = _matched(changes, places)
        except ValueError as error:
            raise InputError(
                "lora_name", f"{self._source!r} can't be applied to this model: {error}.", "Choose a LoRA."
            ) from error
        self._missing += missing
        self._found += len(updates)
        _check_fit(base, updates, self._file, self._source)
        if strength == 0 or not updates:
            return owner
        before = held(owner, "network")
        adapters: tuple[Adapter, ...] = before.adapters if isinstance(before, AdaptedNetwork) else ()
        adapted = AdaptedNetwork(base, (*adapters, Adapter(updates, strength, self._source)))
        return replace(owner, network=cast(nn.Module, adapted))  # stands in its place, see made_on_demand

    def leave_out(self, part: Part) -> None:
        """Count the changes of a network that isn't there as missing."""
        self._missing += [f"{part}.{change.layer}" for change in self._file.changes[part]]

    def notices(self, model: Model) -> list[str]:
        """Say what wasn't used.

        Raises:
            InputError: if nothing was.
        """
        missing = self._missing
        if not self._found and missing:
            detail = f"none of its {len(missing)} layers is there, such as {missing[0]!r}"
            raise _other_family(self._file, self._source, base_network(model), detail)
        notices = list(self._file.notices)
        if not self._found:
            notices.append("it has nothing for the model, only for text encoders")
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            notices.append(f"left out, for layers that this model doesn't have: {missing[0]}{more}")
        return [f"{self._source}: {notice}" for notice in notices]


def base_network(owner: Model | TextEncoder) -> nn.Module:
    """Give the network without adapters."""
    network = held(owner, "network")
    return network.base if isinstance(network, AdaptedNetwork) else cast(nn.Module, network)


_Places = Mapping[str, tuple[Piece, ...]]
"""A network's layers by their names in files, with underscores for dots."""


def _denoiser_places(network: Any, layers: Set[str]) -> _Places:  # Any: a network of diffusers, untyped
    """Give the places of layers, under original names too if they are wanted."""
    names = {_underscored(name): (Piece(name),) for name, _ in network.named_modules()}
    if layers <= names.keys():
        return names
    if isinstance(network, SD3Transformer2DModel):
        there = {pieces[0].layer for pieces in names.values()}
        original = sd3_pieces(network.config.num_layers).items()
        return names | {_underscored(name): pieces for name, pieces in original if pieces[0].layer in there}
    if isinstance(network, UNet2DConditionModel) and isinstance(network.config.layers_per_block, int):
        weights = [name for name in network.state_dict() if name.endswith(".weight")]
        for name, place in unet_places(weights, network.config, prefix="").items():
            names.setdefault(_underscored(place.name.removesuffix(".weight")), (Piece(name.removesuffix(".weight")),))
    return names


def _text_encoder_places(network: nn.Module) -> _Places:
    """As ``_denoiser_places``; some versions of transformers put the layers in a ``text_model``, some don't."""
    plain = {_underscored(name).removeprefix("text_model_"): (Piece(name),) for name, _ in network.named_modules()}
    return plain | {f"text_model_{layer}": place for layer, place in plain.items()}


def _underscored(name: str) -> str:
    return name.replace(".", "_")


def _matched(changes: Iterable[LayerChange], places: _Places) -> tuple[dict[str, Update], list[str]]:
    """Give the updates by the parameters' names, and the layers that aren't there.

    Raises:
        ValueError: if a change can't be divided as the network's layers are.
    """
    updates: dict[str, Update] = {}
    missing = []
    for change in changes:
        if change.layer not in places:
            missing.append(change.layer)
        for piece in places.get(change.layer, ()):
            for kind, update in (("weight", change.weight), ("bias", change.bias)):
                if update is not None:
                    updates[f"{piece.layer}.{kind}"] = piece_of(update, piece)
    return updates, missing


def _check_fit(network: nn.Module, updates: dict[str, Update], file: LoraFile, source: str) -> None:
    """Refuse changes of weights of other sizes, or of none, which only another family's can be.

    Raises:
        InputError: that names the family, where the file tells it.
    """
    parameters = dict(network.named_parameters())
    for name, update in updates.items():
        parameter = parameters.get(name)
        size = None if parameter is None else (parameter.shape[0], parameter[0].numel())
        rows, values = update.size
        if size is None or size != (rows, size[1] if values is None else values):
            has = "no such weight" if size is None else "one of {} × {}".format(*size)
            changes = f"it changes {name!r} of {rows}" + (" rows" if values is None else f" × {values}")
            raise _other_family(file, source, network, f"{changes}; there is {has}")


def _other_family(file: LoraFile, source: str, network: nn.Module, detail: str) -> InputError:
    width = file.prompt_width
    made_for = f"it is made for {family_of(width)}" if width else "it is made for another kind of model"
    config: Any = getattr(network, "config", None)  # Any: diffusers' and transformers' configurations are untyped
    reads = getattr(config, "cross_attention_dim", None)
    this = f", this model is of {family_of(reads)}" if isinstance(reads, int) and reads != width else ""
    return InputError(
        "lora_name", f"{source!r} doesn't fit: {made_for}{this}: {detail}.", "Choose a LoRA for this model's family."
    )
