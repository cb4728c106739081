"""Read Google-style docstrings: they are the users' tooltips."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Docs", "read_docstring"]

_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Source|Example|Examples|Note|Notes|Yields):", re.MULTILINE)
_ENTRY = re.compile(r"^(\w+)(?: \([^)]*\))?:\s*(.*)$")


@dataclass(frozen=True)
class Docs:
    """A docstring in parts: its text before the sections, and the entries under Args or Attributes."""

    summary: str
    entries: Mapping[str, str]


def read_docstring(doc: str) -> Docs:
    """Split a cleaned docstring (as ``inspect.getdoc`` gives it) into its parts."""
    pieces = _SECTION.split(doc)
    entries: dict[str, str] = {}
    for title, body in zip(pieces[1::2], pieces[2::2], strict=True):
        if title in ("Args", "Attributes"):
            entries.update(_read_entries(body))
    return Docs(pieces[0].strip(), entries)


def _read_entries(body: str) -> dict[str, str]:
    """Read ``name: text`` entries; deeper indented lines continue the one above."""
    lines = [line for line in body.splitlines() if line.strip()]
    if not lines:
        return {}
    margin = len(lines[0]) - len(lines[0].lstrip())
    entries: dict[str, str] = {}
    name = ""
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if depth < margin:
            break
        entry = _ENTRY.match(line.strip()) if depth == margin else None
        if entry:
            name = entry[1]
            entries[name] = entry[2]
        elif name:
            entries[name] = f"{entries[name]} {line.strip()}".strip()
    return entries
