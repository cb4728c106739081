"""``graphengine new-pack``: write the files of a new node pack."""

from __future__ import annotations

import argparse
import json

__all__ = ["new_pack"]

DONE = 0


def new_pack(options: argparse.Namespace) -> int:
    """Write a project with one node and its test, and say how to go on."""
    from graphengine.authoring.new_pack import write_pack

    files = write_pack(options.name, options.dir)
    if options.json:
        print(json.dumps({"type": "new_pack", "files": [str(path) for path in files]}))
        return DONE
    nodes = next(path for path in files if path.stem == options.name)
    for path in files:
        print(path)
    print(f"\nLook at its node:  graphengine nodes {options.name}.Brighten --pack {nodes}")
    print(f"Run its test:      python -m pytest {nodes.parent}")
    print(f"Install it:        pip install -e {nodes.parent}")
    return DONE
