"""Open diffusers folders: a checkpoint as its pipelines save it, complete or in parts.

    model_index.json   which classes the parts have
    unet/ (or transformer/)  vae/  text_encoder/ …_2/ …_3/      config.json and safetensors weights
    tokenizer/ …_2/ …_3/  scheduler/

What is read of each text encoder follows from the pipeline that such folders are made for: one encoder gives its last
state; where a denoiser also takes a pooled prompt, all CLIP encoders give the state before the last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, T5EncoderModel

from graphengine.config import Precision
from graphengine.diffusion.checkpoint_writing import NETWORKS
from graphengine.diffusion.families import family_of_folder, layout_of
from graphengine.diffusion.latent_preview import fit_latent_rgb
from graphengine.diffusion.model_files import read_json
from graphengine.diffusion.pretrained import Opener, load_tokenizer
from graphengine.diffusion.sharing import Share, unshared
from graphengine.errors import ModelFileError
from graphengine.types import Clip, Family, Model, Prediction, TextEncoder, Vae

AUTOENCODERS: Mapping[str, Any] = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny}  # Any: untyped
TEXT_ENCODERS: Mapping[str, Any] = {  # Any: transformers leaves its classes' methods untyped
    "CLIPTextModel": CLIPTextModel,
    "CLIPTextModelWithProjection": CLIPTextModelWithProjection,
    "T5EncoderModel": T5EncoderModel,
}
_KINDS = ("clip_text_model", "clip", "t5")  # transformers' model_type; some old folders say the second
_TEXT_PARTS = ("text_encoder", "text_encoder_2", "text_encoder_3")
PARTS = ("unet", "transformer", "vae", *_TEXT_PARTS, "tokenizer", "tokenizer_2", "tokenizer_3", "scheduler")


class DiffusersFolder:
    """A folder that holds the parts of a checkpoint, not all of them necessarily.

    Args:
        folder: Where it is.
        precision: In which format weights are wanted.
        device: Where the networks will run, which ``auto`` goes by.
        share: Whether and how networks that are opened again are the same ones.

    Raises:
        ModelFileError: if it is no such folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        precision: Precision = "auto",
        device: torch.device | str = "cpu",
        share: Share = unshared,
    ) -> None:
        if not folder.exists():
            raise ModelFileError(
                f"{folder}: no such checkpoint\n  Check the name, or put the checkpoint's folder there."
            )
        if not (folder / "model_index.json").exists():
            raise ModelFileError(
                f"{folder}: not a checkpoint: it has no model_index.json\n"
                "  Choose the folder that holds model_index.json, with unet, vae and text_encoder beside it."
            )
        read_json(folder / "model_index.json")
        self.folder = folder
        self.denoiser = "transformer" if (folder / "transformer").is_dir() else "unet"
        self._opener = Opener(precision, device, share)

    def load(self) -> tuple[Model, Clip, Vae]:
        """Open all three parts.

        Raises:
            ModelFileError: if one is missing, damaged, of an unknown kind, or doesn't fit the others.
        """
        texts = self._text_parts() or ["text_encoder"]
        wanted = [self.denoiser, "vae", *texts, *(_tokenizer_of(part) for part in texts), "scheduler"]
        missing = [part for part in wanted if not (self.folder / part).is_dir()]
        if missing:
            raise ModelFileError(
                f"{self.folder}: this checkpoint has no {', no '.join(missing)}\n"
                f"  It holds {self._present()}. Choose a complete text-to-image checkpoint."
            )
        model, clip, vae = self.model(), self.clip(), self.vae()
        _check_fit(self.folder, model, clip, vae)
        if model.latent_rgb is None:
            model = replace(model, latent_rgb=fit_latent_rgb(vae))
        return model, clip, vae

    def model(self) -> Model:
        """Open only the denoiser.

        Without a vae beside it, a ``UNet2DModel`` is taken to work on pixels, any other on latents of factor 8.
        """
        config = self._config(self.denoiser)
        kind = config.get("_class_name")
        if not isinstance(kind, str) or kind not in NETWORKS:
            raise _unknown(self.folder / self.denoiser / "config.json", "denoiser", kind, NETWORKS)
        scheduler = read_json(self.folder / "scheduler" / "scheduler_config.json")
        prediction = _prediction(self.folder, scheduler)
        takes, gives = (_size(config.get(name)) or 4 for name in ("in_channels", "out_channels"))
        family = self._family()
        return Model(
            network=self._network(NETWORKS[kind], self.denoiser),
            prediction=prediction,
            scheduler_config=scheduler,
            latent_channels=min(takes, gives),
            latent_factor=self._latent_factor(kind),
            source=self.folder.name,
            latent_rgb=layout_of(family).latent_rgb if family in ("sd1", "sd2", "sdxl", "sdxl_refiner") else None,
            family=family,
            extra_channels=max(0, takes - gives),
        )

    def clip(self) -> Clip:
        """Open only the text encoders."""
        parts = self._text_parts()
        if not parts:
            self._config("text_encoder")  # says what is missing
        reads_pooled = len(parts) > 1 or parts == ["text_encoder_2"]
        return Clip(
            encoders=tuple(self._text_encoder(part, reads_pooled=reads_pooled) for part in parts),
            source=self.folder.name,
            family=self._family(),
        )

    def vae(self) -> Vae:
        """Open only the autoencoder."""
        kind = self._config("vae").get("_class_name")
        if not isinstance(kind, str) or kind not in AUTOENCODERS:
            raise _unknown(self.folder / "vae" / "config.json", "autoencoder", kind, AUTOENCODERS)
        return Vae(self._network(AUTOENCODERS[kind], "vae"), source=self.folder.name)

    def _text_parts(self) -> list[str]:
        return [part for part in _TEXT_PARTS if (self.folder / part).is_dir()]

    def _family(self) -> Family | None:
        try:
            config = read_json(self.folder / self.denoiser / "config.json")
        except ModelFileError:  # a folder of other parts
            return None
        return family_of_folder(config)

    def _text_encoder(self, part: str, *, reads_pooled: bool) -> TextEncoder:
        config = self._config(part)
        if config.get("model_type") not in _KINDS:
            raise _unknown(self.folder / part / "config.json", "text encoder", config.get("model_type"), _KINDS)
        kind = "CLIPTextModelWithProjection" if _projects(config) else "CLIPTextModel"
        if config["model_type"] == "t5":
            kind = "T5EncoderModel"
        network = self._text_network(TEXT_ENCODERS[kind], part)
        tokenizer = load_tokenizer(self.folder / _tokenizer_of(part), kind)
        if kind == "T5EncoderModel":
            return TextEncoder(network, tokenizer, pooled=None)
        if not reads_pooled:
            return TextEncoder(network, tokenizer)
        pooled: Any = "projected" if kind == "CLIPTextModelWithProjection" else None  # Any: a Literal's value
        return TextEncoder(network, tokenizer, hidden_layer=-2, final_norm=False, pooled=pooled)

    def _config(self, part: str) -> dict[str, Any]:  # Any: a JSON object's values
        if not (self.folder / part).is_dir():
            raise ModelFileError(f"{self.folder}: this checkpoint has no {part}\n  It holds {self._present()}.")
        return read_json(self.folder / part / "config.json")

    def _present(self) -> str:
        return " and ".join(part for part in PARTS if (self.folder / part).is_dir()) or "none of its parts"

    def _latent_factor(self, network: str) -> int:
        if not (self.folder / "vae").is_dir():
            return 1 if network == "UNet2DModel" else 8
        blocks = self._config("vae").get("block_out_channels")
        if not isinstance(blocks, list) or not blocks:
            place = self.folder / "vae" / "config.json"
            raise ModelFileError(f"{place}: 'block_out_channels' is missing\n  Copy the file again.")
        return int(2 ** (len(blocks) - 1))

    def _network(self, kind: Any, part: str) -> nn.Module:  # Any: a diffusers class, untyped
        return self._opener.diffusers(kind, self.folder / part, self._family(), is_vae=part == "vae")

    def _text_network(self, kind: Any, part: str) -> nn.Module:  # Any: a transformers class, untyped
        return self._opener.transformers(kind, self.folder / part, self._family())


class PartFolder:
    """A folder that holds one network with its configuration, as diffusers' ``save_pretrained`` writes it.

    Args: as for ``DiffusersFolder``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        precision: Precision = "auto",
        device: torch.device | str = "cpu",
        share: Share = unshared,
    ) -> None:
        self.folder = folder
        self._config = read_json(folder / "config.json")
        self._opener = Opener(precision, device, share)

    def denoiser(self) -> Model:
        """Open a denoiser of a known family, whose noise levels are known.

        Raises:
            ModelFileError: if it is none.
        """
        family, kind = family_of_folder(self._config), self._config.get("_class_name")
        if kind not in ("UNet2DConditionModel", "SD3Transformer2DModel") or family is None:
            raise ModelFileError(
                f"{self.folder}: a {kind!r} whose noise levels aren't known\n"
                "  Choose the complete folder, with model_index.json, unet and scheduler in it."
            )
        layout = layout_of(family)
        takes, gives = _size(self._config.get("in_channels")) or 4, _size(self._config.get("out_channels")) or 4
        return Model(
            network=self._opener.diffusers(NETWORKS[kind], self.folder, family),
            prediction=_prediction(self.folder, layout.scheduler),
            scheduler_config=layout.scheduler,
            latent_channels=min(takes, gives),
            source=self.folder.name,
            latent_rgb=layout.latent_rgb,
            family=family,
            extra_channels=max(0, takes - gives),
        )

    def vae(self) -> Vae:
        """Open an autoencoder.

        Raises:
            ModelFileError: if it is none.
        """
        kind = self._config.get("_class_name")
        if not isinstance(kind, str) or kind not in AUTOENCODERS:
            raise _unknown(self.folder / "config.json", "autoencoder", kind, AUTOENCODERS)
        family: Family | None = "sdxl" if self._config.get("force_upcast") else None
        return Vae(self._opener.diffusers(AUTOENCODERS[kind], self.folder, family, is_vae=True), self.folder.name)


def _projects(config: Mapping[str, object]) -> bool:
    return config.get("architectures") == ["CLIPTextModelWithProjection"]


def _tokenizer_of(text_part: str) -> str:
    return text_part.replace("text_encoder", "tokenizer")


def _unknown(path: Path, role: str, kind: object, known: Any) -> ModelFileError:  # Any: any iterable of names
    return ModelFileError(
        f"{path}: a {role} of the kind {kind!r} can't be used\n  Known kinds: {', '.join(sorted(known))}."
    )


def _prediction(folder: Path, scheduler: Mapping[str, object]) -> Prediction:
    if str(scheduler.get("_class_name")).startswith("FlowMatch"):
        return "flow"
    kind = scheduler.get("prediction_type", "epsilon")
    for known in get_args(Prediction):
        if kind == known:
            prediction: Prediction = known
            return prediction
    raise _unknown(folder / "scheduler" / "scheduler_config.json", "prediction", kind, get_args(Prediction))


def _size(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None


def _check_fit(folder: Path, model: Model, clip: Clip, vae: Vae) -> None:
    network: Any = model.network.config  # Any: diffusers' and transformers' configurations are untyped
    texts: list[Any] = [encoder.network.config for encoder in clip.encoders]
    autoencoder: Any = vae.autoencoder.config
    given = texts[-1].d_model if texts[-1].model_type == "t5" else sum(text.hidden_size for text in texts)
    if network.get("joint_attention_dim") and texts[-1].model_type != "t5":
        given = network.joint_attention_dim  # narrower states are filled up to the width of T5's
    width = network.get("joint_attention_dim") or network.get("cross_attention_dim")
    widths = set(width) if isinstance(width, (list, tuple)) else {width}
    if widths != {given} and network.get("encoder_hid_dim") != given:
        raise ModelFileError(
            f"{folder}: the text encoder is {given} wide, the unet reads {sorted(map(str, widths))}\n"
            "  These parts come from different checkpoints; use those that were trained together."
        )
    if model.latent_channels != autoencoder.latent_channels:
        raise ModelFileError(
            f"{folder}: the vae has {autoencoder.latent_channels} latent channels,"
            f" the unet makes {model.latent_channels}\n"
            "  These parts come from different checkpoints; use those that were trained together."
        )
