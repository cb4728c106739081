"""Let a denoiser attend to pictures beside its prompt, by IP-Adapters.

Where the denoiser attends to the prompt, an IP-Adapter adds what attending to its pictures gives:

    attention(q, k(prompt), v(prompt)) + weight · mask · attention(q, k_ip(pictures), v_ip(pictures))

The denoiser as it was loaded knows nothing of it. A run works on a copy that shares all weights and has attentions of
its own, so adapters, LoRAs and ControlNets may be combined in any order, and nothing has to be undone.

Source: Ye et al. 2023, arXiv:2308.06721.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
from torch import Tensor, nn
from torch.nn import functional

from graphengine.diffusion.adapters import base_network
from graphengine.diffusion.lora_names import family_of
from graphengine.diffusion.network_copies import with_own_modules
from graphengine.diffusion.prompt_layout import Place
from graphengine.diffusion.resampling import resize
from graphengine.diffusion.schedules import TrainedLevels
from graphengine.errors import InputError
from graphengine.types import ClipVisionOutput, ImagePrompt, IPAdapter, Mask, Model

Combination = Literal["concat", "average"]
_READER = ".attn2"  # ends the names of attentions that read the prompt


def with_pictures(
    model: Model,
    ip_adapter: IPAdapter,
    pictures: ClipVisionOutput,
    *,
    weight: float,
    timesteps: tuple[float, float] = (0.0, 1.0),
    mask: Mask | None = None,
    combine: Combination = "concat",
) -> Model:
    """Give a model that attends to pictures too.

    Args:
        weight: How much they count beside the prompt; 0 leaves the model as it is.
        timesteps: When they count, as shares of the way from pure noise (0) to the picture (1).
        mask: Where they count.
        combine: Whether it attends to all of several pictures, or to their mean.

    Raises:
        InputError: if the adapter is for another family, or reads another image encoder.
    """
    _check_fit(model, ip_adapter, pictures)
    if weight == 0:
        return model
    shown = pictures.pooled if ip_adapter.reads == "pooled" else pictures.states
    blank = torch.zeros_like(shown[:1]) if ip_adapter.reads == "pooled" else pictures.blank
    if combine == "average":
        shown = shown.mean(dim=0, keepdim=True)
    prompt = ImagePrompt(ip_adapter, shown, blank, weight, timesteps, mask)
    return replace(model, image_prompts=(*model.image_prompts, prompt))


@dataclass(frozen=True)
class ImageCall:
    """What a model is shown in one call of its network.

    Attributes:
        weights: Of each image prompt.
        tokens: Of each, ``[n, 1, T, D]``.
        masks: Of each, by a level's number of cells, ``[n, 1, 1, cells]``; None for those without.
    """

    weights: tuple[float, ...]
    tokens: tuple[Tensor, ...]
    masks: tuple[Mapping[int, Tensor] | None, ...]

    def item(self, number: int) -> ImageCall:
        """Give it for one item of the call alone."""
        one = slice(number, number + 1)
        masks = tuple(each and {cells: mask[one] for cells, mask in each.items()} for each in self.masks)
        return ImageCall(self.weights, tuple(each[one] for each in self.tokens), masks)


class ImagePrompts:
    """The image prompts of a run, made ready for its latents as they come up.

    Args:
        device: Where to compute; the adapters are moved there.
        dtype: Of the denoiser's weights.
        hidden: Whether no prompt of the run is shown the pictures, as all of them are guided away from.
    """

    def __init__(
        self,
        model: Model,
        levels: TrainedLevels,
        device: torch.device | str,
        dtype: torch.dtype,
        *,
        hidden: bool = False,
    ) -> None:
        self._model = model
        self._prompts = model.image_prompts
        self._hidden = hidden
        self._ranges = [tuple(levels.at_share(share) for share in each.timesteps) for each in self._prompts]
        self._to: Any = {"device": device, "dtype": dtype}  # Any: named arguments of Tensor.to
        self._weights: list[float] = [0.0] * len(self._prompts)  # which all attentions of the copy look up
        self._ready: dict[object, ImageCall] = {}

    def call(self, places: Sequence[Place], size: tuple[int, int], *, batch: int, sigma: float) -> ImageCall | None:
        """Give what the model is shown at a noise level; None if nothing counts there.

        Args:
            places: The prompts of the call.
            size: Height and width of the latents.

        Raises:
            InputError: if a mask doesn't fit the latents.
        """
        weights = tuple(
            prompt.weight if highest >= sigma > lowest else 0.0
            for prompt, (highest, lowest) in zip(self._prompts, self._ranges, strict=True)
        )
        if not any(weights):
            return None
        windows = tuple((each.side, *((side.start, side.stop) for side in each.window)) for each in places)
        if (windows, size) not in self._ready:
            tokens = tuple(self._tokens(number, places, batch) for number in range(len(self._prompts)))
            masks = tuple(self._masks(prompt.mask, places, size, batch) for prompt in self._prompts)
            self._ready[windows, size] = ImageCall(weights, tokens, masks)
        return replace(self._ready[windows, size], weights=weights)

    def shown(self, call: ImageCall, named: dict[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
        """Give the network that is shown pictures, and what it takes by name: ``named`` and the pictures."""
        self._weights[:] = call.weights
        named = named | {"added_cond_kwargs": {**named.get("added_cond_kwargs", {}), "image_embeds": list(call.tokens)}}
        if any(mask is not None for mask in call.masks):
            named["cross_attention_kwargs"] = {"ip_adapter_masks": call.masks}
        return self._network, named

    @cached_property
    def _network(self) -> nn.Module:
        """Copy the denoiser, with attentions that look at pictures too."""
        readers = _readers(self._model.network)
        network: Any = with_own_modules(self._model.network, readers)  # Any: diffusers' networks are untyped
        network.register_to_config(encoder_hid_dim_type="ip_image_proj")
        network.encoder_hid_proj = nn.Identity()  # tokens are made once, not at every step
        layers: list[Any] = [self._part(prompt, "layers") for prompt in self._prompts]  # Any: modules aren't indexable
        for number, name in enumerate(readers):
            network.get_submodule(name).set_processor(self._attention([each[number] for each in layers]))
        result: nn.Module = network
        return result

    def _attention(self, layers: Sequence[Any]) -> nn.Module:  # Any: ModuleDicts, whose items aren't typed
        width, reads = layers[0]["to_k_ip"].weight.shape
        with torch.device("meta"):
            attention: Any = _Attention(width, reads, num_tokens=[0] * len(layers), scale=self._weights)
        attention.to_k_ip = nn.ModuleList(each["to_k_ip"] for each in layers)
        attention.to_v_ip = nn.ModuleList(each["to_v_ip"] for each in layers)
        made: nn.Module = attention
        return made

    def _part(self, prompt: ImagePrompt, name: str) -> nn.Module:
        """Give a part of an adapter as the denoiser computes; the adapter's own weights stay in their format."""
        dtype = self._to["dtype"]
        part = prompt.ip_adapter.network.to(self._to["device"])[name]
        return part if next(part.parameters()).dtype == dtype else copy.deepcopy(part).to(dtype)

    @torch.no_grad()
    def _tokens(self, number: int, places: Sequence[Place], batch: int) -> Tensor:
        """Give an adapter's tokens for each item of a call, those of all its pictures in a row."""
        shown, blank = self._projected[number]
        are_shown = [each.side == "positive" and not self._hidden for each in places]
        return torch.cat([(shown if is_shown else blank).expand(batch, -1, -1, -1) for is_shown in are_shown])

    @cached_property
    def _projected(self) -> list[tuple[Tensor, Tensor]]:
        """Make tokens of the pictures and of nothing, ``[1, 1, T, D]``."""
        made = []
        for prompt in self._prompts:
            projection = self._part(prompt, "image_proj")
            shown, blank = (projection(each.to(**self._to)) for each in (prompt.shown, prompt.blank))
            made.append((shown.flatten(0, 1)[None, None], blank.repeat(len(shown), 1, 1).flatten(0, 1)[None, None]))
        return made

    def _masks(
        self, mask: Mask | None, places: Sequence[Place], size: tuple[int, int], batch: int
    ) -> Mapping[int, Tensor] | None:
        """Give a mask for each item of a call, at each level's size and in a row."""
        if mask is None:
            return None
        if len(mask) not in (1, batch):
            raise InputError(
                "model", f"{len(mask)} masks of an image prompt don't fit {batch} latents.", f"Give one, or {batch}."
            )
        factor = self._model.latent_factor
        whole = resize(mask[:, None], size[1] * factor, size[0] * factor, method="bilinear")
        cut = [
            whole[..., rows.start * factor : rows.stop * factor, columns.start * factor : columns.stop * factor]
            for rows, columns in (each.window for each in places)
        ]
        planes = torch.cat([each.expand(batch, -1, -1, -1) for each in cut])  # [n, 1, H, W]
        height, width = (side // factor for side in planes.shape[-2:])
        levels: dict[int, Tensor] = {}
        while height * width not in levels:
            level = functional.interpolate(planes, size=(height, width), mode="area")
            levels[height * width] = level.flatten(2)[:, :, None].to(**self._to)  # [n, 1, 1, h * w]
            height, width = -(-height // 2), -(-width // 2)  # as convolutions with a stride of 2 do
        return levels


class _Attention(IPAdapterAttnProcessor2_0):  # type: ignore[misc]  # diffusers is untyped
    """Takes the masks of its own level; diffusers guesses a level's sides from their product, and errs for some.

    A mask in a row it takes as it is.
    """

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        *given: Any,  # Any: what diffusers hands on
        ip_adapter_masks: tuple[Mapping[int, Tensor] | None, ...] | None = None,
        **named: Any,
    ) -> Tensor:
        masks = ip_adapter_masks and [each and each[hidden_states.shape[1]] for each in ip_adapter_masks]
        result: Tensor = super().__call__(attn, hidden_states, *given, ip_adapter_masks=masks, **named)
        return result


def _readers(network: nn.Module) -> list[str]:
    """Name the attentions that read the prompt, in the order by which adapters number them: that of diffusers' own."""
    return [name for name, _ in network.named_modules() if name.endswith(_READER)]


def _check_fit(model: Model, ip_adapter: IPAdapter, pictures: ClipVisionOutput) -> None:
    network: Any = base_network(model)  # Any: diffusers' networks are untyped
    adapter: Any = ip_adapter.network  # Any: modules in modules aren't typed
    if not isinstance(network, UNet2DConditionModel) or network.config.encoder_hid_dim_type is not None:
        raise InputError(
            "model", f"its network, a {type(network).__name__}, can't attend to pictures.", "Choose a Stable Diffusion."
        )
    sizes = [list(network.get_submodule(name).to_k.weight.shape) for name in _readers(network)]
    theirs = [list(each["to_k_ip"].weight.shape) for each in adapter["layers"]]
    if sizes != theirs:
        made_for, this = (family_of(each[0][1]) if each else "no prompt" for each in (theirs, sizes))
        raise InputError(
            "ip_adapter",
            f"{ip_adapter.source!r} is made for {made_for}, this model is of {this}: "
            f"it has {len(theirs)} attentions, the model {len(sizes)}.",
            "Choose an IP-Adapter for this model's family.",
        )
    width = (pictures.pooled if ip_adapter.reads == "pooled" else pictures.states).shape[-1]
    wanted = _read_width(adapter["image_proj"])
    if width != wanted:
        raise InputError(
            "pictures",
            f"{pictures.source!r} says {width} numbers of a picture, {ip_adapter.source!r} reads {wanted}.",
            "Choose the image encoder that the IP-Adapter was trained with.",
        )


def _read_width(projection: nn.Module) -> int:
    """Tell how many numbers a projection's first layer reads."""
    first = next(each for name, each in projection.named_modules() if isinstance(each, nn.Linear))
    return first.in_features
