"""What ``graphengine serve`` was asked for: all that is wrong with it is told at once, before anything starts."""

from __future__ import annotations

import argparse
import re
import ssl
from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path

from graphengine.config import Settings
from graphengine.errors import GraphEngineError

__all__ = ["ServeError", "check_options", "device_names", "output_folder", "tls_context"]

_DEVICE = re.compile(r"cpu|mps|cuda(:\d+)?")


class ServeError(GraphEngineError):
    """The server can't start as it was asked to."""


def check_options(options: argparse.Namespace, settings: Settings) -> None:
    """Refuse what can't work, and make the folders that are written to.

    Raises:
        ServeError: with all that is wrong.
    """
    problems = [
        *_devices(options),
        *_numbers(options),
        *_tls(options),
        *_folder("--data", settings.data),
        *(() if options.out is None else _folder("--out", output_folder(options, settings))),
    ]
    if problems:
        raise ServeError("\n".join(problems))


def device_names(options: argparse.Namespace) -> Sequence[str]:
    """Give the devices that get a worker each."""
    return [each.strip() for each in options.devices.split(",")]


def output_folder(options: argparse.Namespace, settings: Settings) -> Path:
    """Give the folder that jobs save in."""
    folder: Path = options.out or settings.data / "output"
    return folder.expanduser().absolute()


def tls_context(options: argparse.Namespace) -> ssl.SSLContext | None:
    """Give what https needs; None to serve http."""
    if options.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options.tls_cert, options.tls_key)
    return context


def _devices(options: argparse.Namespace) -> Iterator[str]:
    names = device_names(options)
    unknown = [each for each in names if not _DEVICE.fullmatch(each)]
    if unknown:
        yield f"--devices: {', '.join(map(repr, unknown))} is no device. Name cpu, mps, cuda:0, cuda:1 …"
    twice = sorted({each for each in names if each != "cpu" and names.count(each) > 1} - set(unknown))
    if twice:
        yield f"--devices: {', '.join(twice)} is named twice. One worker uses all of a device's memory; name it once."


def _numbers(options: argparse.Namespace) -> Iterator[str]:
    if not 0 <= options.port <= 65535:
        yield f"--port: there is no port {options.port}. Choose one from 1 to 65535, or 0 for any that is free."
    for name, seconds in (("--grace", options.grace), ("--cancel-grace", options.cancel_grace)):
        if not (isfinite(seconds) and seconds >= 0):
            yield f"{name}: {seconds:g} seconds can't be waited. Choose 0 or more."
    stuck = options.stuck_timeout
    if stuck is not None and not (isfinite(stuck) and stuck > 0):
        yield f"--stuck-timeout: after {stuck:g} seconds every worker is silent. Choose more than 0, or leave it out."


def _tls(options: argparse.Namespace) -> Iterator[str]:
    if options.tls_cert is None:
        if options.tls_key is not None:
            yield "--tls-key: a key without a certificate. Give the certificate with --tls-cert."
        return
    try:
        tls_context(options)
    except ssl.SSLError:
        files = options.tls_cert if options.tls_key is None else f"{options.tls_cert} with {options.tls_key}"
        yield (
            f"--tls-cert: {files} is no certificate in PEM form with its private key. "
            "Give both in one file, or the key with --tls-key."
        )
    except OSError as error:
        missing = [str(each) for each in (options.tls_cert, options.tls_key) if each is not None and not each.is_file()]
        yield f"--tls-cert: can't read {' and '.join(missing) or options.tls_cert}: {error.strerror}."


def _folder(option: str, folder: Path) -> Iterator[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        yield f"{option}: {folder} is a file. Give a folder."
    except OSError as error:
        yield f"{option}: can't make the folder {folder}: {error.strerror}. Give one that can be written to."
