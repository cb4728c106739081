"""Open single-file checkpoints: one safetensors file with denoiser, text encoders and autoencoder.

The header tells how the networks are built (``families``), and what is written nowhere is found out from the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffusers import AutoencoderKL, SD3Transformer2DModel, UNet2DConditionModel

from graphengine.diffusion.clip_vocabulary import clip_tokenizer
from graphengine.diffusion.families import UNET_PREFIX, VAE_PREFIX, Config, Layout
from graphengine.diffusion.joint_names import joint_places
from graphengine.diffusion.original_names import Place, Places, text_places, unet_places, vae_places
from graphengine.diffusion.recognition import recognise
from graphengine.diffusion.text_networks import TEXT_MODELS, read_t5, read_text_encoder, with_projection
from graphengine.diffusion.weights_files import WeightsFile
from graphengine.diffusion.written_tokenizers import read_tokenizer
from graphengine.errors import ModelFileError
from graphengine.types import Clip, Family, Model, TextEncoder, Vae

_DENOISERS: Mapping[str, Any] = {  # Any: diffusers' classes are untyped
    "UNet2DConditionModel": UNet2DConditionModel,
    "SD3Transformer2DModel": SD3Transformer2DModel,
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
        missing = [
            part
            for part, prefixes in parts.items()
            if not prefixes or not all(self.file.has(prefix) for prefix in prefixes)
        ]
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
        encoders = tuple(noted_text_encoder(self.file, each, self.layout.family) for each in self.layout.text_encoders)
        return Clip(encoders, source=self.path.name, family=self.layout.family)


def noted_text_encoder(file: WeightsFile, layout: Config, family: Family | None) -> TextEncoder:
    """Read a text encoder with what is read of it, as a layout says.

    Args:
        layout: As in ``Layout.text_encoders``.
    """
    prefix, form, kind, config = (layout[name] for name in ("prefix", "form", "architecture", "config"))
    if form == "t5":
        return read_t5(file, config, prefix, family=family)
    lacks_projection = kind == "CLIPTextModelWithProjection" and not file.has(f"{prefix}text_projection")
    network = read_text_encoder(
        file, TEXT_MODELS["CLIPTextModel" if lacks_projection else kind], config,
        lambda names: text_places(names, form, prefix), family=family,
    )  # fmt: skip
    if lacks_projection:
        network = with_projection(network, config)
    written = layout.get("tokenizer")
    return TextEncoder(
        network=network,
        tokenizer=read_tokenizer(file.path, written) if written else clip_tokenizer(layout["pad_token"]),
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
    kind = config.get("_class_name", "UNet2DConditionModel")

    def places_of(names: list[str]) -> Places:
        if prefix is None:
            return {name: Place(name) for name in names}
        return joint_places(names, prefix) if kind == "SD3Transformer2DModel" else unet_places(names, config, prefix)

    network = file.network(lambda: _DENOISERS[kind](**_arguments(config)), places_of, family=layout.family)
    mark = places_of([_SD2_V_MARK])[_SD2_V_MARK].name if kind == "UNet2DConditionModel" else ""
    scheduler = found_scheduler(file, layout, mark)
    return Model(
        network=network,
        prediction=scheduler.get("prediction_type", "flow"),
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
