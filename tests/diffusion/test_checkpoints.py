from __future__ import annotations

import json
import resource
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from graphengine.diffusion import checkpoints, conditioning
from graphengine.diffusion.checkpoint_writing import WEIGHTS_STEM
from graphengine.errors import ModelFileError
from graphengine.types import Family, Model
from tests.diffusion.bad_files import refused
from tests.diffusion.original_layouts import Parts, random_parts
from tests.diffusion.tiny_checkpoint import tiny_clip, tiny_model, tiny_vae


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    checkpoints.save(folder, model=tiny_model(prediction="v_prediction"), clip=tiny_clip(), vae=tiny_vae())
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "tiny")


def pixel_model() -> Model:
    torch.manual_seed(0)
    network = UNet2DModel(
        sample_size=8, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    return Model(network.eval(), "epsilon", dict(DDPMScheduler().config), latent_channels=3, latent_factor=1)


def test_saved_checkpoint_loads_with_the_same_weights_and_facts(original: Path) -> None:
    model, clip, vae = checkpoints.load(original)

    assert (model.prediction, model.latent_channels, model.latent_factor) == ("v_prediction", 4, 2)
    assert (model.source, clip.source, vae.source) == ("tiny", "tiny", "tiny")
    for loaded, saved in (
        (model.network, tiny_model().network),
        (clip.encoders[0].network, tiny_clip().encoders[0].network),
        (vae.autoencoder, tiny_vae().autoencoder),
    ):
        weights, expected = loaded.state_dict(), saved.state_dict()
        assert weights.keys() == expected.keys()
        assert all(torch.equal(weights[name], expected[name]) for name in expected)
        assert not loaded.training
        assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert clip.encoders[0].tokenizer("red a").input_ids == tiny_clip().encoders[0].tokenizer("red a").input_ids


def test_half_precision_files_load_as_float32(tmp_path: Path) -> None:
    checkpoints.save(tmp_path / "half", model=tiny_model(), clip=tiny_clip(), vae=tiny_vae(), dtype=torch.float16)
    with safe_open(tmp_path / "half" / "unet" / f"{WEIGHTS_STEM}.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118 - no mapping

    model, clip, vae = checkpoints.load(tmp_path / "half")
    for module in (model.network, clip.encoders[0].network, vae.autoencoder):
        assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}


def test_files_of_the_fp16_variant_are_found(folder: Path) -> None:
    stems = {"unet": WEIGHTS_STEM, "vae": WEIGHTS_STEM, "text_encoder": "model"}
    for part, stem in stems.items():
        (folder / part / f"{stem}.safetensors").rename(folder / part / f"{stem}.fp16.safetensors")

    model, _clip, _vae = checkpoints.load(folder)

    name = "conv_in.weight"
    assert torch.equal(model.network.state_dict()[name], tiny_model().network.state_dict()[name])


def test_the_diffusers_pipeline_opens_what_we_save(original: Path) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(original, local_files_only=True, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)

    picture = pipeline("red", num_inference_steps=1, height=8, width=8, output_type="np").images

    assert picture.shape == (1, 8, 8, 3)
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    mine = conditioning.encode(tiny_clip(), "red").parts[0].embedding
    theirs, _negative = pipeline.encode_prompt("red", "cpu", 1, False)
    assert torch.equal(mine, theirs)


def test_text_encoder_is_written_as_older_programs_read_it(original: Path) -> None:
    names = load_file(original / "text_encoder" / "model.safetensors").keys()
    assert all(name.startswith("text_model.") for name in names)
    assert {"vocab.json", "merges.txt"} <= {path.name for path in (original / "tokenizer").iterdir()}


def with_few_words(parts: Parts) -> Parts:
    """Give the text encoders a small vocabulary: the libraries take a second to write and read all of CLIP's."""
    model, clip, vae = parts
    tokenizer = tiny_clip().encoders[0].tokenizer
    return model, replace(clip, encoders=tuple(replace(each, tokenizer=tokenizer) for each in clip.encoders)), vae


@pytest.mark.parametrize("family", ["sdxl", "sdxl_refiner"])
def test_models_with_size_conditioning_are_folders_of_their_pipeline(tmp_path: Path, family: Family) -> None:
    model, clip, vae = with_few_words(random_parts(family))
    checkpoints.save(tmp_path / "xl", model=model, clip=clip, vae=vae)

    loaded = checkpoints.load(tmp_path / "xl")

    how = [(each.hidden_layer, each.final_norm, each.pooled) for each in loaded[1].encoders]
    assert how == [(each.hidden_layer, each.final_norm, each.pooled) for each in clip.encoders]
    pipeline = StableDiffusionXLPipeline.from_pretrained(tmp_path / "xl", local_files_only=True)
    texts = [each for each in (pipeline.text_encoder, pipeline.text_encoder_2) if each is not None]
    pairs = [(loaded[0].network, pipeline.unet), (loaded[2].autoencoder, pipeline.vae)]
    for ours, theirs in [*pairs, *zip([each.network for each in loaded[1].encoders], texts, strict=True)]:
        expected = theirs.state_dict()
        weights = ours.state_dict()
        assert weights.keys() == expected.keys()
        assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_unconditional_model_is_a_ddpm_pipeline(tmp_path: Path) -> None:
    model = pixel_model()
    checkpoints.save(tmp_path / "ddpm", model=model)

    loaded = checkpoints.load_model(tmp_path / "ddpm")

    assert (loaded.latent_channels, loaded.latent_factor, loaded.prediction) == (3, 1, "epsilon")
    pipeline = DDPMPipeline.from_pretrained(tmp_path / "ddpm", local_files_only=True)
    expected = model.network.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in pipeline.unet.state_dict().items())
    with pytest.raises(ModelFileError, match="no vae, no text_encoder, no tokenizer"):
        checkpoints.load(tmp_path / "ddpm")


def test_parts_can_be_saved_and_loaded_alone(tmp_path: Path) -> None:
    checkpoints.save(tmp_path / "vae", vae=tiny_vae(shift=0.25))
    autoencoder: Any = checkpoints.load_vae(tmp_path / "vae").autoencoder  # Any: its config is untyped
    assert autoencoder.config.shift_factor == 0.25
    with pytest.raises(ModelFileError, match="has no unet"):
        checkpoints.load_model(tmp_path / "vae")


def test_other_networks_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="a Linear can't be saved"):
        checkpoints.save(tmp_path / "linear", model=replace(tiny_model(), network=torch.nn.Linear(2, 2)))
    assert list(tmp_path.iterdir()) == []


def test_saving_replaces_a_checkpoint_but_nothing_else(folder: Path, tmp_path: Path) -> None:
    checkpoints.save(folder, vae=tiny_vae())
    assert not (folder / "unet").exists()
    holiday = tmp_path / "holiday"
    holiday.mkdir()
    (holiday / "beach.txt").write_text("sand")
    with pytest.raises(ModelFileError, match="something else than a checkpoint"):
        checkpoints.save(holiday, vae=tiny_vae())
    assert (holiday / "beach.txt").read_text() == "sand"


def test_a_full_disk_leaves_the_earlier_checkpoint_and_no_remains(folder: Path, tmp_path: Path) -> None:
    """A limit on file sizes stands in for the full disk: writing fails half-way in the same manner."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(ModelFileError, match="couldn't be written"):
            checkpoints.save(folder, model=tiny_model(), clip=tiny_clip(), vae=tiny_vae())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
    checkpoints.load(folder)


def unet_weights(folder: Path) -> Path:
    return folder / "unet" / f"{WEIGHTS_STEM}.safetensors"


def with_header(header: object, tail: bytes = b"") -> Callable[[Path], None]:
    content = json.dumps(header).encode()
    return lambda folder: void(unet_weights(folder).write_bytes(struct.pack("<Q", len(content)) + content + tail))


def void(_result: object) -> None:
    """Forget what a write gives."""


def entry(begin: int, end: int, shape: list[int] | None = None, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": [2] if shape is None else shape, "data_offsets": [begin, end]}


def truncate(folder: Path) -> None:
    content = unet_weights(folder).read_bytes()
    unet_weights(folder).write_bytes(content[: len(content) // 2])


def append(folder: Path) -> None:
    with unet_weights(folder).open("ab") as file:
        file.write(b"more")


def only_pickle(folder: Path) -> None:
    torch.save({"x": torch.zeros(1)}, folder / "unet" / f"{WEIGHTS_STEM}.bin")
    unet_weights(folder).unlink()


def renamed_pickle(folder: Path) -> None:
    torch.save({"x": torch.zeros(1)}, unet_weights(folder))


def legacy_pickle(folder: Path) -> None:
    torch.save({"x": torch.zeros(1)}, unet_weights(folder), _use_new_zipfile_serialization=False)


def lfs_pointer(folder: Path) -> None:
    unet_weights(folder).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1234\n")


def edit_config(part: str, **values: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / part
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return edit


def rename_a_tensor(folder: Path) -> None:
    weights = load_file(unet_weights(folder))
    weights["other.weight"] = weights.pop("conv_in.weight").clone()
    save_file(weights, unet_weights(folder))


DAMAGES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "truncated": (truncate, "unet", "cut off"),
    "empty": (lambda folder: unet_weights(folder).write_bytes(b""), "unet", "cut off"),
    "longer than it says": (append, "unet", "4 bytes follow"),
    "header longer than the file": (
        lambda folder: unet_weights(folder).write_bytes(struct.pack("<Q", 5000) + b"{}"), "unet", "cut off"),
    "header of exabytes": (
        lambda folder: unet_weights(folder).write_bytes(struct.pack("<Q", 2**62) + b"{}"), "unet", "are allowed"),
    "header of very many tensors": (with_header({f"{number}": 3 for number in range(20_002)}), "unet", "are allowed"),
    "header not JSON": (
        lambda folder: unet_weights(folder).write_bytes(struct.pack("<Q", 4) + b"{{{{"), "unet", "isn't JSON"),
    "header a list": (with_header([]), "unet", "isn't an object"),
    "header nested 100,000 deep": (
        lambda folder: unet_weights(folder).write_bytes(struct.pack("<Q", 100_000) + b"[" * 100_000), "unet", "JSON"),
    "tensors beyond the file": (with_header({"a": entry(0, 8)}, b"1234"), "unet", "cut off"),
    "tensors overlap": (with_header({"a": entry(0, 8), "b": entry(4, 12)}, bytes(12)), "unet", "overlaps"),
    "gap between tensors": (with_header({"a": entry(0, 8), "b": entry(12, 20)}, bytes(20)), "unet", "leaves a gap"),
    "offsets reversed": (with_header({"a": entry(8, 0)}, bytes(8)), "unet", "can't lie at"),
    "offsets negative": (with_header({"a": entry(-8, 0)}, bytes(8)), "unet", "odd shape or place"),
    "offsets one number": (with_header({"a": entry(0, 4) | {"data_offsets": [4]}}), "unet", "odd shape"),
    "shape with truth values": (with_header({"a": entry(0, 4, [True])}, bytes(4)), "unet", "odd shape"),
    "shape larger than its bytes": (with_header({"a": entry(0, 8, [999])}, bytes(8)), "unet", "can't lie at"),
    "unknown tensor type": (with_header({"a": entry(0, 8, dtype="Q7")}, bytes(8)), "unet", "unknown type 'Q7'"),
    "tensor not an object": (with_header({"a": 3}), "unet", "unknown type None"),
    "only a pickle": (only_pickle, "unet", "is a pickle"),
    "pickle renamed": (renamed_pickle, "unet", "is a pickle"),
    "legacy pickle renamed": (legacy_pickle, "unet", "is a pickle"),
    "git-lfs pointer": (lfs_pointer, "unet", "git lfs pull"),
    "weights missing": (lambda folder: unet_weights(folder).unlink(), "unet", "no weights here"),
    "tensor renamed": (rename_a_tensor, "unet", "wrong architecture: the weights lack 'conv_in.weight'"),
    "weights of another size": (
        edit_config("unet/config.json", block_out_channels=[8, 32]), "unet", "wrong architecture: .*in other sizes"),
    "unknown network": (
        edit_config("unet/config.json", _class_name="Sana"), "unet", "denoiser of the kind 'Sana'"),
    "impossible configuration": (edit_config("unet/config.json", norm_num_groups=7), "unet", "can't be opened"),
    "unknown autoencoder": (edit_config("vae/config.json", _class_name="VQ"), "vae", "autoencoder of the kind 'VQ'"),
    "unknown text encoder": (edit_config("text_encoder/config.json", model_type="bert"), "text_encoder", "'bert'"),
    "unknown prediction": (
        edit_config("scheduler/scheduler_config.json", prediction_type="warp"), "scheduler", "the kind 'warp'"),
    "config missing": (lambda folder: (folder / "vae" / "config.json").unlink(), "vae", "no such file"),
    "config not JSON": (lambda folder: (folder / "vae" / "config.json").write_text("{"), "vae", "isn't JSON"),
    "config a number": (lambda folder: (folder / "vae" / "config.json").write_text("3"), "vae", "holds no JSON object"),
    "tokenizer damaged": (
        lambda folder: (folder / "tokenizer" / "tokenizer.json").write_text("{"), "tokenizer", "can't be opened"),
    "part missing": (lambda folder: shutil.rmtree(folder / "tokenizer"), "", "no tokenizer"),
    "not a checkpoint": (lambda folder: (folder / "model_index.json").unlink(), "", "no model_index.json"),
    "one tokenizer of two": (lambda folder: (folder / "text_encoder_2").mkdir(), "", "no tokenizer_2"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_checkpoint_is_refused_by_name_with_a_remedy(folder: Path, damage: str) -> None:
    spoil, part, message = DAMAGES[damage]
    spoil(folder)
    refused(checkpoints.load, folder, message, place=folder / part)


def test_parts_of_different_checkpoints_are_refused(tmp_path: Path) -> None:
    checkpoints.save(tmp_path / "wide", model=tiny_model(width=32), clip=tiny_clip(), vae=tiny_vae())
    with pytest.raises(ModelFileError, match=r"text encoder is 16 wide, the unet reads \['32'\]"):
        checkpoints.load(tmp_path / "wide")
    checkpoints.save(tmp_path / "nine", model=tiny_model(channels=9), clip=tiny_clip(), vae=tiny_vae())
    with pytest.raises(ModelFileError, match="4 latent channels, the unet makes 9"):
        checkpoints.load(tmp_path / "nine")


def test_sharded_weights_load_and_a_lost_shard_is_named(folder: Path) -> None:
    weights = load_file(unet_weights(folder))
    unet_weights(folder).unlink()
    names = sorted(weights)
    files = {name: f"part-{index % 2}.safetensors" for index, name in enumerate(names)}
    for file in sorted(set(files.values())):
        save_file({name: weights[name] for name in names if files[name] == file}, folder / "unet" / file)
    index = folder / "unet" / f"{WEIGHTS_STEM}.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": files}))

    loaded = checkpoints.load_model(folder).network.state_dict()

    assert all(torch.equal(loaded[name], weights[name]) for name in names)
    (folder / "unet" / "part-1.safetensors").unlink()
    with pytest.raises(ModelFileError, match=r"part-1\.safetensors: no such file"):
        checkpoints.load_model(folder)
    index.write_text(json.dumps({"weight_map": {"a": "../../vae/diffusion_pytorch_model.safetensors"}}))
    with pytest.raises(ModelFileError, match="outside its folder"):
        checkpoints.load_model(folder)


def test_single_file_and_missing_checkpoints_say_what_to_do(folder: Path, tmp_path: Path) -> None:
    single = tmp_path / "sd15.safetensors"
    shutil.copy(unet_weights(folder), single)
    with pytest.raises(ModelFileError, match=r"a denoiser alone, in diffusers' names\n  Load it with LoadUNet"):
        checkpoints.load(single)
    single.write_bytes(single.read_bytes()[:100])
    with pytest.raises(ModelFileError, match="cut off"):
        checkpoints.load(single)
    pickle = tmp_path / "old.ckpt"
    torch.save({}, pickle)
    with pytest.raises(ModelFileError, match="is a pickle"):
        checkpoints.load(pickle)
    with pytest.raises(ModelFileError, match="no such checkpoint"):
        checkpoints.load(tmp_path / "nowhere")


def test_loading_prints_nothing(original: Path, capfd: pytest.CaptureFixture[str]) -> None:
    checkpoints.load(original)
    assert capfd.readouterr() == ("", "")


def test_others_may_read_what_was_saved(tmp_path: Path) -> None:
    """Weights have the rights of any new file, as the configurations beside them."""
    checkpoints.save(tmp_path / "saved", model=tiny_model())
    weights, config = (
        tmp_path / "saved" / "unet" / name for name in ("diffusion_pytorch_model.safetensors", "config.json")
    )
    assert weights.stat().st_mode == config.stat().st_mode


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_folders_in_shards_and_variants_as_the_libraries_write_them_open(tmp_path: Path, variant: str | None) -> None:
    """As large fine-tunes come: denoiser and text encoders in several files each."""
    model, clip, vae = with_few_words(random_parts("sdxl"))
    folder = tmp_path / "xl"
    checkpoints.save(folder, model=model, clip=clip, vae=vae)
    first, second = (encoder.network for encoder in clip.encoders)
    networks: dict[str, Any] = {  # Any: two libraries' networks, with functions of the same name
        "unet": model.network, "vae": vae.autoencoder, "text_encoder": first, "text_encoder_2": second,
    }  # fmt: skip
    for part, network in networks.items():
        for file in (folder / part).glob("*.safetensors"):
            file.unlink()
        network.save_pretrained(folder / part, max_shard_size="40KB", variant=variant)
    assert len(list((folder / "unet").glob("*.safetensors"))) > 2

    loaded = checkpoints.load(folder)

    read = [loaded[0].network, loaded[2].autoencoder, *(encoder.network for encoder in loaded[1].encoders)]
    for ours, theirs in zip(read, networks.values(), strict=True):
        weights, expected = ours.state_dict(), theirs.state_dict()
        assert weights.keys() == expected.keys()
        assert all(torch.equal(weights[name], expected[name]) for name in expected)
