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
from typing import Any

import torch
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
from torch import Tensor, nn
from torch.nn import functional

from graphengine.diffusion.ip_adapters import reader_names
from graphengine.diffusion.network_copies import with_own_modules
from graphengine.diffusion.prompt_layout import Place
from graphengine.diffusion.resampling import resize
from graphengine.diffusion.schedules import TrainedLevels
from graphengine.errors import InputError
from graphengine.types import ImagePrompt, Mask, Model


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
        for attention, layer in self._attentions:
            attention.scale[:] = [
                weight if not prompt.layers or layer.startswith(prompt.layers) else 0.0
                for weight, prompt in zip(call.weights, self._prompts, strict=True)
            ]
        named = named | {"added_cond_kwargs": {**named.get("added_cond_kwargs", {}), "image_embeds": list(call.tokens)}}
        if any(mask is not None for mask in call.masks):
            named["cross_attention_kwargs"] = {"ip_adapter_masks": call.masks}
        return self._network, named

    @cached_property
    def _attentions(self) -> list[tuple[Any, str]]:  # Any: diffusers is untyped
        """Give the copy's own attentions, and where they are."""
        network: Any = self._network  # Any: as above
        return [(network.get_submodule(name).processor, name) for name in reader_names(network)]

    @cached_property
    def _network(self) -> nn.Module:
        """Copy the denoiser, with attentions that look at pictures too."""
        readers = reader_names(self._model.network)
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
            attention: Any = _Attention(width, reads, num_tokens=[0] * len(layers))
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
