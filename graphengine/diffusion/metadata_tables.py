"""Captions in tables: JSON lines, CSV, or one JSON object of captions by file name.

{"file_name": "cat.png", "text": "a cat"}           metadata.jsonl, as Hugging Face's imagefolder has it
file_name,text                                      metadata.csv, likewise
{"cat": {"tags": "cat, sofa"}, …}                   meta.json, as sd-scripts has it; names may lack their endings
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from graphengine.errors import InputError

__all__ = ["TABLE_NAMES", "Table", "read_hints", "read_table"]

TABLE_NAMES = ("metadata.jsonl", "metadata.csv")
_FILE_COLUMNS = ("file_name", "image", "file", "image_path", "path", "img")
_CAPTION_COLUMNS = ("text", "caption", "prompt", "captions", "description", "tags")
_MOST_FAULTS = 10

Table = Mapping[str, str]
"""File name, as the table has it -> caption."""


def read_table(path: Path, *, file_column: str = "", caption_column: str = "") -> Table:
    """Read which file has which caption.

    Args:
        path: Ends in .jsonl, .csv, .tsv or .json.
        file_column: Where file names are; found by its usual names if empty.
        caption_column: Where captions are; found by its usual names if empty.

    Raises:
        InputError: naming the lines that can't be read, all at once.
    """
    faults: list[str] = []
    table: dict[str, str] = {}
    try:
        for place, row in _rows(path, faults):
            file_name, caption = _cell(row, file_column, _FILE_COLUMNS), _cell(row, caption_column, _CAPTION_COLUMNS)
            if not file_name or caption is None:
                missing = "file name" if not file_name else "caption"
                faults.append(f"{place}: no {missing} among {', '.join(map(repr, row)) or 'nothing'}")
            elif table.get(file_name, caption) != caption:
                faults.append(f"{place}: {file_name!r} comes twice, with different captions")
            else:
                table[file_name] = caption
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        faults.append(str(error))
    if not faults and not table:
        faults.append("it has no rows")
    if faults:
        more = f"\n  and {len(faults) - _MOST_FAULTS:,} more" if len(faults) > _MOST_FAULTS else ""
        raise InputError(
            "file",
            f"{path.name} can't be used:\n  " + "\n  ".join(faults[:_MOST_FAULTS]) + more,
            "Correct these lines, or name the columns.",
        )
    return table


def read_hints(path: Path, column: str, *, file_column: str = "") -> Table:
    """Read which file each file's hint is in; a table that ``read_table`` reads.

    Raises:
        InputError: if no row has that column.
    """
    columns: dict[str, None] = {}
    hints: dict[str, str] = {}
    for _place, row in _rows(path, []):
        columns |= dict.fromkeys(row)
        hint = row.get(column)
        if hint:
            hints[_cell(row, file_column, _FILE_COLUMNS) or ""] = str(hint)
    if column not in columns:
        raise InputError("hint_column", f"there is no column {column!r}.", f"Choose one of {', '.join(columns)}.")
    return hints


def _rows(path: Path, faults: list[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:  # Any: parsed JSON
    """Give each row with its place in the file, as told to the user."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        match path.suffix.lower():
            case ".csv" | ".tsv":
                rows = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
                for row in rows:
                    yield (
                        f"line {rows.line_num}",
                        {name: cell for name, cell in row.items() if name and cell is not None},
                    )
            case ".jsonl":
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        yield from _object(f"line {number}", line, faults)
            case ".json":
                for _place, content in _object("the file", file.read(), faults):
                    for name, row in content.items():
                        yield repr(name), {"file_name": name, **(row if isinstance(row, dict) else {"text": row})}
            case _:
                faults.append("its name ends in none of .jsonl, .csv, .tsv, .json")


def _object(place: str, text: str, faults: list[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        faults.append(f"{place}: no JSON: {error}")
        return
    if isinstance(content, dict):
        yield place, content
    else:
        faults.append(f"{place}: {type(content).__name__} where an object should be")


def _cell(row: Mapping[str, Any], column: str, usual: tuple[str, ...]) -> str | None:
    name = column or next((each for each in usual if each in row), "")
    value = row.get(name)
    if isinstance(value, list):  # several captions: the first, as tools that read one do
        value = value[0] if value else ""
    return " ".join(str(value).split()) if isinstance(value, str | int | float) else None
