"""The built wheel holds the editor, and makes a picture in a clean environment outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest
from PIL import Image as pillow

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_wheel_makes_a_picture_in_a_clean_environment(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "graphengine/_web/index.html" in names
    assert any(name.startswith("graphengine/_web/_editor/index-") for name in names)
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, "torch"], check=True)
    subprocess.run([*pip, str(wheel)], check=True)

    command = [str(python), "-m", "graphengine", "run", "text_to_image.json", "--data", str(tmp_path / "data")]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    (line,) = done.stdout.splitlines()
    with pillow.open(line) as picture:
        assert picture.size == (128, 128)
    assert Path(line).is_relative_to(tmp_path / "output")
