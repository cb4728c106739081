"""What the documents say is true: commands run, nodes are described, examples are listed."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest
from PIL import Image as Picture

from graphengine import Blocked, Engine
from graphengine.authoring.packs import folder_packs, installed_packs, load_packs
from graphengine.cli import main
from graphengine.config import Settings
from graphengine.core.events import AnyEvent
from graphengine.core.registry import Registry
from graphengine.library import default_engine
from graphengine_nodes import pack as built_in
from tests.drawn import drawn
from tests.known_definitions import share_definitions
from tests.server.running import running

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PACK_GUIDE = (ROOT / "nodes" / "README.md").read_text(encoding="utf-8")
TRAINING_GUIDE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def builtin() -> Registry:
    packs, failures = load_packs(source for source in installed_packs() if source.name == "graphengine")
    assert not failures
    return Registry(packs)


@pytest.fixture
def data(tmp_path: Path) -> str:
    return str(share_definitions(tmp_path / "data"))


def blocks(text: str, language: str = "") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def test_every_builtin_node_and_input_is_documented(builtin: Registry) -> None:
    for definition in builtin.definitions.by_id.values():
        assert definition.doc.split("\n")[0].endswith("."), definition.id
        undocumented = [each.name for each in definition.inputs if not each.doc]
        assert not undocumented, f"{definition.id}: {undocumented}"


def test_what_is_said_of_an_input_says_more_than_its_name(builtin: Registry) -> None:
    """Each text stands alone as a tooltip: a sentence of several words, none of which points to another input's."""
    thin = []
    for definition in builtin.definitions.by_id.values():
        for place in definition.inputs:
            words = set(re.findall(r"[a-z0-9]+", place.doc.lower()))
            new = words - set(re.findall(r"[a-z0-9]+", place.name)) - {"the", "a", "an", "of", "it", "its", "this"}
            if len(new) < 2 or not place.doc.endswith((".", ")")) or "as above" in place.doc.lower():
                thin.append(f"{definition.id}.{place.name}: {place.doc!r}")
    assert not thin, "\n".join(thin)


def test_outputs_that_are_told_apart_are_documented(builtin: Registry) -> None:
    for definition in builtin.definitions.by_id.values():
        if len(definition.outputs) > 1:
            assert not [each.name for each in definition.outputs if not each.doc], definition.id


def test_builtin_nodes_start_at_version_1_in_pascal_case(builtin: Registry) -> None:
    for definition in builtin.definitions.by_id.values():
        assert definition.version == 1
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]*", definition.id)


def test_readme_shows_the_two_commands_first() -> None:
    first = blocks(README)[0]
    assert "make demo" in first
    assert "make test" in first


@pytest.mark.slow
def test_readme_commands_run(tmp_path: Path, data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line of the README that calls graphengine is run, in its order, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    lines = [line for block in blocks(README) for line in block.splitlines() if line.startswith("graphengine ")]
    lines.append("graphengine run output/text_to_image_00001.png --no-cache")
    assert lines
    for line in lines:
        assert main([*shlex.split(line)[1:], "--data", data]) == 0, line
    assert len(list((tmp_path / "output").glob("*.png"))) == len(lines)


def test_readme_node_is_described_and_runs(tmp_path: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = (block for block in blocks(README, "python") if "@node(" in block)
    file = tmp_path / "my_nodes.py"
    file.write_text(code, encoding="utf-8")
    assert main(["nodes", "mine.Brighten", "--pack", str(file), "--data", data]) == 0
    assert "1 leaves it as it is." in capsys.readouterr().out


@pytest.mark.slow
def test_the_script_for_models_that_fit_on_no_gpu_trains(tmp_path: Path) -> None:
    """By one process on the CPU; what is written is a checkpoint with other weights."""
    (code,) = blocks((ROOT / "docs" / "several_gpus.md").read_text(encoding="utf-8"), "python")
    names: dict[str, Any] = {"__name__": "train_sharded"}  # Any: whatever the code defines
    exec(code, names)
    for number in range(2):
        Picture.new("RGB", (32, 32), (200, 80 * number, 0)).save(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.txt").write_text("a big red square")
    embedded = ROOT / "graphengine" / "models" / "checkpoints" / "embedded"
    names["main"](str(embedded), str(tmp_path), "32", "1", str(tmp_path / "trained"))
    before, after = (
        names["checkpoints"].load(path)[0].network.state_dict() for path in (embedded, tmp_path / "trained")
    )
    assert before.keys() == after.keys()
    assert any(not before[name].float().equal(after[name]) for name in before)


@pytest.mark.slow
def test_readme_library_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    default_engine.cache_clear()
    codes = [block for block in blocks(README, "python") if "@node(" not in block]
    assert len(codes) == 2
    names: dict[str, Any] = {}  # Any: whatever the code defines
    for code in codes:
        exec(code, names)
    default_engine.cache_clear()
    assert names["image"].shape == names["images"][1].shape == (1, 128, 128, 3)
    (path,) = names["result"].shown
    assert path.is_file()


def test_readme_tells_the_exit_codes_and_events_of_programs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    said = re.sub(r"\s+", " ", capsys.readouterr().out)
    (codes,) = re.findall(r"^Exit codes: (.*)\.$", README, flags=re.MULTILINE)
    assert f"exit codes: {codes}" in said
    kinds = [kind.model_fields["type"].default for kind in get_args(get_args(AnyEvent)[0])]
    assert len(kinds) > 10
    assert [kind for kind in kinds if f"`{kind}`" not in README] == []


def test_readme_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = re.findall(r"^    (\w+) ", capsys.readouterr().out, flags=re.MULTILINE)
    assert listed
    assert all(f"`graphengine {command}" in README for command in listed)


def test_readme_names_every_option_of_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help", "--no-metadata"}
    missing = [option for option in options if f"`{option}" not in README]
    assert not missing


def test_readme_names_every_option_of_serve(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    (table,) = re.findall(r"^\| option of `graphengine serve`.*?\n\n", README, flags=re.MULTILINE | re.DOTALL)
    first_cells = " ".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"--[a-z-]+", first_cells)) == options


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's commands are for curl")
def test_readme_server_commands_give_the_picture(tmp_path: Path) -> None:
    """Each command of the section is run as it stands, but for the port, the job and the file."""
    run, watch, fetch = (line for block in blocks(server_section(), "sh") for line in commands(block))
    with running(tmp_path) as server:

        def said(command: str, **given: str) -> str:
            for name, value in {"localhost:8188": f"{server.host}:{server.port}", **given}.items():
                assert name in command
                command = command.replace(name, value)
            done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=280)
            assert done.returncode == 0, done.stderr
            return done.stdout

        job = json.loads(said(run))["job"]
        events = [json.loads(line[6:]) for line in said(watch, JOB=job["id"]).splitlines() if line.startswith("data: ")]
        last = events[-1]
        assert (last["type"], last["state"]) == ("job_ended", "done")
        (asset,) = (each["asset"] for each in last["outputs"])
        said(fetch, ASSET=asset)
    with Picture.open(tmp_path / "picture.png") as picture:
        assert picture.size == (128, 128)


def server_section() -> str:
    (section,) = re.findall(r"^## Server\n.*?(?=^## )", README, flags=re.MULTILINE | re.DOTALL)
    return str(section)


def commands(block: str) -> list[str]:
    return block.replace("\\\n", " ").splitlines()


def test_training_guide_names_what_there_is(builtin: Registry) -> None:
    """Its links lead to files, and its code words are nodes, inputs, or what trainings measure."""
    for target in re.findall(r"\]\(([^)#]+)\)", TRAINING_GUIDE):
        assert (ROOT / "docs" / target).is_file(), target
    definitions = builtin.definitions.by_id.values()
    known = {definition.id for definition in definitions} | {"loss", "held_out_loss", "grad_norm"}
    known |= {place.name for definition in definitions for place in definition.inputs}
    words = re.findall(r"`([A-Za-z]\w*)`", re.sub(r"^```.*?^```", "", TRAINING_GUIDE, flags=re.MULTILINE | re.DOTALL))
    assert len(words) > 40
    assert [word for word in words if word not in known | {"constant", "datasets"}] == []


@pytest.mark.slow
def test_training_guide_commands_run(tmp_path: Path, data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command is run in its order, on folders of the names it gives, with few steps."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "workflows" / "datasets" / "mushrooms", tmp_path / "my_pictures")
    lines = [line for block in blocks(TRAINING_GUIDE) for line in block.splitlines() if line.startswith("graphengine ")]
    assert len(lines) > 4
    few = ["--set", "before.steps=1", "--set", "after.steps=1", "--set", "empty.batch_size=1"]
    for line in lines:
        words = [word.replace("steps=800", "steps=3") for word in shlex.split(line)[1:]]
        if "train_on_folder.json" in words:
            words += few if "steps=3" in words else [*few, "--set", "steps=2"]
        assert main([*words, "--data", data]) == 0, line
    assert (tmp_path / "output" / "mushrooms.safetensors").is_file()


def test_pack_guide_is_true(tmp_path: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = blocks(PACK_GUIDE, "python")[0]
    file = tmp_path / "sparkle.py"
    file.write_text(code, encoding="utf-8")
    assert main(["nodes", "sparkle.Bright", "--pack", str(file), "--data", data]) == 0
    assert "From which brightness on." in capsys.readouterr().out

    workflow = tmp_path / "range.json"
    node = '{"type": "sparkle.Range", "inputs": {"low": 3, "high": 1}}'
    outputs = '"outputs": {"width": {"from": "range.float"}}'
    workflow.write_text(f'{{"format": "graphengine", "version": 1, "nodes": {{"range": {node}}}, {outputs}}}')
    pack = ["--pack", str(file), "--data", data]
    assert main(["run", str(workflow), *pack]) == 2
    assert "3.0" in capsys.readouterr().err
    assert main(["run", str(workflow), *pack, "--set", "range.high=5"]) == 0
    assert "width: 2.0" in capsys.readouterr().out


def test_pack_guide_code_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block is the file that its first line names; together they are a folder of packs, and a test that passes."""
    for code in blocks(PACK_GUIDE, "python"):
        (tmp_path / code.split()[1]).write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    checks = runpy.run_path(str(tmp_path / "test_sparkle.py"))
    for name in [each for each in checks if each.startswith("test_")]:
        checks[name]()
    (tmp_path / "test_sparkle.py").unlink()

    packs, failures = load_packs(folder_packs(tmp_path))
    assert not failures
    add = {"add": {"type": "Calculate", "inputs": {"b": 3}}}
    sockets = {"inputs": {"n": {"type": "FLOAT", "to": ["add.a"]}}, "outputs": {"n": {"from": "add.number"}}}
    workflow = {
        "mask": ("Mask", {"shape": "gradient", "geometry": "0%,0% 100%,0%", "width": 64}),
        "image": ("MaskToImage", {"mask": "@mask.mask"}),
        "tiles": ("lists.Tiles", {"image": "@image.image"}),
        "parts": ("sparkle.Bright", {"image": "@tiles.tiles", "threshold": 0.1}),
        "best": ("lists.Brightest", {"images": "@parts.bright"}),
        "power": ("growing.Power", {"base": 2}),
        "later": ("choosing.Later", {"value": "@power.number"}),
        "small": ("choosing.OnlyAbove", {"value": 0.1}),
        "skipped": ("versions.Blend", {"a": "@small.float", "b": 1}),
        "chosen": ("choosing.Prefer", {"first": True, "a": "@later.float", "b": "@skipped.float"}),
        "twice": ("growing.Twice", {"body": {"$subgraph": "add"}, "n": "@chosen.value"}),
        "form": ("forms.Fill", {"form": "form.json", "name": "Ada"}),
    }
    (tmp_path / "form.json").write_text('{"name": "How to call you."}')
    wanted = {"best": "best.image", "number": "twice.n", "skipped": "skipped.float", "form": "form.text"}
    outputs = {name: {"from": at} for name, at in wanted.items()}
    document = drawn(workflow, outputs=outputs, subgraphs={"add": {"nodes": add, **sockets}})
    engine = Engine(
        Registry([*packs, built_in]), Settings(data=tmp_path / "data", output=tmp_path / "output", beside=(tmp_path,))
    )
    given = engine.run(document).outputs
    assert given["form"] == "name: Ada"
    assert given["best"].shape[2] == 16
    assert given["number"] == 14
    assert given["skipped"] == Blocked("0.1 is not above 0.5")
