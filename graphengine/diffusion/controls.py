"""Let ControlNets and T2I-Adapters steer a denoiser.

Both add to what a UNet hands from its way down to its way up: a ControlNet reads the noisy latents at every step, a
T2I-Adapter only the picture, once. What several say adds up; but a ControlNet for several kinds of pictures reads those
of all kinds together, as it was trained to.

Sources: Zhang et al. 2023, arXiv:2302.05543; Mou et al. 2023, arXiv:2302.08453.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import ControlNetUnionModel, T2IAdapter, UNet2DConditionModel
from torch import Tensor

from graphengine.diffusion.prompt_layout import Window
from graphengine.diffusion.resampling import resize
from graphengine.diffusion.schedules import TrainedLevels
from graphengine.errors import InputError
from graphengine.types import Conditioning, Control, ControlNet, Model

Residuals = dict[str, Any]  # Any: arguments of a UNet's forward: tensors and sequences of them


@dataclass(frozen=True)
class ControlCall:
    """What one control says in one call of the denoiser's network.

    Attributes:
        control: Which.
        rows: For each item of the call: ``[n, 3, H, W]`` its picture; of a T2I-Adapter the features of each level.
    """

    control: Control
    rows: tuple[Tensor, ...]

    def item(self, number: int) -> ControlCall:
        """Give it for one item of the call alone."""
        return replace(self, rows=tuple(each[number : number + 1] for each in self.rows))


def steered(prompt: Conditioning, control: Control) -> Conditioning:
    """Add a picture that steers to all parts of a prompt; prompts that share it go through the network together."""
    return Conditioning(tuple(replace(part, controls=(*part.controls, control)) for part in prompt.parts))


def of_kind(control_net: ControlNet, kind: int, name: str) -> ControlNet:
    """Tell a ControlNet for several kinds of pictures which one it is given.

    Raises:
        InputError: if it is for one kind only, or doesn't know that one.
    """
    network: Any = control_net.network  # Any: diffusers' networks are untyped
    if not isinstance(network, ControlNetUnionModel):
        raise InputError(
            "control_net", f"{control_net.source!r} reads one kind of picture only.", "Leave this node out."
        )
    known = network.config.num_control_type
    if kind >= known:
        raise InputError("type", f"{control_net.source!r} doesn't read {name!r}.", f"It knows the first {known} only.")
    return replace(control_net, kind=kind)


class Controls:
    """The controls of a run, made ready for its latents as they come up.

    Args:
        device: Where to compute; the networks are moved there.
    """

    def __init__(self, model: Model, levels: TrainedLevels, device: torch.device | str) -> None:
        self._model = model
        self._levels = levels
        self._device = device
        self._ready: dict[object, tuple[Tensor, ...]] = {}

    def calls(
        self, controls: Sequence[Control], windows: Sequence[Window], size: tuple[int, int], *, batch: int, sigma: float
    ) -> tuple[ControlCall, ...]:
        """Give the calls of those that count at a noise level.

        Args:
            windows: The cells that each prompt of the call is about.
            size: Height and width of the latents.

        Raises:
            InputError: if one of them is for another family than the model.
        """
        return tuple(
            ControlCall(control, self._rows(control, windows, size, batch))
            for control in controls
            if control.strength != 0 and self._counts(control, sigma)
        )

    def _counts(self, control: Control, sigma: float) -> bool:
        highest, lowest = (self._levels.at_share(share) for share in control.timesteps)
        return highest >= sigma > lowest

    def _rows(
        self, control: Control, windows: Sequence[Window], size: tuple[int, int], batch: int
    ) -> tuple[Tensor, ...]:
        places = tuple((each[0].start, each[0].stop, each[1].start, each[1].stop) for each in windows)
        key = id(control), places, size
        if key not in self._ready:
            _check_fit(control, self._model)
            seen = [self._seen(control, window, size, batch) for window in windows]
            self._ready[key] = tuple(
                torch.cat(parts) if len(parts) > 1 else parts[0] for parts in zip(*seen, strict=True)
            )
        return self._ready[key]

    @torch.no_grad()
    def _seen(self, control: Control, window: Window, size: tuple[int, int], batch: int) -> list[Tensor]:
        """Give what a control's network makes of a window of its picture before any step, for each item."""
        network: Any = control.control_net.network.to(self._device)  # Any: diffusers' networks are untyped
        factor = _pixels_per_cell(network, self._model)
        height, width = size[0] * factor, size[1] * factor
        planes = resize(control.image.permute(0, 3, 1, 2), width, height, method="lanczos", crop="center")
        rows, columns = (slice(each.start * factor, each.stop * factor) for each in window)
        picture = planes[..., rows, columns].clamp(0, 1).to(self._device, network.dtype)  # [B or 1, 3, H, W]
        if len(picture) not in (1, batch):
            raise InputError(
                "positive",
                f"the {len(picture)} pictures for {control.control_net.source!r} don't fit {batch} latents.",
                f"Give one picture, or {batch}.",
            )
        made = [picture]
        if isinstance(network, T2IAdapter):
            grey = network.config.in_channels == 1
            made = [each * control.strength for each in network(picture.mean(1, keepdim=True) if grey else picture)]
        return [each.expand(batch, -1, -1, -1) for each in made]


def residuals(
    calls: Sequence[ControlCall], x: Tensor, timestep: Tensor, context: Tensor, added: Mapping[str, Tensor] | None
) -> Residuals:
    """Give what a UNet's forward takes besides.

    Args:
        x: ``[n, C, h, w]``, scaled as the UNet takes it; an inpainting model's further channels aren't read.
        context: ``[n, T, D]``.
        added: What an SDXL model is told besides, as the UNet takes it.
    """
    down: list[Tensor] = []
    middle: list[Tensor] = []
    within: list[Tensor] = []
    for group in _read_together(calls):
        if isinstance(group[0].control.control_net.network, T2IAdapter):
            within = _sum(within, [each.to(x.dtype) for each in group[0].rows])
        else:
            downs, mid = _called(group, x, timestep, context, added)
            down, middle = _sum(down, [each.to(x.dtype) for each in downs]), _sum(middle, [mid.to(x.dtype)])
    result: Residuals = {}
    if middle:
        result |= {"down_block_additional_residuals": tuple(down), "mid_block_additional_residual": middle[0]}
    if within:
        result["down_intrablock_additional_residuals"] = within  # a list of its own: the UNet takes items off it
    return result


def _read_together(calls: Sequence[ControlCall]) -> list[list[ControlCall]]:
    """Put pictures of different kinds for one network together."""
    groups: list[list[ControlCall]] = []
    for call in calls:
        net = call.control.control_net
        for group in groups:
            others = [each.control.control_net for each in group]
            if (
                net.kind is not None
                and others[0].network is net.network
                and all(net.kind != each.kind for each in others)
            ):
                group.append(call)
                break
        else:
            groups.append([call])
    return groups


def _called(
    group: Sequence[ControlCall], x: Tensor, timestep: Tensor, context: Tensor, added: Mapping[str, Tensor] | None
) -> tuple[Sequence[Tensor], Tensor]:
    """Call a ControlNet for its pictures, of which only one for several kinds has more than one."""
    network: Any = group[0].control.control_net.network  # Any: diffusers' networks are untyped
    dtype = network.dtype
    pictures = [picture for call in group for picture in call.rows]
    strengths = [float(call.control.strength) for call in group]
    further: dict[str, Any] = {"controlnet_cond": pictures[0], "conditioning_scale": strengths[0]}  # Any: arguments
    if isinstance(network, ControlNetUnionModel):
        kinds = [call.control.control_net.kind for call in group]
        types = torch.zeros(len(x), network.config.num_control_type, device=x.device, dtype=dtype)
        types[:, kinds] = 1
        further = {
            "controlnet_cond": pictures,
            "conditioning_scale": strengths,
            "control_type": types,
            "control_type_idx": kinds,
        }
    if added is not None:
        further["added_cond_kwargs"] = {name: tensor.to(dtype) for name, tensor in added.items()}
    downs, middle = network(
        x[:, : network.config.in_channels].to(dtype),
        timestep,
        encoder_hidden_states=context.to(dtype),
        return_dict=False,
        **further,
    )
    return downs, middle


def _sum(total: list[Tensor], more: list[Tensor]) -> list[Tensor]:
    return [one + other for one, other in zip(total, more, strict=True)] if total else more


def _pixels_per_cell(network: Any, model: Model) -> int:  # Any: as above
    """Tell how large a network wants the picture."""
    if isinstance(network, T2IAdapter):
        return model.latent_factor
    return int(2 ** (len(network.config.conditioning_embedding_out_channels) - 1))


def _check_fit(control: Control, model: Model) -> None:
    """Refuse a control network for another family.

    Raises:
        InputError: naming it.
    """
    network: Any = control.control_net.network  # Any: as above
    unet: Any = model.network
    source = control.control_net.source
    if not isinstance(unet, UNet2DConditionModel):
        raise InputError(
            "model", f"its network is a {type(unet).__name__}, which can't be steered.", "Choose a Stable Diffusion."
        )
    if isinstance(network, ControlNetUnionModel) and control.control_net.kind is None:
        raise InputError(
            "positive",
            f"the ControlNet {source!r} reads several kinds of pictures, and isn't told which this one is.",
            "Put a SetUnionControlNetType node after LoadControlNet.",
        )
    if isinstance(network, T2IAdapter):
        theirs, ours = list(network.config.channels), list(unet.config.block_out_channels)
        detail = f"its levels have {theirs} channels, the model's {ours}"
        is_fit = theirs[: len(ours)] == ours
    else:
        theirs, ours = network.config.cross_attention_dim, unet.config.cross_attention_dim
        detail = f"it reads prompts of {theirs} features a token, the model of {ours}"
        is_fit = theirs == ours
    if not is_fit:
        raise InputError(
            "positive",
            f"the ControlNet {source!r} in it is for another family than the model: {detail}.",
            "Choose one for this model's family.",
        )
