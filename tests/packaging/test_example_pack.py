"""The pack that authors copy: it loads from its folder, and it works where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from graphengine import Engine, Workflow
from graphengine.authoring.packs import load_path
from graphengine.core.registry import Registry
from graphengine_nodes import pack as built_in

EXAMPLE = Path(__file__).parents[2] / "nodes" / "example_pack"


def test_it_runs_from_its_folder(tmp_path: Path) -> None:
    engine = Engine.for_user(packs=[EXAMPLE / "film_look"], data=tmp_path, output=tmp_path, disk_cache_bytes=0)
    result = Workflow.load(EXAMPLE / "film_look.json", engine=engine)(seed=1)
    assert result.image.shape == (1, 64, 96, 3)
    assert [path.name for path in result.shown] == ["film_look_00001.png"]


def test_its_nodes_are_documented_and_prefixed() -> None:
    pack = load_path(EXAMPLE / "film_look")
    assert not Registry([pack, built_in]).definitions.conflicts
    for function in pack.nodes:
        definition = function.definition
        assert definition.id.startswith("film.")
        assert definition.doc
        assert all(each.doc for each in definition.inputs), definition.id


@pytest.mark.slow
def test_it_works_where_it_is_installed(tmp_path: Path) -> None:
    """A clean environment that shares this one's packages, so that nothing is downloaded."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python")
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    shared = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (Path(site) / "shared.pth").write_text(shared, encoding="utf-8")

    project = shutil.copytree(EXAMPLE, tmp_path / "film", ignore=shutil.ignore_patterns("__pycache__"))
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", str(project)]
    subprocess.run(install, check=True)
    work = tmp_path / "work"  # away from the project, so that only what is installed is found
    shutil.copytree(project / "tests", work / "tests")
    shutil.copy(project / "film_look.json", work)
    shutil.rmtree(project)

    command = [python, "-m", "graphengine", "run", "film_look.json", "--data", str(tmp_path / "data")]
    done = subprocess.run(command, cwd=work, check=True, capture_output=True, text=True)
    assert "film_look_00001.png" in done.stdout
    tests = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(tests, cwd=work, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
