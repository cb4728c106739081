"""Open denoisers, text encoders and autoencoders that come in files or folders of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast, get_args

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import nn

from graphengine.config import Precision
from graphengine.diffusion.clip_vocabulary import clip_tokenizer
from graphengine.diffusion.diffusers_folders import DiffusersFolder, PartFolder
from graphengine.diffusion.families import CHECKPOINT_PREFIXES, Config
from graphengine.diffusion.model_files import damaged
from graphengine.diffusion.options import ClipKind, LatentKind
from graphengine.diffusion.original_names import Place, Places, TextForm, text_places, vae_places
from graphengine.diffusion.part_layouts import PartLayout, denoiser_layout, noted_part, text_layout, vae_layout
from graphengine.diffusion.sharing import Share, unshared
from graphengine.diffusion.single_files import SingleFile, noted_text_encoder, read_denoiser
from graphengine.diffusion.text_networks import TEXT_MODELS, read_t5, read_text_encoder, with_projection
from graphengine.diffusion.weights_files import WeightsFile
from graphengine.errors import InputError
from graphengine.types import Clip, Family, Model, TextEncoder, Vae

_COUNTS: dict[Family, tuple[int, ...]] = {"sd1": (1,), "sd2": (1,), "sdxl": (2,), "sdxl_refiner": (1,), "sd3": (2, 3)}
_KINDS_BY_WIDTHS: dict[tuple[int, ...], Family] = {
    (768,): "sd1",
    (1024,): "sd2",
    (768, 1280): "sdxl",
    (1280,): "sdxl_refiner",
}
_LAYERS_THAT_SD2_READS = 23


class PartFiles:
    """Opens parts of checkpoints.

    Args:
        precision: In which format weights are wanted.
        device: Where the networks will run, which ``auto`` goes by.
        share: Whether and how networks that are opened again are the same ones.
    """

    def __init__(
        self, *, precision: Precision = "auto", device: torch.device | str = "cpu", share: Share = unshared
    ) -> None:
        self._precision, self._device, self._share = precision, device, share

    def denoiser(self, path: Path) -> Model:
        """Open a denoiser: a file of its own or in a checkpoint, or a folder of either kind.

        Raises:
            ModelFileError: if there is none, or it is damaged or of an unknown kind.
        """
        if path.is_dir() and (path / "config.json").exists():
            return self._part_folder(path).denoiser()
        if not path.is_file():
            return self._folder(path).model()
        file = self._file(path)
        layout, naming, prefix = denoiser_layout(path, file.header, file.metadata)
        return read_denoiser(file, layout, prefix if naming == "original" else None)

    def vae(self, path: Path, latents: LatentKind = "auto") -> Vae:
        """Open an autoencoder, as above.

        Args:
            latents: Whose latents it makes; what a folder says of that holds.
        """
        if path.is_dir() and (path / "config.json").exists():
            return self._part_folder(path).vae()
        if not path.is_file():
            return self._folder(path).vae()
        file = self._file(path)
        layout = vae_layout(path, file.header, file.metadata, latents)
        kind: Any = AutoencoderTiny if layout.kind == "AutoencoderTiny" else AutoencoderKL  # Any: untyped
        config = {name: value for name, value in layout.config.items() if not name.startswith("_")}
        network = file.network(
            lambda: kind(**config),
            lambda names: _vae_places(names, layout, file),
            family="sdxl" if config.get("force_upcast") else None,
            is_vae=True,
        )
        return Vae(network, source=path.name)

    def clip(self, paths: Sequence[Path], kind: ClipKind = "auto") -> Clip:
        """Open the text encoders of a denoiser.

        Args:
            paths: A file for each, in any order; or one checkpoint that holds them.
            kind: Whose they are, which decides what is read of them. "auto" goes by their widths.

        Raises:
            ModelFileError: if one is damaged or of an unknown kind.
            InputError: if there are too few or too many for their kind.
        """
        if len(paths) == 1 and paths[0].is_dir():
            return self._folder(paths[0]).clip()
        files = [self._file(path) for path in paths]
        if len(files) == 1 and any(files[0].has(prefix) for prefix in CHECKPOINT_PREFIXES):
            return SingleFile(files[0]).clip()
        noted = [noted_part(file.path, file.metadata) for file in files]
        if all("text_encoder" in each for each in noted) and kind == "auto":
            return _noted_clip(files, noted)
        layouts = sorted(((text_layout(file.path, file.header), file) for file in files), key=_place_in_order)
        family = _clip_family([layout for layout, _file in layouts], kind)
        last = layouts[-1][1]
        encoders = tuple(_text_encoder(file, layout, family, is_last=file is last) for layout, file in layouts)
        return Clip(encoders, source=", ".join(path.name for path in paths), family=family)

    def _file(self, path: Path) -> WeightsFile:
        return WeightsFile(path, precision=self._precision, device=self._device, share=self._share)

    def _folder(self, path: Path) -> DiffusersFolder:
        return DiffusersFolder(path, precision=self._precision, device=self._device, share=self._share)

    def _part_folder(self, path: Path) -> PartFolder:
        return PartFolder(path, precision=self._precision, device=self._device, share=self._share)


def _vae_places(names: list[str], layout: PartLayout, file: WeightsFile) -> Places:
    if layout.naming == "original":
        return vae_places(names, layout.config, layout.prefix)
    older = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}  # diffusers before 0.17
    places = {name: Place(name) for name in names}
    if file.has("encoder.mid_block.attentions.0.query."):
        for name in names:
            for new, old in older.items():
                if f".attentions.0.{new}." in name:
                    places[name] = Place(name.replace(f".{new}.", f".{old}."))
    return places


def _noted_clip(files: Sequence[WeightsFile], noted: Sequence[Config]) -> Clip:
    """Read text encoders of files that say how they are built and read."""
    try:
        family = cast(Family, noted[0]["family"]) if noted[0]["family"] in get_args(Family) else None
        ordered = sorted(zip(noted, files, strict=True), key=lambda item: int(item[0]["number"]))
        encoders = tuple(noted_text_encoder(file, each["text_encoder"], family) for each, file in ordered)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(files[0].path, f"what it says of itself can't be read ({error!r})") from error
    return Clip(encoders, source=", ".join(file.path.name for file in files), family=family)


def _place_in_order(item: tuple[PartLayout, WeightsFile]) -> tuple[bool, int]:
    """Put T5 last, and CLIP's encoders by their width, as all families have them."""
    config = item[0].config
    return item[0].kind == "T5EncoderModel", config.get("hidden_size", 0)


def _clip_family(layouts: Sequence[PartLayout], kind: ClipKind) -> Family:
    widths = tuple(layout.config.get("hidden_size", 0) for layout in layouts)
    if kind == "auto":
        known = "sd3" if layouts[-1].kind == "T5EncoderModel" else _KINDS_BY_WIDTHS.get(widths)
        if known is None:
            said = " and ".join(f"{width} wide" for width in widths)
            raise InputError("type", f"whose text encoders are {said} isn't known.", "Choose the model's family.")
        kind = known
    if len(layouts) not in _COUNTS[kind]:
        wanted = " or ".join(str(count) for count in _COUNTS[kind])
        raise InputError(
            "clip_name2", f"{kind} has {wanted} text encoders, not {len(layouts)}.", "Choose as many files."
        )
    return kind


def _text_encoder(file: WeightsFile, layout: PartLayout, family: Family, *, is_last: bool) -> TextEncoder:
    if layout.kind == "T5EncoderModel":
        return read_t5(file, layout.config, "", family=family)
    projects = family in ("sdxl_refiner", "sd3") or (family == "sdxl" and is_last)
    network = _clip_network(file, layout, family, projects=projects)
    tokenizer = clip_tokenizer("<|endoftext|>" if layout.config["hidden_act"] == "quick_gelu" else "!")
    if family == "sd1":
        return TextEncoder(network, tokenizer)
    if family == "sd2":
        is_whole = layout.config["num_hidden_layers"] > _LAYERS_THAT_SD2_READS
        return TextEncoder(network, tokenizer, hidden_layer=-2 if is_whole else -1)
    return TextEncoder(network, tokenizer, hidden_layer=-2, final_norm=False, pooled="projected" if projects else None)


def _clip_network(file: WeightsFile, layout: PartLayout, family: Family, *, projects: bool) -> nn.Module:
    form: TextForm = "open_clip" if layout.naming == "original" else "clip"
    network = read_text_encoder(
        file,
        TEXT_MODELS[layout.kind if projects else "CLIPTextModel"],
        layout.config,
        lambda names: text_places(names, form, layout.prefix),
        family=family,
    )
    if layout.kind == "CLIPTextModelWithProjection" or not projects:
        return network
    return with_projection(network, layout.config)
