"""Open single-file checkpoints: one safetensors file with denoiser, text encoders and autoencoder.

The header tells how the networks are built (``families``), and what is written nowhere is found out from the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from graphengine.diffusion.clip_vocabulary import clip_tokenizer
from graphengine.diffusion.families import UNET_PREFIX, VAE_PREFIX, Config, Header, Layout, recognise
from graphengine.diffusion.original_names import Place, Places, text_places, unet_places, vae_places
from graphengine.diffusion.weights_files import WeightsFile
from graphengine.diffusion.written_tokenizers import read_tokenizer
from graphengine.errors import ModelFileError
from graphengine.types import Clip, Family, Model, TextEncoder, Vae

TEXT_MODELS: Mapping[str, Any] = {  # Any: transformers leaves constructors untyped
    "CLIPTextModel": CLIPTextModel,
    "CLIPTextModelWithProjection": CLIPTextModelWithProjection,
}
_SD2_V_MARK = "up_blocks.3.attentions.2.transformer_blocks.0.norm1.bias"


class SingleFile:
    """A single-file checkpoint of a known kind.

    Raises:
        ModelFileError: if it is of another.
    """

    def __init__(self, file: WeightsFile) -> None:
        self.file = file
        self.path = file.path
        self.layout = recognise(file.path, file.header, file.metadata)

    def load(self) -> tuple[Model, Clip, Vae]:
        """Open all three parts.

        Raises:
            ModelFileError: if one is missing or incomplete.
        """
        parts = {"text encoder": [str(each["prefix"]) for each in self.layout.text_encoders], "vae": [VAE_PREFIX]}
        missing = [part for part, prefixes in parts.items() if not all(self.file.has(prefix) for prefix in prefixes)]
        if missing:
            raise ModelFileError(
                f"{self.path}: this checkpoint has no {', no '.join(missing)}\n"
                "  Load its denoiser with LoadUNet, and the rest with LoadCLIP and LoadVAE."
            )
        return self.model(), self.clip(), self.vae()

    def model(self) -> Model:
        """Open the denoiser."""
        return read_denoiser(self.file, self.layout, UNET_PREFIX)

    def vae(self) -> Vae:
        """Open the autoencoder."""
        config = self.layout.vae
        network = self.file.network(
            lambda: AutoencoderKL(**_arguments(config)),
            lambda names: vae_places(names, config, VAE_PREFIX),
            family=self.layout.family,
            is_vae=True,
        )
        return Vae(network, source=self.path.name)

    def clip(self) -> Clip:
        """Open the text encoders."""
        encoders = tuple(self._text_encoder(each) for each in self.layout.text_encoders)
        return Clip(encoders, source=self.path.name, family=self.layout.family)

    def _text_encoder(self, layout: Config) -> TextEncoder:
        prefix, form = layout["prefix"], layout["form"]
        network = read_text_encoder(
            self.file, TEXT_MODELS[layout["architecture"]], layout["config"],
            lambda names: text_places(names, form, prefix), family=self.layout.family,
        )  # fmt: skip
        written = layout.get("tokenizer")
        return TextEncoder(
            network=network,
            tokenizer=read_tokenizer(self.path, written) if written else clip_tokenizer(layout["pad_token"]),
            hidden_layer=layout["hidden_layer"],
            final_norm=layout["final_norm"],
            pooled=layout["pooled"],
        )


def read_denoiser(file: WeightsFile, layout: Layout, prefix: str | None) -> Model:
    """Read a denoiser.

    Args:
        prefix: What comes before the original names of its weights; None if they have diffusers' names.
    """
    config = layout.unet

    def places_of(names: list[str]) -> Places:
        return {name: Place(name) for name in names} if prefix is None else unet_places(names, config, prefix)

    network = file.network(lambda: UNet2DConditionModel(**_arguments(config)), places_of, family=layout.family)
    scheduler = found_scheduler(file, layout, places_of([_SD2_V_MARK])[_SD2_V_MARK].name)
    return Model(
        network=network,
        prediction=scheduler["prediction_type"],
        scheduler_config=scheduler,
        latent_channels=int(config["out_channels"]),
        latent_factor=2 ** (len(layout.vae["block_out_channels"]) - 1),
        source=file.path.name,
        latent_rgb=layout.latent_rgb,
        family=layout.family,
        extra_channels=layout.extra_channels,
    )


def found_scheduler(file: WeightsFile, layout: Layout, mark: str) -> dict[str, Any]:  # Any: JSON values
    """Give the configuration of a model's noise levels, as far as it can be found out.

    Args:
        mark: The name of the tensor that tells which Stable Diffusion 2 it is: those that predict v spread these
            weights more than 0.09. Measured on the published models, and used by other programs as well.
    """
    scheduler = dict(layout.scheduler)
    if any(name in file.header for name in ("edm_mean", "edm_vpred.sigma_max")):
        raise ModelFileError(
            f"{file.path}: this model was trained with the noise levels of EDM, which aren't supported\n"
            "  Choose a checkpoint that was trained as Stable Diffusion XL was."
        )
    if layout.is_written:
        return scheduler
    says_v = "v_pred" in file.header or file.metadata.get("modelspec.prediction_type") == "v"
    if layout.family == "sd2" and mark in file.header:
        says_v = says_v or bool(file.tensor(mark).float().std(unbiased=False) > 0.09)
    if says_v:
        scheduler["prediction_type"] = "v_prediction"
    if "ztsnr" in file.header:
        scheduler |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return scheduler


def _arguments(config: Config) -> dict[str, Any]:  # Any: JSON values
    return {name: value for name, value in config.items() if not name.startswith("_")}


def read_text_encoder(
    file: WeightsFile,
    kind: Any,  # Any: transformers leaves constructors untyped
    config: Config,
    places_of: Callable[[list[str]], Places],
    *,
    family: Family | None,
) -> nn.Module:
    """Read a CLIP text encoder."""
    network = file.network(
        lambda: kind(CLIPTextConfig(**config)), lambda names: _as_stored(places_of(names), file.header), family=family
    )
    _recreate_positions(network)
    return network


def _as_stored(places: Places, header: Header) -> Places:
    """Leave out the ``text_model.`` that some files lack."""
    if any(place.name in header for place in places.values()):
        return places
    return {name: place._replace(name=place.name.replace("text_model.", "")) for name, place in places.items()}


def _recreate_positions(network: Any) -> None:  # Any: a transformers model, with and without a projection
    """Make the one buffer that no file holds."""
    embeddings = getattr(network, "text_model", network).embeddings
    embeddings.position_ids = torch.arange(embeddings.position_embedding.num_embeddings).expand((1, -1))
