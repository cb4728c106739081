"""Open checkpoints: from a diffusers folder to Model, Clip and Vae; ``save`` is the way back.

    model_index.json   which classes the parts have
    unet/ vae/ text_encoder/      config.json and safetensors weights
    tokenizer/  scheduler/

Everything is read offline, from safetensors only, and never runs code that came with the files. Headers are checked
before weights are opened (``model_files``), so a damaged file is refused in milliseconds, whatever its size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL
from safetensors import SafetensorError
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from graphengine.diffusion.checkpoint_writing import NETWORKS, WEIGHTS_STEM, save
from graphengine.diffusion.latent_preview import fit_latent_rgb
from graphengine.diffusion.model_files import PICKLE_SUFFIXES, find_weights, pickle_error, read_header, read_json
from graphengine.errors import ModelFileError
from graphengine.types import Clip, Model, Prediction, TextEncoder, Vae

__all__ = ["load", "load_clip", "load_model", "load_vae", "save"]

TEXT_ENCODERS = ("clip_text_model", "clip")  # transformers' model_type; some old folders say the second
PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")


def load(folder: Path, *, dtype: torch.dtype = torch.float32) -> tuple[Model, Clip, Vae]:
    """Open a complete checkpoint: denoiser, text encoder and autoencoder, frozen and in eval mode, on the CPU.

    Args:
        folder: A diffusers folder, as ``StableDiffusionPipeline.save_pretrained`` writes it.
        dtype: What the weights become, whatever the file holds.

    Raises:
        ModelFileError: if a part is missing, damaged, of an unknown kind, or doesn't fit the others.
    """
    _check_folder(folder)
    missing = [part for part in PARTS if not (folder / part).is_dir()]
    if missing:
        raise ModelFileError(
            f"{folder}: this checkpoint has no {', no '.join(missing)}\n"
            f"  It holds {_present(folder)}. Choose a complete text-to-image checkpoint."
        )
    model, clip, vae = load_model(folder, dtype=dtype), load_clip(folder, dtype=dtype), load_vae(folder, dtype=dtype)
    _check_fit(folder, model, clip, vae)
    return replace(model, latent_rgb=fit_latent_rgb(vae)), clip, vae


def load_model(folder: Path, *, dtype: torch.dtype = torch.float32) -> Model:
    """Open only the denoiser of a checkpoint, such as the folder of an unconditional DDPM.

    Without a vae beside it, a ``UNet2DModel`` is taken to work on pixels, any other on latents of factor 8.

    Raises:
        ModelFileError: if it is missing, damaged or of an unknown kind.
    """
    _check_folder(folder)
    config = _read_config(folder, "unet")
    kind = config.get("_class_name")
    if not isinstance(kind, str) or kind not in NETWORKS:
        raise _unknown(folder / "unet" / "config.json", "denoiser", kind, NETWORKS)
    network = _load_diffusers(NETWORKS[kind], folder / "unet", dtype)
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
    return Model(
        network=network,
        prediction=_prediction(folder, scheduler),
        scheduler_config=scheduler,
        latent_channels=int(config.get("in_channels", 4)),
        latent_factor=_latent_factor(folder, kind),
        source=folder.name,
    )


def load_clip(folder: Path, *, dtype: torch.dtype = torch.float32) -> Clip:
    """Open only the text encoder and tokenizer of a checkpoint.

    Raises:
        ModelFileError: if they are missing, damaged or of an unknown kind.
    """
    _check_folder(folder)
    part = folder / "text_encoder"
    kind = _read_config(folder, "text_encoder").get("model_type")
    if kind not in TEXT_ENCODERS:
        raise _unknown(part / "config.json", "text encoder", kind, TEXT_ENCODERS)
    _files, variant = _checked_weights(part, "model")

    def opened() -> tuple[nn.Module, Mapping[str, Any]]:  # Any: transformers' loading report
        loaded: Any = CLIPTextModel.from_pretrained(  # Any: with output_loading_info it is a pair, which isn't declared
            part, variant=variant, dtype=dtype, ignore_mismatched_sizes=True, output_loading_info=True,
            local_files_only=True, use_safetensors=True,
        )  # fmt: skip
        text_encoder, report = loaded
        return text_encoder, report

    encoder = TextEncoder(_open(part, opened), _load_tokenizer(folder / "tokenizer"))
    return Clip((encoder,), source=folder.name)


def load_vae(folder: Path, *, dtype: torch.dtype = torch.float32) -> Vae:
    """Open only the autoencoder of a checkpoint.

    Raises:
        ModelFileError: if it is missing, damaged or of an unknown kind.
    """
    _check_folder(folder)
    kind = _read_config(folder, "vae").get("_class_name")
    if kind != "AutoencoderKL":
        raise _unknown(folder / "vae" / "config.json", "autoencoder", kind, ["AutoencoderKL"])
    return Vae(autoencoder=_load_diffusers(AutoencoderKL, folder / "vae", dtype), source=folder.name)


def _check_folder(folder: Path) -> None:
    """Refuse what isn't a diffusers folder, by what it is instead."""
    if not folder.exists():
        raise ModelFileError(f"{folder}: no such checkpoint\n  Check the name, or put the checkpoint's folder there.")
    if folder.is_file():
        raise _single_file(folder)
    if not (folder / "model_index.json").exists():
        raise ModelFileError(
            f"{folder}: not a checkpoint: it has no model_index.json\n"
            "  Choose the folder that holds model_index.json, with unet, vae and text_encoder beside it."
        )
    index = read_json(folder / "model_index.json")
    if (folder / "transformer").is_dir() or (folder / "text_encoder_2").is_dir():
        raise ModelFileError(
            f"{folder}: checkpoints of the kind {index.get('_class_name')!r} are not read yet\n"
            "  Choose one of the Stable Diffusion 1 or 2 family."
        )


def _single_file(path: Path) -> ModelFileError:
    if path.suffix in PICKLE_SUFFIXES:
        return pickle_error(path)
    try:
        read_header(path)
    except ModelFileError as error:
        return error
    return ModelFileError(
        f"{path}: single-file checkpoints are not read yet\n"
        f"  Convert it to a diffusers folder: StableDiffusionPipeline.from_single_file({path.name!r})"
        f".save_pretrained({path.stem!r})"
    )


def _present(folder: Path) -> str:
    return " and ".join(part for part in PARTS if (folder / part).is_dir()) or "none of its parts"


def _read_config(folder: Path, part: str) -> dict[str, Any]:  # Any: a JSON object's values
    if not (folder / part).is_dir():
        raise ModelFileError(f"{folder}: this checkpoint has no {part}\n  It holds {_present(folder)}.")
    return read_json(folder / part / "config.json")


def _unknown(path: Path, role: str, kind: object, known: Any) -> ModelFileError:  # Any: any iterable of names
    return ModelFileError(
        f"{path}: a {role} of the kind {kind!r} can't be used\n  Known kinds: {', '.join(sorted(known))}."
    )


def _prediction(folder: Path, scheduler: Mapping[str, object]) -> Prediction:
    kind = scheduler.get("prediction_type", "epsilon")
    for known in get_args(Prediction):
        if kind == known:
            prediction: Prediction = known
            return prediction
    raise _unknown(folder / "scheduler" / "scheduler_config.json", "prediction", kind, get_args(Prediction))


def _latent_factor(folder: Path, network: str) -> int:
    if not (folder / "vae").is_dir():
        return 1 if network == "UNet2DModel" else 8
    blocks = _read_config(folder, "vae").get("block_out_channels")
    if not isinstance(blocks, list) or not blocks:
        place = folder / "vae" / "config.json"
        raise ModelFileError(f"{place}: 'block_out_channels' is missing\n  Copy the file again.")
    return int(2 ** (len(blocks) - 1))


def _check_fit(folder: Path, model: Model, clip: Clip, vae: Vae) -> None:
    network: Any = model.network.config  # Any: diffusers' and transformers' configurations are untyped
    text: Any = clip.encoders[0].network.config
    autoencoder: Any = vae.autoencoder.config
    width = network.get("cross_attention_dim")
    widths = set(width) if isinstance(width, (list, tuple)) else {width}
    if widths != {text.hidden_size} and network.get("encoder_hid_dim") != text.hidden_size:
        raise ModelFileError(
            f"{folder}: the text encoder is {text.hidden_size} wide, the unet reads {sorted(map(str, widths))}\n"
            "  These parts come from different checkpoints; use those that were trained together."
        )
    if model.latent_channels != autoencoder.latent_channels:
        raise ModelFileError(
            f"{folder}: the vae has {autoencoder.latent_channels} latent channels,"
            f" the unet takes {model.latent_channels}\n"
            "  Inpainting and depth checkpoints, whose unet takes more, are not read yet."
        )


def _checked_weights(part: Path, stem: str) -> tuple[list[Path], str | None]:
    files, variant = find_weights(part, stem)
    for file in files:
        read_header(file)
    return files, variant


def _load_diffusers(kind: Any, part: Path, dtype: torch.dtype) -> nn.Module:  # Any: a diffusers class, untyped
    _files, variant = _checked_weights(part, WEIGHTS_STEM)

    def opened() -> tuple[nn.Module, Mapping[str, Any]]:  # Any: diffusers' loading report
        network, report = kind.from_pretrained(
            part, variant=variant, torch_dtype=dtype, ignore_mismatched_sizes=True, output_loading_info=True,
            local_files_only=True, use_safetensors=True,
        )  # fmt: skip
        return network, report

    return _open(part, opened)


def _open(part: Path, opened: Callable[[], tuple[nn.Module, Mapping[str, Any]]]) -> nn.Module:  # Any: a loading report
    """Load a part, insist that every weight fitted, and freeze it."""
    try:
        with _quiet_libraries():
            network, report = opened()
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, SafetensorError) as error:
        # Both libraries raise any of these when a configuration contradicts itself.
        raise ModelFileError(f"{part}: can't be opened: {error}\n  Copy the checkpoint again.") from error
    problems = {"missing_keys": "lack", "unexpected_keys": "have", "mismatched_keys": "have in other sizes"}
    for problem, what in problems.items():
        names = sorted(str(key[0] if isinstance(key, tuple) else key) for key in report.get(problem) or ())
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ModelFileError(
                f"{part}: wrong architecture: the weights {what} {names[0]!r}{more}, compared with config.json\n"
                "  Weights and configuration come from different models; copy the checkpoint again."
            )
    return network.eval().requires_grad_(False)


def _load_tokenizer(folder: Path) -> Any:  # Any: CLIPTokenizer's own methods are untyped
    if not folder.is_dir():
        raise ModelFileError(f"{folder}: no such folder\n  Copy the checkpoint again, completely.")
    if not (folder / "tokenizer.json").exists():
        for name in ("vocab.json", "merges.txt"):
            if not (folder / name).exists():
                raise ModelFileError(f"{folder / name}: no such file\n  Copy the checkpoint again, completely.")
    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # tokenizers, written in Rust, raises bare Exception for a damaged file
        raise ModelFileError(f"{folder}: can't be opened: {error}\n  Copy the checkpoint again.") from error


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Keep progress bars and reports of the libraries off the terminal: what matters is raised."""
    libraries: tuple[Any, Any] = (transformers.utils.logging, diffusers.utils.logging)  # Any: untyped functions
    before = [(library.get_verbosity(), library.is_progress_bar_enabled()) for library in libraries]
    for library in libraries:
        library.set_verbosity_error()
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library, (verbosity, bars) in zip(libraries, before, strict=True):
            library.set_verbosity(verbosity)
            if bars:
                library.enable_progress_bar()
