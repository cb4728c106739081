"""Open single-file checkpoints: one safetensors file with denoiser, text encoders and autoencoder.

The header tells how the networks are built (``families``). They are made without weights, and each weight becomes a
view of the mapped file, where its format is the wanted one: nothing is read until it is computed with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from graphengine.config import Precision
from graphengine.diffusion.clip_vocabulary import clip_tokenizer
from graphengine.diffusion.families import UNET_PREFIX, VAE_PREFIX, Config, Header, recognise
from graphengine.diffusion.model_files import PICKLE_SUFFIXES, pickle_error, read_header_and_metadata
from graphengine.diffusion.original_names import Places, read_weight, text_places, unet_places, vae_places
from graphengine.diffusion.precision import STORED, weights_dtype
from graphengine.diffusion.written_tokenizers import read_tokenizer
from graphengine.errors import ModelFileError
from graphengine.types import Clip, Model, TextEncoder, Vae

_TEXT_MODELS: Mapping[str, Any] = {  # Any: transformers leaves constructors untyped
    "CLIPTextModel": CLIPTextModel,
    "CLIPTextModelWithProjection": CLIPTextModelWithProjection,
}
_SD2_V_MARK = f"{UNET_PREFIX}output_blocks.11.1.transformer_blocks.0.norm1.bias"


class SingleFile:
    """A single-file checkpoint whose header was read and found sound.

    Args:
        path: The file.
        precision: In which format weights are wanted.
        device: Where the networks will run, which ``auto`` goes by.

    Raises:
        ModelFileError: if it is missing, damaged, a pickle, or of an unknown kind.
    """

    def __init__(self, path: Path, *, precision: Precision = "auto", device: torch.device | str = "cpu") -> None:
        if path.suffix in PICKLE_SUFFIXES:
            raise pickle_error(path)
        self.path = path
        self.header, self.metadata = read_header_and_metadata(path)
        self.layout = recognise(path, self.header, self.metadata)
        self._precision, self._device = precision, device

    def load(self) -> tuple[Model, Clip, Vae]:
        """Open all three parts.

        Raises:
            ModelFileError: if one is missing or incomplete.
        """
        parts = {"text encoder": [str(each["prefix"]) for each in self.layout.text_encoders], "vae": [VAE_PREFIX]}
        missing = [
            part for part, prefixes in parts.items() if not all(_has(self.header, prefix) for prefix in prefixes)
        ]
        if missing:
            raise ModelFileError(
                f"{self.path}: this checkpoint has no {', no '.join(missing)}\n"
                "  Load its denoiser with LoadUNet, and the rest with LoadCLIP and LoadVAE."
            )
        return self.model(), self.clip(), self.vae()

    def model(self) -> Model:
        """Open the denoiser."""
        config = self.layout.unet
        network = self._network(
            lambda: UNet2DConditionModel(**_arguments(config)), lambda names: unet_places(names, config, UNET_PREFIX)
        )
        scheduler = self._scheduler()
        return Model(
            network=network,
            prediction=scheduler["prediction_type"],
            scheduler_config=scheduler,
            latent_channels=int(config["out_channels"]),
            latent_factor=2 ** (len(self.layout.vae["block_out_channels"]) - 1),
            source=self.path.name,
            latent_rgb=self.layout.latent_rgb,
            family=self.layout.family,
            extra_channels=self.layout.extra_channels,
        )

    def vae(self) -> Vae:
        """Open the autoencoder."""
        config = self.layout.vae
        network = self._network(
            lambda: AutoencoderKL(**_arguments(config)), lambda names: vae_places(names, config, VAE_PREFIX), vae=True
        )
        return Vae(network, source=self.path.name)

    def clip(self) -> Clip:
        """Open the text encoders."""
        encoders = tuple(self._text_encoder(each) for each in self.layout.text_encoders)
        return Clip(encoders, source=self.path.name, family=self.layout.family)

    def _text_encoder(self, layout: Config) -> TextEncoder:
        prefix, form = layout["prefix"], layout["form"]
        network = self._network(
            lambda: _TEXT_MODELS[layout["architecture"]](CLIPTextConfig(**layout["config"])),
            lambda names: _as_stored(text_places(names, form, prefix), self.header),
        )
        _recreate_positions(network)
        written = layout.get("tokenizer")
        return TextEncoder(
            network=network,
            tokenizer=read_tokenizer(self.path, written) if written else clip_tokenizer(layout["pad_token"]),
            hidden_layer=layout["hidden_layer"],
            final_norm=layout["final_norm"],
            pooled=layout["pooled"],
        )

    def _network(
        self, make: Callable[[], nn.Module], places_of: Callable[[list[str]], Places], *, vae: bool = False
    ) -> nn.Module:
        with torch.device("meta"):
            network = make()
        shapes = {name: weight.shape for name, weight in network.state_dict().items()}
        places = places_of(list(shapes))
        _check_all_there(self.path, places, self.header)
        stored = _stored_dtype(self.path, places, self.header)
        dtype = weights_dtype(self._precision, self._device, self.layout.family, stored, vae=vae)
        network.load_state_dict(self._weights(places, shapes, dtype), assign=True)
        return network.eval().requires_grad_(False)

    def _weights(self, places: Places, shapes: Mapping[str, torch.Size], dtype: torch.dtype) -> dict[str, Tensor]:
        try:
            with safe_open(self.path, "pt") as file:
                return {
                    name: read_weight(place, file.get_tensor(place.name), shapes[name]).to(dtype)
                    for name, place in places.items()
                }
        except ValueError as error:
            raise ModelFileError(
                f"{self.path}: wrong architecture: {error}, which doesn't fit {self.layout.name}\n"
                "  The file is damaged, or a variant of that family which can't be read."
            ) from error
        except (SafetensorError, OSError) as error:
            raise ModelFileError(f"{self.path}: can't be opened: {error}\n  Download or copy it again.") from error

    def _scheduler(self) -> dict[str, Any]:  # Any: a diffusers configuration, of JSON values
        scheduler = dict(self.layout.scheduler)
        if any(name in self.header for name in ("edm_mean", "edm_vpred.sigma_max")):
            raise ModelFileError(
                f"{self.path}: this model was trained with the noise levels of EDM, which aren't supported\n"
                "  Choose a checkpoint that was trained as Stable Diffusion XL was."
            )
        if self.layout.is_written:
            return scheduler
        if self._predicts_v():
            scheduler["prediction_type"] = "v_prediction"
        if "ztsnr" in self.header:
            scheduler |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        return scheduler

    def _predicts_v(self) -> bool:
        """Tell by the marks that are in use; a file says nothing of it otherwise.

        Source of the one for Stable Diffusion 2: measured on the published models, whose weights there differ so much
        that ComfyUI and others go by it as well.
        """
        if "v_pred" in self.header or self.metadata.get("modelspec.prediction_type") == "v":
            return True
        if self.layout.family != "sd2" or _SD2_V_MARK not in self.header:
            return False
        with safe_open(self.path, "pt") as file:
            return bool(file.get_tensor(_SD2_V_MARK).float().std(unbiased=False) > 0.09)


def _has(header: Header, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in header)


def _arguments(config: Config) -> dict[str, Any]:  # Any: JSON values
    return {name: value for name, value in config.items() if not name.startswith("_")}


def _as_stored(places: Places, header: Header) -> Places:
    """Leave out the ``text_model.`` that some files lack."""
    if any(place.name in header for place in places.values()):
        return places
    return {name: place._replace(name=place.name.replace("text_model.", "")) for name, place in places.items()}


def _check_all_there(path: Path, places: Places, header: Header) -> None:
    missing = sorted({place.name for place in places.values()} - header.keys())
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelFileError(
            f"{path}: wrong architecture: the file lacks {missing[0]!r}{more}\n"
            "  It is incomplete, or a variant of its family which can't be read, such as a distilled one."
        )


def _stored_dtype(path: Path, places: Places, header: Header) -> torch.dtype:
    """Tell in which format most of a network's weights are."""
    sizes: Counter[str] = Counter()
    for name in {place.name for place in places.values()}:
        sizes[header[name].dtype] += header[name].end - header[name].begin
    unknown = sizes.keys() - STORED.keys()
    if unknown:
        raise ModelFileError(
            f"{path}: weights of the type {min(unknown)} can't be used\n"
            "  Choose a file with weights in float32, float16 or bfloat16."
        )
    return STORED[sizes.most_common(1)[0][0]]


def _recreate_positions(network: Any) -> None:  # Any: a transformers model, with and without a projection
    """Make the one buffer that no file holds."""
    embeddings = getattr(network, "text_model", network).embeddings
    embeddings.position_ids = torch.arange(embeddings.position_embedding.num_embeddings).expand((1, -1))
