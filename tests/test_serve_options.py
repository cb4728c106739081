"""What ``graphengine serve`` refuses before it begins, and how it says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from graphengine.cli import INVALID, main

Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Start a server that can't start, and give what it says."""

    def start(*options: str) -> str:
        assert main(["serve", "--port", "0", "--data", str(tmp_path / "data"), *options]) == INVALID
        said = capsys.readouterr()
        assert said.out == ""
        return said.err

    return start


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--port", "99999"], "--port: there is no port 99999. Choose one from 1 to 65535"),
        (["--port", "-1"], "--port: there is no port -1."),
        (["--grace", "-1"], "--grace: -1 seconds can't be waited."),
        (["--cancel-grace", "nan"], "--cancel-grace: nan seconds can't be waited."),
        (["--stuck-timeout", "0"], "Choose more than 0, or leave it out."),
        (["--devices", ""], "--devices: '' is no device. Name cpu, mps, cuda:0"),
        (["--devices", "cpu,gpu9"], "--devices: 'gpu9' is no device."),
        (["--devices", "cuda:0,cuda:0"], "--devices: cuda:0 is named twice."),
        (["--tls-key", "key.pem"], "Give the certificate with --tls-cert."),
        (["--tls-cert", "nowhere.pem"], "--tls-cert: can't read nowhere.pem: No such file or directory."),
        (["--tls-cert", __file__], "is no certificate in PEM form with its private key."),
        (["--out", __file__], f"--out: {__file__} is a file. Give a folder."),
        (["--data", __file__], f"--data: {__file__} is a file. Give a folder."),
        (["--out", f"{__file__}/below"], f"--out: can't make the folder {__file__}/below: Not a directory."),
    ],
)
def test_what_cannot_work_is_refused(refused: Refused, options: list[str], message: str) -> None:
    assert message in refused(*options)


def test_all_that_is_wrong_is_told_at_once(refused: Refused) -> None:
    said = refused("--port", "-5", "--devices", "tpu", "--grace", "-2")
    assert all(option in said for option in ("--port", "--devices", "--grace"))


@pytest.mark.parametrize("amount", ["0", "-1", "nan", "inf", "much"])
def test_amounts_of_device_memory_that_make_no_sense_are_refused(
    amount: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["serve", f"--device-memory={amount}"])
    assert f"{amount!r} is no amount of memory. Give GiB, such as 8 or 5.5." in capsys.readouterr().err
