"""How much device memory a call takes besides the weights, so that room can be made before it.

The factors were found by counting all live tensors of diffusers' networks of several shapes, on the CPU and without
gradients: ``tests/diffusion/test_memory.py`` counts again. They don't know what a GPU's kernels use for themselves; the
engine keeps a reserve for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphengine.training_types import Recipe
from graphengine.types import Clip, Conditioning, ControlNet, Guider, Image, Latent, Model, UpscaleModel, Vae

__all__ = [
    "decoding_memory",
    "encoding_memory",
    "guided_memory",
    "pixel_sampling_memory",
    "sampling_memory",
    "tiled_decoding_memory",
    "tiled_encoding_memory",
    "training_memory",
    "upscaling_memory",
]

_FEED_FORWARD_MAPS = 22
"""A transformer block widens its states eightfold, and holds that twice besides its own; of the finest level's size."""
_JOINT_PICTURE_STATES, _JOINT_PROMPT_STATES = 15.5, 5
"""How many states a block of a joint transformer holds for each patch and each word: it widens them fourfold, twice."""


def sampling_memory(
    model: Model, latent_image: Latent, cfg: float, positive: Conditioning, negative: Conditioning
) -> int:
    """Estimate what one call of a denoiser takes, in bytes; 0 for a network of unknown structure."""
    prompts = [positive, negative] if cfg != 1 else [positive]
    return _call_memory(model, latent_image, prompts, sum(map(_asked_together, prompts)))


def _asked_together(conditioning: Conditioning) -> int:
    """Count the parts that one call may be about; those of a prompt's schedule count one after the other."""
    scheduled = sum(bool(part.steps) for part in conditioning.parts)
    return len(conditioning.parts) - scheduled + min(1, scheduled)


def _call_memory(model: Model, latent_image: Latent, prompts: Sequence[Conditioning], count: int) -> int:
    config = _config(model.network)
    if "joint_attention_dim" in config:
        return _joint_memory(model, latent_image, prompts, count)
    channels = config.get("block_out_channels")
    if not channels:
        return 0
    batch, _, height, width = latent_image.samples.shape
    if "cross_attention_dim" in config:
        batch *= count
    layers = config["layers_per_block"]
    layers = max(layers) if isinstance(layers, list | tuple) else layers
    skips = sum((layers + 1) * count / 4**level for level, count in enumerate(channels))
    cells = skips + _FEED_FORWARD_MAPS * channels[0]
    if any(part.controls for prompt in prompts for part in prompt.parts):
        cells += (
            skips + 2 * 3 * model.latent_factor**2
        )  # what they add to it, and the pictures, of each prompt and joined
    return int(batch * height * width * cells) * _element_bytes(model.network)


def _joint_memory(model: Model, latent_image: Latent, prompts: Sequence[Conditioning], count: int) -> int:
    """Estimate a call of a transformer that reads picture and prompt side by side, as ``SD3Transformer2DModel``."""
    config = _config(model.network)
    batch, _, height, width = latent_image.samples.shape
    patches = height * width / config["patch_size"] ** 2
    words = max(part.embedding.shape[1] for prompt in prompts for part in prompt.parts)
    states = _JOINT_PICTURE_STATES * patches + _JOINT_PROMPT_STATES * words
    features = config["num_attention_heads"] * config["attention_head_dim"]
    return int(batch * count * states * features) * _element_bytes(model.network)


def guided_memory(guider: Guider, latent_image: Latent) -> int:
    """Estimate what one call of a guided denoiser takes, in bytes; of three prompts each has a call of its own."""
    prompts = [prompt for prompt in (guider.positive, guider.negative, guider.middle) if prompt is not None]
    if guider.negative is not None and guider.middle is None:
        return sampling_memory(guider.model, latent_image, guider.cfg, guider.positive, guider.negative)
    return _call_memory(guider.model, latent_image, prompts, max(map(_asked_together, prompts)))


def pixel_sampling_memory(model: Model, width: int, height: int, count: int) -> int:
    """Estimate what one call of a denoiser of pictures takes, in bytes; 0 for a network of unknown structure."""
    from graphengine.diffusion.latents import empty

    return _call_memory(model, empty(width, height, count, channels=model.latent_channels, factor=1), [], 1)


def decoding_memory(samples: Latent, vae: Vae) -> int:
    """Estimate what decoding takes, in bytes; pictures are decoded one after the other, so their number plays no part.

    It is most where the last level begins, at the picture's full size: three maps of the level before, or five of it.
    """
    channels = _config(vae.autoencoder).get("block_out_channels")
    if not channels:
        return 0
    height, width = _picture_sides(samples, vae)
    finest, next_finest = channels[0], channels[min(1, len(channels) - 1)]
    return int(height * width * max(5.1 * finest, 3.1 * next_finest)) * _element_bytes(vae.autoencoder)


def encoding_memory(pixels: Image, vae: Vae) -> int:
    """Estimate what encoding takes, in bytes: five maps of the first level and as many copies of the picture."""
    channels = _config(vae.autoencoder).get("block_out_channels")
    if not channels:
        return 0
    height, width = pixels.shape[1:3]
    return int(height * width * 5 * (channels[0] + 3)) * _element_bytes(vae.autoencoder)


def tiled_decoding_memory(samples: Latent, vae: Vae, tile_size: int) -> int:
    """Estimate what decoding in tiles takes, in bytes: that of one tile."""
    return _in_a_tile(decoding_memory(samples, vae), _picture_sides(samples, vae), tile_size)


def tiled_encoding_memory(pixels: Image, vae: Vae, tile_size: int) -> int:
    """Estimate what encoding in tiles takes, in bytes: that of one tile."""
    return _in_a_tile(encoding_memory(pixels, vae), tuple(pixels.shape[1:3]), tile_size)


def _picture_sides(samples: Latent, vae: Vae) -> tuple[int, ...]:
    factor = 2 ** (len(_config(vae.autoencoder).get("block_out_channels", [0])) - 1)
    return tuple(side * factor for side in samples.samples.shape[-2:])


def _in_a_tile(whole: int, sides: tuple[int, ...], tile_size: int) -> int:
    height, width = sides
    return int(whole * min(height, tile_size) * min(width, tile_size) / (height * width))


def upscaling_memory(upscale_model: UpscaleModel, image: Image, tile_size: int) -> int:
    """Estimate what enlarging in tiles takes, in bytes: three maps of the network's width, as large as its answer."""
    weight = next(upscale_model.network.parameters())
    height, width = (min(side, tile_size) * upscale_model.scale for side in image.shape[1:3])
    return int(height * width * 3.1 * weight.shape[0]) * 4


def training_memory(model: Model | Vae | Clip | ControlNet, recipe: Recipe, base: Model | None = None) -> int:
    """Tell the least that training takes, in bytes; what a step computes isn't known before.

    Float32 copies of the weights: those trained, their gradients, the optimizer's two moments, and their average. Of
    what a LoRA or a word is trained through there is one copy, for half precision as it was loaded, as of the model
    that a ControlNet steers; what is trained of it is small beside that.
    """
    match model:
        case Model():
            networks = [model.network]
        case Vae():
            networks = [model.autoencoder]
        case Clip():
            networks = [encoder.network for encoder in model.encoders]
        case ControlNet():
            networks = [model.network]
    copies = 0 if recipe.lora or recipe.word else 5 if recipe.ema_decay > 0 else 4
    trained = [parameter for network in networks for parameter in network.parameters()]
    frozen = [*(base.network.parameters() if base else ()), *(trained if copies == 0 else ())]
    as_loaded = recipe.precision != "float32"
    kept: int = sum(parameter.nbytes if as_loaded else 4 * parameter.numel() for parameter in frozen)
    grown: int = sum(parameter.numel() for parameter in trained)
    return kept + 4 * copies * grown


def _config(network: object) -> Mapping[str, Any]:  # Any: a network's configuration, as its library has it
    config = getattr(network, "config", None)
    return config if isinstance(config, Mapping) else {}


def _element_bytes(network: Any) -> int:  # Any: an nn.Module, which isn't imported here
    return int(next(network.parameters()).element_size())
