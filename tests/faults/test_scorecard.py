"""The scorecard measures what it says, and its table is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.measured import Result, Scale
from tests.faults.scorecard import MEASUREMENTS, ROWS, Measurement, main


def test_each_row_is_measured_once() -> None:
    assert sorted(row for measurement in MEASUREMENTS for row in measurement.rows) == sorted(ROWS) == list(range(1, 21))


def test_a_table_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(folder: Path, scale: Scale) -> Result:
        raise OSError(f"no room\nin {folder}")

    def works(folder: Path, scale: Scale) -> Result:
        return Result("0 | 1", True)

    given = [Measurement((3, 4), lambda folder, scale: (Result("3rd", True), Result("4th", False)))]
    given += [Measurement((5,), works), Measurement((6,), fails)]
    code = main(["--rows", "4,5,6", "--write", str(tmp_path / "card.md")], given)
    shown, written = capsys.readouterr().out.splitlines(), (tmp_path / "card.md").read_text()
    assert code == 1
    assert [line.split()[0] for line in shown] == ["#", "4", "5", "6"]
    assert "`python -m tests.faults.scorecard`" in written
    rows = [line for line in written.splitlines() if line.startswith(("| 3", "| 4", "| 5", "| 6"))]
    assert [row.split(" | ")[4:] for row in rows] == [
        ["4th", "NO |"],
        ["0 / 1", "ok |"],
        ["not measured: OSError: no room in …", "NO |"],
    ]


def test_unknown_rows_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--rows", "3,21"])
    assert "the rows are 1 to 20" in capsys.readouterr().err
